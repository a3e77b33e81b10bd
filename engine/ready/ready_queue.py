"""A bounded queue of one egress source, site and protocol: mail that may go now.

Place in flow: ``engine.schedule.promotion`` pushes; dispatchers, which this queue starts as they
are worth it, take.

Invariants:
    * At most ``path.max_ready`` messages; who finds it full waits in ``waiters`` and is called when
      there is room.
    * At most as many dispatchers as the path's connection limits grant, and no more than the
      number of messages makes worth while.
    * A suspended or stopping queue starts nothing and gives its messages back.

Standard: the number of sessions follows the reference's curve, L * (1 - e^(-0.023 q)).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from engine.deliver.connection_slots import acquire_slots, limits_of, release_slots
from engine.model.egress import EgressPath, EgressSource
from engine.model.insert_reason import InsertReason
from engine.model.message import Message
from engine.route.mx_plan import Route
from engine.throttle.lease import Lease, MemoryLeases

#: Longest pause before the next session after connection failures, seconds.
FAILURE_PAUSE_MAX_S = 1.0
FAILURE_PAUSE_FIRST_S = 0.05
#: How long to wait for a connection slot before asking again, seconds. A release asks at once.
SLOT_RETRY_S = 5.0
#: Room that must appear before waiting queues are called, as a share of ``max_ready``.
ROOM_SHARE = 0.25


class ReadyPorts(Protocol):
    """What ready queues need from the node."""

    leases: MemoryLeases

    def requeue(self, message: Message, reason: InsertReason, delay_s: float | None) -> None:
        """Give a message back to its scheduled queue, no attempt counted."""

    def may_deliver(self) -> bool:
        """Return whether deliveries may start (the spool can note their outcome)."""

    def is_suspended(self, name: str) -> bool:
        """Return whether an operator or the TSA suspended the queue."""

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
        "_limits",
        "_ports",
        "_retry",
        "dispatchers",
        "failures",
        "idle_since_mono",
        "limited_by",
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
        self.waiters: dict[Any, Callable[[], None]] = {}
        self.failures = 0
        self.paused_until_mono = 0.0
        self.path_serial = -1
        self.path_until_mono = 0.0
        self.idle_since_mono = now_mono
        self.limited_by = ""
        self.retired = False
        self._idle: deque[asyncio.Future[None]] = deque()
        self._limits = limits_of(path, name)
        self._ports = ports
        self._retry: asyncio.TimerHandle | None = None

    def set_path(self, path: EgressPath, source: EgressSource) -> None:
        """Take a new configuration; sessions under way see it at their next message."""
        self.path = path
        self.source = source
        self._limits = limits_of(path, self.name)

    @property
    def has_room(self) -> bool:
        """Return whether a message may be pushed."""
        return len(self.messages) < self.path.max_ready

    @property
    def is_suspended(self) -> bool:
        """Return whether nothing may leave the queue now."""
        return self._ports.is_suspended(self.name)

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
            if self._ports.examine(message):
                return message
        return None

    def _call_waiters(self) -> None:
        waiters, self.waiters = self.waiters, {}
        for call in waiters.values():
            call()

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
        """Return whether sessions may go on."""
        return not self.retired and self._ports.may_deliver() and not self.is_suspended

    def maintain(self) -> None:
        """Start as many sessions as the messages are worth and the limits grant."""
        if not self.messages or not self.may_work():
            return
        loop = asyncio.get_running_loop()
        pause_s = self.paused_until_mono - loop.time()
        if pause_s > 0:
            self._retry_in(pause_s)
            return
        limit = self._limits[0][1]
        want = ideal_sessions(len(self.messages), limit)
        while len(self.dispatchers) < want:
            slots = acquire_slots(self._ports.leases, self._limits, self.path.lease_s)
            if isinstance(slots, str):
                self.limited_by = slots
                self._retry_in(SLOT_RETRY_S)
                return
            self.limited_by = ""
            task = self._ports.start_dispatcher(self)
            self.dispatchers[task] = task
            self.slots[task] = slots
            task.add_done_callback(self._ended)

    def renew_slots(self, task: Any) -> None:
        """Renew the leases of a session that is about to carry another message."""
        for lease in self.slots.get(task, ()):
            lease.renew(self.path.lease_s)

    def _ended(self, task: Any) -> None:
        self.dispatchers.pop(task, None)
        release_slots(self.slots.pop(task, []))
        self.idle_since_mono = asyncio.get_running_loop().time()
        self.maintain()

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
        for message in messages:
            self._ports.requeue(message, reason, delay_s)
        if self.waiters:
            self._call_waiters()

    def shrink(self) -> None:
        """Give back what is beyond a lowered ``max_ready``."""
        reason = InsertReason.MAX_READY_WAS_REDUCED_BY_CONFIG_UPDATE
        while len(self.messages) > self.path.max_ready:
            self._ports.requeue(self.messages.pop(), reason, 0.0)

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
        """Stop for good: idle sessions end, messages go back."""
        self.retired = True
        if self._retry is not None:
            self._retry.cancel()
        self.wake_all()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
