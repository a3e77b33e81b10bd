"""A bounded queue of one egress source, site and protocol: mail that may go now.

Place in flow: ``engine.schedule.promotion`` pushes; dispatchers, which this queue starts as they
are worth it, take.

Invariants:
    * At most ``path.max_ready`` messages; who finds it full waits in ``waiters`` and is called when
      there is room, a few at a time and in order: of thousands that wait few are woken in vain.
    * At most as many dispatchers as the path's connection limits grant, and no more than the
      number of messages makes worth while.
    * A suspended or stopping queue starts nothing.
    * When a connection limit is lowered, as many sessions end as are too many, each after the
      message in its hand.
    * A retired queue takes no message: who still knows it has to ask for the one in its place.

Standard: the number of sessions follows the reference's curve, L * (1 - e^(-0.023 q)).
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from engine.deliver.connection_slots import limits_of, release_slots
from engine.model.egress import EgressPath, EgressSource
from engine.model.insert_reason import InsertReason
from engine.model.message import Message
from engine.ready.slot_line import SlotLine
from engine.route.mx_plan import Route
from engine.throttle.lease import Lease
from engine.throttle.shared_lease import NodeLeases

log = logging.getLogger("cirrus.ready")

#: Longest pause before the next session after connection failures, seconds.
FAILURE_PAUSE_MAX_S = 1.0
FAILURE_PAUSE_FIRST_S = 0.05
#: How long to wait for a connection slot before asking again, seconds. A release asks at once.
SLOT_RETRY_S = 5.0
#: Room that must appear before waiting queues are called, as a share of ``max_ready``.
ROOM_SHARE = 0.25
#: How many of those that wait for room are called for each message that leaves. More than one, for
#: some have no use for it; few, for the first may fill it all.
CALLED_AT_ONCE = 8
#: How many are called in one turn of the loop when nothing is left.
CALLED_A_TURN = 64


class ReadyPorts(Protocol):
    """What ready queues need from the node."""

    leases: NodeLeases

    def requeue(self, message: Message, reason: InsertReason, delay_s: float | None) -> None:
        """Give a message back to its scheduled queue, no attempt counted."""

    def may_deliver(self) -> bool:
        """Return whether deliveries may start (the spool can note their outcome)."""

    def is_suspended(self, name: str, source: str) -> bool:
        """Return whether the queue is suspended, or its egress source is."""

    def examine(self, message: Message) -> bool:
        """Return whether a message may still go; one that expired or was bounced is settled."""

    def start_dispatcher(self, queue: ReadyQueue) -> asyncio.Task[Any]:
        """Start a dispatcher for the queue and return its task."""

    def report_failures(self, queue: ReadyQueue) -> None:
        """Defer the whole queue after too many connection failures."""


def ideal_sessions(messages: int, limit: int) -> int:
    """Return how many sessions a number of messages is worth, under a limit."""
    share = min(1 - math.exp(-0.023 * messages), messages)
    return min(messages, math.ceil(limit * share))


class ReadyQueue:
    """Messages that may go now, and the sessions that carry them."""

    __slots__ = (
        "_idle",
        "_is_calling",
        "_is_lowered",
        "_leaving",
        "_limits",
        "_ports",
        "_retry",
        "_slot_line",
        "dispatchers",
        "failures",
        "idle_since_mono",
        "last_pool",
        "limited_by",
        "limited_since_mono",
        "messages",
        "name",
        "path",
        "path_serial",
        "path_until_mono",
        "paused_until_mono",
        "protocol",
        "retired",
        "route",
        "routing_domain",
        "site_name",
        "slots",
        "source",
        "waiters",
    )

    def __init__(
        self,
        name: str,
        *,
        site_name: str,
        source: EgressSource,
        path: EgressPath,
        route: Route | None,
        routing_domain: str,
        protocol: Any,
        ports: ReadyPorts,
        slot_line: SlotLine,
        now_mono: float,
    ) -> None:
        self.name = name
        self.site_name = site_name
        self.source = source
        self.path = path
        self.route = route
        self.routing_domain = routing_domain
        self.protocol = protocol
        self.messages: deque[Message] = deque()
        self.dispatchers: dict[Any, asyncio.Task[Any]] = {}
        self.slots: dict[Any, list[Lease]] = {}
        #: Who waits for room, each with a call that lets it go on and says whether it still waited.
        self.waiters: dict[Any, Callable[[Any], bool]] = {}
        self.failures = 0
        self.paused_until_mono = 0.0
        self.path_serial = -1
        self.path_until_mono = 0.0
        self.idle_since_mono = now_mono
        #: The egress pool that last led here, for operators.
        self.last_pool = ""
        #: The limit that refused a session, and since when it does.
        self.limited_by = ""
        self.limited_since_mono = 0.0
        self.retired = False
        self._idle: deque[asyncio.Future[None]] = deque()
        self._is_calling = self._is_lowered = False
        self._leaving: set[Any] = set()
        self._limits = limits_of(path, name)
        self._ports = ports
        self._slot_line = slot_line
        self._retry: asyncio.TimerHandle | None = None

    def set_path(self, path: EgressPath, source: EgressSource) -> None:
        """Take a new configuration; sessions under way see it at their next message."""
        self.path = path
        self.source = source
        before, self._limits = dict(self._limits), limits_of(path, self.name)
        if any(limit < before.get(key, limit + 1) for key, limit in self._limits):
            self._is_lowered = True
            # Idle sessions look whether they are too many.
            self.wake_all()
        if self.waiters and self.has_room:
            self._call_waiters()

    @property
    def has_room(self) -> bool:
        """Return whether a message may be pushed."""
        return len(self.messages) < self.path.max_ready

    @property
    def is_suspended(self) -> bool:
        """Return whether nothing may leave the queue now."""
        return self._ports.is_suspended(self.name, self.source.name)

    def push(self, message: Message) -> None:
        """Take a message that may go now."""
        self.messages.append(message)
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.maintain()

    def take_nowait(self) -> Message | None:
        """Return the next message that may still go, or None."""
        messages = self.messages
        while messages:
            message = messages.popleft()
            if self.waiters and len(messages) <= self.path.max_ready * (1 - ROOM_SHARE):
                self._call_waiters()
            if self._may_go(message):
                return message
        return None

    def _may_go(self, message: Message) -> bool:
        try:
            return self._ports.examine(message)
        except Exception:  # boundary: dispatcher
            log.exception("%s could not be judged; tried again later", message.id)
            self._ports.requeue(message, InsertReason.DISPATCHER_DROP, None)
            return False

    def _call_waiters(self) -> None:
        if self.messages:
            self._call(CALLED_AT_ONCE)
        elif not self._is_calling:
            self._is_calling = True
            self._call_all()

    def _call_all(self) -> None:
        """Call one after the other, some in each turn, until there is something to carry.

        Nothing is left: none of those called before had anything to push, so all are asked.
        """
        self._call(CALLED_A_TURN)
        self._is_calling = bool(self.waiters) and self.has_room
        if self._is_calling:
            asyncio.get_running_loop().call_soon(self._call_all)

    def _call(self, count: int) -> None:
        """Call so many of those that still wait."""
        asked = 0
        while count and self.waiters and asked < CALLED_A_TURN:
            key = next(iter(self.waiters))
            asked += 1
            count -= self.waiters.pop(key)(key)

    async def wait_message(self, timeout_s: float) -> Message | None:
        """Return the next message, or None after the time or when the queue stops."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self.may_work():
            message = self.take_nowait()
            if message is not None:
                return message
            left_s = deadline - loop.time()
            if left_s <= 0:
                return None
            waiter = loop.create_future()
            self._idle.append(waiter)
            handle = loop.call_later(left_s, _wake, waiter)
            try:
                await waiter
            finally:
                handle.cancel()
        return None

    def may_work(self) -> bool:
        """Return whether sessions may go on; asked by one, whether it may."""
        return (
            not self.retired
            and self._ports.may_deliver()
            and not self.is_suspended
            and not (self._is_lowered and self._is_surplus(asyncio.current_task()))
        )

    def _is_surplus(self, task: Any) -> bool:
        """Return whether a session is one too many since a limit was lowered, and has to end."""
        if task not in self.dispatchers:
            return False
        if task in self._leaving:
            return True
        leases = self._ports.leases
        if all(leases.count(key) <= limit for key, limit in self._limits):
            self._is_lowered = bool(self._leaving)
            return False
        self._leaving.add(task)
        # It carries nothing any more: the next one that asks has to see that one is gone.
        release_slots(self.slots.pop(task, []))
        return True

    def maintain(self) -> None:
        """Start as many sessions as the messages are worth and the limits grant; never raises."""
        if not self.messages or not self.may_work():
            if self.limited_by:
                self._stand_in_line("")
            return
        loop = asyncio.get_running_loop()
        pause_s = self.paused_until_mono - loop.time()
        if pause_s > 0:
            self._retry_in(pause_s)
            return
        limit = self._limits[0][1]
        want = ideal_sessions(len(self.messages), limit)
        while len(self.dispatchers) < want:
            more = want - len(self.dispatchers)
            slots = self._ports.leases.acquire_all(self._limits, self.path.lease_s, more)
            if isinstance(slots, str):
                self._stand_in_line(slots)
                self._retry_in(SLOT_RETRY_S)
                return
            self._stand_in_line("")
            try:
                task = self._ports.start_dispatcher(self)
            except Exception:  # boundary: supervisor
                # Who pushed must not hear of it: the message is in, and would be sent twice.
                log.exception("no session of %s could be started; tried again soon", self.name)
                release_slots(slots)
                self._retry_in(SLOT_RETRY_S)
                return
            self.dispatchers[task] = task
            self.slots[task] = slots
            task.add_done_callback(self._ended)

    def _stand_in_line(self, key: str) -> None:
        """Wait for a slot of the limit that refused; an empty key leaves the line."""
        if self.limited_by and self.limited_by != key:
            self._slot_line.leave(self.limited_by, self)
        if key and key != self.limited_by:
            self.limited_since_mono = asyncio.get_running_loop().time()
        self.limited_by = key
        if key:
            self._slot_line.join(key, self)

    def renew_slots(self, task: Any) -> None:
        """Renew the leases of a session that is about to carry another message.

        One that it was too slow to keep is taken anew. If another session has it by now the two
        exceed the limit by one until either ends, which is better than to end a good connection.
        """
        held = self.slots.get(task, [])
        ttl_s = self.path.lease_s
        kept = sum(lease.renew(ttl_s) for lease in held)
        if held and kept == len(held):
            return
        release_slots(held)
        taken = self._ports.leases.acquire_all(self._limits, ttl_s)
        self.slots[task] = [] if isinstance(taken, str) else taken

    def _ended(self, task: Any) -> None:
        loop = asyncio.get_running_loop()
        self.dispatchers.pop(task, None)
        self._leaving.discard(task)
        release_slots(self.slots.pop(task, []))
        self.idle_since_mono = loop.time()
        # Behind the offers that the release makes to those in line.
        loop.call_soon(self.maintain)

    def _retry_in(self, delay_s: float) -> None:
        if self._retry is None:
            loop = asyncio.get_running_loop()
            self._retry = loop.call_later(delay_s, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self.maintain()

    def connected(self) -> None:
        """Note a session that came about."""
        self.failures = 0
        self.paused_until_mono = 0.0

    def connect_failed(self) -> None:
        """Note a session that could not be opened; too many in a row defer the whole queue."""
        self.failures += 1
        pause_s = FAILURE_PAUSE_FIRST_S * 2 ** min(self.failures - 1, 10)
        loop = asyncio.get_running_loop()
        self.paused_until_mono = loop.time() + min(pause_s, FAILURE_PAUSE_MAX_S)
        if self.failures > self.path.consecutive_connection_failures_before_delay:
            self.failures = 0
            self._ports.report_failures(self)

    def return_all(self, reason: InsertReason, delay_s: float | None) -> None:
        """Give every message back to its scheduled queue, no attempt counted."""
        messages, self.messages = self.messages, deque()
        try:
            while messages:
                self._ports.requeue(messages[0], reason, delay_s)
                messages.popleft()
        finally:
            self.messages.extend(messages)
        if self.waiters:
            self._call_waiters()

    def empty_into(self, insert: Callable[[Message], None], reason: InsertReason) -> None:
        """Hand every message to the scheduled side at once, for another source to take it.

        ``insert`` owns a message as soon as it is called, and raises for none.
        """
        messages, self.messages = self.messages, deque()
        for message in messages:
            message.context |= reason
            insert(message)
        if self.waiters:
            self._call_waiters()

    def pull(self, wanted: Callable[[Message], bool]) -> list[Message]:
        """Return the messages that are wanted elsewhere; they are the caller's from now on."""
        kept: deque[Message] = deque()
        pulled: list[Message] = []
        for message in self.messages:
            (pulled if wanted(message) else kept).append(message)
        if pulled:
            self.messages = kept
            if self.waiters and self.has_room:
                self._call_waiters()
        return pulled

    def shrink(self) -> None:
        """Give back what is beyond a lowered ``max_ready``."""
        reason = InsertReason.MAX_READY_WAS_REDUCED_BY_CONFIG_UPDATE
        while len(self.messages) > self.path.max_ready:
            self._ports.requeue(self.messages[-1], reason, 0.0)
            self.messages.pop()

    def drop_bodies(self) -> None:
        """Let the bodies go that the spool has: dispatchers load them again."""
        for message in self.messages:
            # What a handler changed and nobody stored yet is only here.
            if not message.meta_dirty:
                message.data = None

    def wake_all(self) -> None:
        """Have every idle session look whether it may go on."""
        while self._idle:
            _wake(self._idle.popleft())

    def retire(self) -> None:
        """Stop for good: idle sessions end, nothing is started any more."""
        self.retired = True
        if self._retry is not None:
            self._retry.cancel()
        self._stand_in_line("")
        self.wake_all()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
