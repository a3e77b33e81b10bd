"""Waiting mail moved to other queues by an operator: new metadata, and what follows from it.

Place in flow: ordered by ``engine.admin.rebind``; goes through the scheduled queues that criteria
cover, and gives what moved back to ``engine.schedule.promotion``.

Invariants:
    * A message that stays in its queue keeps its due time and its place, unless everything is to be
      flushed; one that moves is due at once. No attempt is counted. One that promotion is just at
      stands at the end of those that are due.
    * A message is in one place: it leaves its queue when it is known where it goes; for an
      ``async`` handler, which takes its time, before that.
    * However much there is, the loop is held for one slice a turn only.

Failure: a handler that fails or refuses leaves the message as it was, in its queue; what cannot be
read now is left. After a crash each message is where the spool has it, before or after its move.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from engine.base.clock import Clock
from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.message import Message, SpoolId, message_from
from engine.model.queue_name import parse_queue_name
from engine.model.suspension import Criteria, matches
from engine.records.recorder import Recorder
from engine.schedule.pace import Pace
from engine.schedule.promotion import Promotion
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.schedule.timer_wheel import Waiting
from engine.schedule.transferring import record_move
from engine.script_refusals import SmtpRefusal
from engine.script_views import DIRTY_BODY, MessageView, queue_name_of
from engine.spool.spool_store import SpoolStore
from policy.errors import HookFailedError
from policy.handler_call import Pending
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.schedule")


class RebindingPorts(Protocol):
    """What rebinding needs from the node."""

    clock: Clock
    store: SpoolStore
    runtime: PolicyRuntime
    recorder: Recorder
    queues: ScheduledRegistry
    promotion: Promotion


class RebindOrder(NamedTuple):
    """What is done to each message.

    Attributes:
        why: Reason and author, as records show them.
        data: Metadata to set, or what the handler is given.
        by_handler: Whether ``rebind_message`` is asked instead.
        flushes: Whether all of them are due at once, moved or not.
        is_silent: Whether moves leave no record.
    """

    why: str
    data: Mapping[str, str]
    by_handler: bool = False
    flushes: bool = False
    is_silent: bool = False


class RebindCount:
    """How it went so far.

    Attributes:
        seen: Messages looked at.
        moved: Messages that are in another queue now.
        flushed: Messages that stayed and are due now.
        failed: Messages that were left as they were because of an error.
    """

    def __init__(self) -> None:
        self.seen = self.moved = self.flushed = self.failed = 0


class Rebinding:
    """Moves waiting mail."""

    def __init__(self, ports: RebindingPorts) -> None:
        self._ports = ports
        self._pace = Pace(ports.clock.mono)

    async def rebind(self, criteria: Criteria, order: RebindOrder, count: RebindCount) -> None:
        """Do to all waiting mail of the queues that criteria cover what an order says.

        Args:
            criteria: Which queues.
            order: What to do.
            count: Is told how it goes, while it goes on.
        """
        found: list[tuple[ScheduledQueue, list[Waiting]]] = []
        for queue in self._ports.queues:
            if self._pace.is_spent():
                await self._pace.wait()
            if queue.entries and not queue.is_transfer and matches(criteria, queue.name):
                # Those that are there now: what moves into a queue must not be moved again.
                found.append((queue, list(queue.entries.values())))
        for queue, entries in found:
            for entry in entries:
                await self._give_way()
                if queue.knows(entry):
                    await self._rebind(queue, entry, order, count)

    async def _give_way(self) -> None:
        if self._pace.is_spent():
            await self._pace.wait()
        if self._ports.recorder.must_wait:
            await self._ports.recorder.wait_capacity()

    async def _rebind(
        self, queue: ScheduledQueue, entry: Waiting, order: RebindOrder, count: RebindCount
    ) -> None:
        message = self._load(queue, entry)
        if message is None:
            return
        count.seen += 1
        before, meta = queue.name, dict(message.meta)
        try:
            if order.by_handler:
                await self._ask(queue, entry, message, order.data)
            else:
                message.meta.update(order.data)
            name = queue_name_of(message)
            if not parse_queue_name(name).domain:
                raise ValueError(f"the queue {name!r} names no domain")
        except (HookFailedError, SmtpRefusal, ValueError) as error:
            log.error("message %s stays in %s: %s", message.id, before, error)
            count.failed += 1
            message.meta, message.meta_dirty = meta, 0
            self._put_back(queue, entry, message)
            return
        message.queue_name = name
        if name != before or order.flushes:
            queue.discard(entry)
            message.due_mono = self._ports.clock.mono()
            message.context = InsertReason.ADMIN_REBIND
        elif message.meta != meta and _is_under_way(queue, entry):
            # Promotion has it as it was: it would go on with that, and store it in the end.
            queue.discard(entry)
        self._store(message, is_changed=message.meta != meta or not queue.knows(entry))
        if queue.knows(entry):
            return
        if name != before:
            count.moved += 1
            if not order.is_silent:
                record_move(self._ports.recorder, message, before, order.why)
        elif order.flushes:
            count.flushed += 1
        self._ports.promotion.insert(message)

    async def _ask(
        self, queue: ScheduledQueue, entry: Waiting, message: Message, data: Mapping[str, str]
    ) -> None:
        """Let the script change a message.

        Raises:
            HookFailedError: It failed.
            SmtpRefusal: It refused.
        """
        view = MessageView(message, self._ports.store.load_body, self._ports.clock)
        answer: Any = self._ports.runtime.fire_nowait("rebind_message", view, dict(data))
        if type(answer) is Pending:
            # Nobody may promote it meanwhile.
            queue.discard(entry)
            await answer.finish()

    def _put_back(self, queue: ScheduledQueue, entry: Waiting, message: Message) -> None:
        if not queue.knows(entry):
            self._ports.promotion.insert(message)

    def _store(self, message: Message, *, is_changed: bool) -> None:
        if message.meta_dirty & DIRTY_BODY:
            self._ports.store.replace_body(message)
        elif message.meta_dirty or is_changed:
            self._ports.store.update(message)
        message.meta_dirty = 0

    def _load(self, queue: ScheduledQueue, entry: Waiting) -> Message | None:
        """Return the message of an entry; None if it left, or cannot be read now."""
        spool_id = SpoolId(entry.spool_id)
        try:
            stored = self._ports.store.load(spool_id)
        except (SpoolUnavailableError, SpoolEntryDamagedError):
            # Promotion meets it too, and settles what is damaged.
            return None
        if stored is None:
            return None
        message = message_from(spool_id, stored, entry.due_mono)
        message.queue_name = queue.name
        message.context = entry.context
        return message


def _is_under_way(queue: ScheduledQueue, entry: Waiting) -> bool:
    """Return whether promotion may be at a message: it has read it, and waits for something."""
    return (queue.draining or queue.asked is not None) and queue.head() is entry
