"""Mail set aside for another node, and brought back: what waits, what may go, what returns.

Place in flow: ``engine.admin`` orders it; ``engine.schedule.settlement`` gives back through
``take_back`` what an attempt deferred. What is set aside goes into the queue of its target, from
where ``engine.deliver.transfer_dispatcher`` transfers it.

Invariants:
    * A message is in one place: it leaves its queue only for the other one, in one write.
    * What is in a dispatcher's hand is left there; it comes through ``take_back`` if it comes back.
    * However much there is, the loop is held for one slice a turn only.
    * Of two orders about one target the later counts: a cancellation ends the transfer that is
      still being carried out, and the other way round.

Failure: what cannot be read now stays where it is, for the next order or sweep. After a crash each
message is where the spool has it, before or after its move.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from engine.base.clock import Clock
from engine.model.insert_reason import InsertReason
from engine.model.log_record import RecordKind
from engine.model.message import Message
from engine.model.queue_name import parse_queue_name
from engine.model.reply import SmtpReply
from engine.model.suspension import Criteria, matches
from engine.model.transfer_state import assign, is_assigned, restore
from engine.model.transfer_target import TransferTarget
from engine.ready.ready_registry import ReadyRegistry
from engine.records.recorder import Recorder
from engine.schedule.pace import Pace
from engine.schedule.promotion import Promotion
from engine.schedule.reinsertion import UNROUTABLE
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.schedule.settlement import Settlement
from engine.schedule.stored_messages import StoredMessages
from engine.script_views import DIRTY_BODY, queue_name_of
from engine.spool.spool_store import SpoolStore

log = logging.getLogger("cirrus.schedule")

#: Cancelled targets that are remembered for what is still under way.
CANCELLED_MAX = 1000
#: Targets whose last order is remembered, for who asks why mail waits.
ORDERS_MAX = 1000


class TransferringPorts(Protocol):
    """What setting mail aside needs from the node."""

    clock: Clock
    store: SpoolStore
    recorder: Recorder
    queues: ScheduledRegistry
    ready: ReadyRegistry
    promotion: Promotion
    settlement: Settlement


class TransferOrder(NamedTuple):
    """Where mail is to go, and why: reason and author, as records show them; and the author."""

    target: TransferTarget
    why: str
    author: str = ""


#: Do something with a message, which is then in its new place; return whether it was done.
_Act = Callable[[Message], bool]


class Transferring:
    """Moves mail into the queues of other nodes and out of them.

    Attributes:
        standing: Where everything goes that comes back from a dispatcher: a drain is under way.
        in_hand: Messages that are in no queue for this moment.
        orders: The last order for each target, by the name of its queue, as far as it is known.
    """

    def __init__(self, ports: TransferringPorts) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._pace = Pace(ports.clock.mono)
        # What cannot be read now waits for the next order: its queue needs no handle for that.
        self._stored = StoredMessages(ports, lambda: ports.settlement, lambda *_: None)
        self._cancelled: dict[str, str] = {}
        self.orders: dict[str, TransferOrder] = {}
        self.standing: TransferOrder | None = None
        self.in_hand = 0

    # -- orders -------------------------------------------------------------------------------

    async def move(self, criteria: Criteria, order: TransferOrder) -> int:
        """Set aside all mail of the queues that criteria cover; return how many messages.

        Mail that waits for another target goes to this one from now on.
        """
        name = order.target.queue_name
        self._cancelled.pop(name, None)
        self.orders.pop(name, None)
        while len(self.orders) >= ORDERS_MAX:
            del self.orders[next(iter(self.orders))]
        self.orders[name] = order

        def act(message: Message) -> bool:
            self._assign(message, order)
            return True

        def covers(queue_name: str) -> bool:
            return queue_name != name and matches(criteria, queue_name)

        def is_over() -> bool:
            return name in self._cancelled

        moved = 0
        for queue in self._ports.queues:
            if self._pace.is_spent():
                await self._pace.wait()
            if queue.entries and covers(queue.name):
                moved += await self._take_waiting(queue, act, is_over)
        # Last: what was promoted meanwhile is there.
        return moved + await self._take_ready(covers, act, is_over)

    async def bring_back(self, queue_name: str, why: str) -> int:
        """Make all mail of a target's queue what it was before; return how many messages.

        What is under way to the target goes on; should it come back, it is restored too.
        """
        if len(self._cancelled) >= CANCELLED_MAX:
            del self._cancelled[next(iter(self._cancelled))]
        self._cancelled[queue_name] = why

        def act(message: Message) -> bool:
            return self._restore(message, why)

        def is_over() -> bool:
            return queue_name not in self._cancelled

        restored = 0
        while not is_over():
            count = 0
            queue = self._ports.queues.find(queue_name)
            if queue is not None:
                count += await self._take_waiting(queue, act, is_over)
            count += await self._take_ready(queue_name.__eq__, act, is_over)
            if not count:
                break
            restored += count
        return restored

    def take_back(self, message: Message) -> None:
        """Take a message that is given back to its queue; never raises. A port of settlement."""
        if (self.standing is not None or self._cancelled) and self._redirect(message):
            return
        self._ports.promotion.insert(message)

    def _redirect(self, message: Message) -> bool:
        """Put a message elsewhere than into its queue, if an order says so; return whether."""
        standing = self.standing
        try:
            why = self._cancelled.get(message.queue_name)
            if why is not None and is_assigned(message):
                return self._restore(message, why)
            if standing is not None and message.queue_name != standing.target.queue_name:
                self._assign(message, standing)
                return True
        except Exception:  # boundary: supervisor
            log.exception("message %s stays in its queue", message.id)
        return False

    # -- taking out ---------------------------------------------------------------------------

    async def _take_waiting(
        self, queue: ScheduledQueue, act: _Act, is_over: Callable[[], bool]
    ) -> int:
        done = 0
        for entry in list(queue.entries.values()):
            await self._give_way()
            if is_over():
                break
            message = self._stored.load(queue, entry) if queue.knows(entry) else None
            if message is None:
                continue
            queue.discard(entry)
            done += self._act_on(message, act)
        return done

    async def _take_ready(
        self, covers: Callable[[str], bool], act: _Act, is_over: Callable[[], bool]
    ) -> int:
        done = 0
        for ready in self._ports.ready:
            await self._give_way()
            if not ready.messages or is_over():
                continue
            pulled = deque(ready.pull(lambda message: covers(message.queue_name)))
            self.in_hand += len(pulled)
            try:
                while pulled and not is_over():
                    await self._give_way()
                    done += self._act_on(pulled[0], act)
                    pulled.popleft()
                    self.in_hand -= 1
            finally:
                for message in pulled:
                    self._ports.promotion.insert(message)
                self.in_hand -= len(pulled)
        return done

    async def _give_way(self) -> None:
        if self._pace.is_spent():
            await self._pace.wait()
        if self._ports.recorder.must_wait:
            await self._ports.recorder.wait_capacity()

    def _act_on(self, message: Message, act: _Act) -> bool:
        """Do something with a message that is in no queue; should it fail it goes back."""
        try:
            if act(message):
                return True
        except Exception:  # boundary: supervisor
            log.exception("message %s cannot be moved", message.id)
        self._ports.promotion.insert(message)
        return False

    # -- one message --------------------------------------------------------------------------

    def _assign(self, message: Message, order: TransferOrder) -> None:
        before = message.queue_name
        assign(message, order.target, self._clock.wall_of(message.due_mono))
        message.due_mono = self._clock.mono()
        self._rebind(message, before, order.target.queue_name, order.why)

    def _restore(self, message: Message, why: str) -> bool:
        before = message.queue_name
        try:
            due_at = restore(message)
        except ValueError as error:
            log.error("message %s cannot be restored: %s", message.id, error)
            return False
        if due_at is None:
            # The script has it in this queue, and not because of an order.
            return False
        message.due_mono = self._clock.mono_of(due_at)
        self._rebind(message, before, name_of(message), why)
        return True

    def _rebind(self, message: Message, before: str, name: str, why: str) -> None:
        """Store a message under its new queue's name and put it there."""
        message.queue_name = name
        message.context = InsertReason.ADMIN_REBIND
        if message.meta_dirty & DIRTY_BODY:
            self._ports.store.replace_body(message)
        else:
            self._ports.store.update(message)
        message.meta_dirty = 0
        record_move(self._ports.recorder, message, before, why)
        self._ports.promotion.insert(message)


def name_of(message: Message) -> str:
    """Return the name of a message's queue; one that cannot be named waits where it is seen."""
    try:
        name = queue_name_of(message)
    except ValueError as error:
        log.error("message %s has no queue name: %s", message.id, error)
        return UNROUTABLE
    if parse_queue_name(name).domain:
        return name
    log.error("message %s has no queue name: %r", message.id, name)
    return UNROUTABLE


def record_move(recorder: Recorder, message: Message, before: str, why: str) -> None:
    """Record that a message was moved to the queue it is in now."""
    text = f"Moved from {before} to {message.queue_name}: {why}"
    recorder.record(RecordKind.ADMIN_REBIND, message, reply=SmtpReply(250, None, text))
