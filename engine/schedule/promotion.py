"""Due messages to ready queues: every hop from waiting to "may go now".

Place in flow: ``engine.receive.admission`` and ``engine.schedule.settlement`` insert messages; this
keeps them until they are due (``due_times``), finds their way out (``way_out``), sets aside what
must not go (``holding``, ``bouncing``, ``ageing``), asks what may slow it down
(``insert_throttle``) and pushes the rest into ready queues.

Invariants:
    * A message that was inserted is in exactly one place: its scheduled queue, a ready queue, a
      dispatcher's hand, or settled. No error on the way strands it: what cannot be judged waits,
      and what is behind it goes on.
    * An entry of a queue is in the wheel, in the backlog or held. A backlog with entries has a
      drain or a retry handle.
    * Within a queue nothing overtakes the backlog; a queue whose head is blocked costs nothing
      until what blocks it ends (a throttle frees, a ready queue has room, a suspension is over).
    * One drain runs per queue. Waiting for DNS or a handler holds up that queue only; all drains
      together hold the loop for one slice a turn (``pace``).
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol

from engine.base.metrics import Metrics
from engine.model.circumstances import Circumstances
from engine.model.insert_reason import InsertReason
from engine.model.message import FLAG_HELD, Message, SpoolId
from engine.model.queue_config import QueueConfig
from engine.ready.ready_queue import ReadyQueue
from engine.ready.ready_registry import EgressPlan, ReadyRegistry
from engine.schedule.ageing import Ageing
from engine.schedule.bouncing import Bouncing, BouncingPorts
from engine.schedule.due_times import DuePorts, DueTimes
from engine.schedule.holding import Holding, HoldingPorts
from engine.schedule.insert_throttle import Asked, InsertThrottle, ThrottlePorts
from engine.schedule.pace import Pace
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.schedule.settlement import Settlement
from engine.schedule.stored_messages import SPOOL_RETRY_S, StoredMessages
from engine.schedule.timer_wheel import Waiting, waiting_of
from engine.schedule.way_out import Closed, Way, WayOut, WayPorts
from engine.script_views import DIRTY_BODY
from engine.throttle.limiter import ASKING

log = logging.getLogger("cirrus.schedule")

#: What cannot be judged (no configuration, a defect of ours) is tried again after this, seconds.
RETRY_S = 60.0
#: Why a queue is blocked, as operators see it (``blocked_by``), beside what ``way_out`` says.
ROOM = "ready queue full"
QUESTION = "a shared rate is asked for"
RATE = "max_message_rate"
SELECTION = "source_selection_rate"
NO_SPOOL = "the spool cannot be written"
DEFECT = "an internal error"
_THROTTLED = InsertReason.THROTTLED_BY_THROTTLE_INSERT_READY_QUEUE


class _Step(enum.Enum):
    """What became of a message that may be promoted."""

    #: It is in another place: a ready queue, settled, held, or waiting for a new due time.
    GONE = enum.auto()
    #: It stays the head of its backlog, and the queue has a retry handle.
    BLOCKED = enum.auto()
    #: Only a drain can go on: something has to be waited for.
    COLD = enum.auto()


class PromotionPorts(BouncingPorts, DuePorts, HoldingPorts, ThrottlePorts, WayPorts, Protocol):
    """What promotion needs from the node."""

    metrics: Metrics

    def may_deliver(self) -> bool:
        """Return whether deliveries may start."""


class Promotion:
    """The scheduled side of a node: from insertion to the ready queue."""

    def __init__(
        self,
        ports: PromotionPorts,
        queues: ScheduledRegistry,
        ready: ReadyRegistry,
        settlement: Callable[[], Settlement],
    ) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._queues = queues
        self._settlement = settlement
        self._pace = Pace(ports.clock.mono)
        self._due_times = DueTimes(ports, self._fall_due)
        self._ways = WayOut(ports, ready)
        self._throttle = InsertThrottle(ports)
        self._holding = Holding(ports, self._due_times, settlement, self._pace, self._look_again)
        self._stored = StoredMessages(ports, settlement, self._resume_in)
        self._bouncing = Bouncing(ports, queues, settlement, self._pace, self._stored.load)
        self._ageing = Ageing(ports, self._ways, settlement, self._pace, self._stored.load)
        self.stopping = False
        metrics = ports.metrics
        self._count_full = metrics.counter("delayed_due_to_ready_queue_full")
        self._count_ready_full = metrics.counter("ready_full")
        self._tardiness = metrics.histogram("timeq_reinsert_tardiness").labels()
        self._count_rate = metrics.counter("delayed_due_to_message_rate_throttle")
        self._count_throttle = metrics.counter("delayed_due_to_throttle_insert_ready")

    def config_of(self, queue_name: str) -> QueueConfig | None:
        """Return the configuration of a queue as last known."""
        queue = self._queues.find(queue_name)
        return queue.config if queue is not None else None

    # -- insertion ----------------------------------------------------------------------------

    def insert(self, message: Message) -> None:
        """Take a stored message into its queue; never raises and never waits."""
        if self.stopping:
            # It is on disk with its due time: the next start goes on with it.
            return
        try:
            self._insert(message)
        except Exception:  # boundary: supervisor
            log.exception("inserting %s failed; it is tried again in a minute", message.id)
            queue = self._queues.get(message.queue_name, self._clock.mono())
            message.due_mono = self._clock.mono() + RETRY_S
            message.context |= InsertReason.FAILED_TO_INSERT_INTO_READY_QUEUE
            self._ports.store.update(message)
            self._keep(queue, message)

    def _insert(self, message: Message) -> None:
        now = self._clock.mono()
        queue = self._queues.get(message.queue_name, now)
        if self._bouncing.judge(queue, message):
            return
        if message.due_mono > now:
            if self._ageing.judge(queue, message):
                return
            message.context |= InsertReason.SCHEDULED_FOR_LATER
            if not (message.context & InsertReason.LOGGED_TRANSIENT_FAILURE or message.hold):
                self._settlement().delayed(message, "")
            self._keep(queue, message)
            return
        if queue.draining or queue.backlog or self._try(queue, message, now) is not _Step.GONE:
            entry = waiting_of(message, queue)
            queue.add(entry)
            self._append(queue, entry)

    def add_waiting(
        self, spool_id: SpoolId, queue_name: str, due_mono: float, mark: int = 0
    ) -> None:
        """Take a message found on disk into its queue, to come out at its due time."""
        queue = self._queues.get(queue_name, self._clock.mono())
        entry = Waiting(spool_id, due_mono, queue, InsertReason.ENUMERATED, mark)
        queue.add(entry)
        self._due_times.add(entry)

    def _keep(self, queue: ScheduledQueue, message: Message) -> None:
        entry = waiting_of(message, queue)
        queue.add(entry)
        self._due_times.add(entry)

    def _fall_due(self, entry: Waiting) -> None:
        entry.context |= InsertReason.DUE_TIME_WAS_REACHED
        self._append(entry.queue, entry)

    def _append(self, queue: ScheduledQueue, entry: Waiting) -> None:
        queue.append(entry)
        if queue.retry_handle is None:
            self._start_drain(queue)

    # -- draining a backlog -------------------------------------------------------------------

    def _start_drain(self, queue: ScheduledQueue) -> None:
        if queue.draining or self.stopping:
            return
        queue.draining = True
        self._ports.supervisor.start(self._drain(queue), f"drain {queue.name}")

    def _resume(self, queue: ScheduledQueue) -> None:
        queue.retry_handle = None
        if queue.backlog:
            self._start_drain(queue)

    def _resume_in(self, queue: ScheduledQueue, delay_s: float, why: str) -> None:
        queue.blocked_by = why
        if queue.retry_handle is None:
            loop = asyncio.get_running_loop()
            queue.retry_handle = loop.call_later(max(delay_s, 0.001), self._resume, queue)

    async def _drain(self, queue: ScheduledQueue) -> None:
        queue.blocked_by = ""
        try:
            if self._pace.is_spent():
                await self._pace.wait()
            if queue.lacks_source and not queue.backlog:
                await self._find_way(queue)
            while not self.stopping and (entry := queue.head()) is not None:
                if await self._advance_safely(queue, entry) is _Step.BLOCKED:
                    break
                if self._pace.is_spent():
                    await self._pace.wait()
        finally:
            queue.draining = False
        if queue.backlog and queue.retry_handle is None:
            self._start_drain(queue)

    async def _advance_safely(self, queue: ScheduledQueue, entry: Waiting) -> _Step:
        """Move the head on; one that meets a defect is put off, so that the others go on."""
        try:
            return await self._advance(queue, entry)
        except Exception:  # boundary: supervisor
            name = entry.spool_id.hex()
            log.exception("promoting %s from %s failed; tried again later", name, queue.name)
            if queue.entries.get(entry.spool_id, entry) is entry:
                queue.discard(entry)
                due_mono = self._clock.mono() + RETRY_S
                context = entry.context | InsertReason.FAILED_TO_INSERT_INTO_READY_QUEUE
                later = Waiting(entry.spool_id, due_mono, queue, context, entry.mark)
                queue.add(later)
                self._due_times.add(later)
            return _Step.GONE

    async def _advance(self, queue: ScheduledQueue, entry: Waiting) -> _Step:
        """Move the head of a backlog on, waiting for what has to be waited for."""
        asked: Asked | None = queue.asked
        if asked is not None and asked.message.spool_id == entry.spool_id:
            message: Message | None = asked.message
            queue.asked = None
        else:
            asked = None
            message = self._stored.load(queue, entry)
        if message is None:
            return _Step.BLOCKED if queue.knows(entry) else _Step.GONE
        if self._is_set_aside(queue, message, self._clock.mono()):
            queue.discard(entry)
            return _Step.GONE
        if not self._ways.is_known(queue, self._clock.mono()):
            way = await self._find_way(queue)
            if not queue.knows(entry):
                # An administrative bounce took it meanwhile.
                return _Step.GONE
            if way is not Way.OPEN:
                return await self._turn_back(queue, entry, message, way)
            if self._is_set_aside(queue, message, self._clock.mono()):
                queue.discard(entry)
                return _Step.GONE
        step: _Step | Asked = asked or self._promote(queue, message, self._clock.mono())
        if type(step) is Asked:
            await self._throttle.finish(step)
            if not queue.knows(entry):
                return _Step.GONE
            step = self._place_asked(queue, message)
        assert isinstance(step, _Step)
        if step is _Step.GONE:
            queue.discard(entry)
        return step

    # -- the way out --------------------------------------------------------------------------

    async def _find_way(self, queue: ScheduledQueue) -> Way:
        """Return the way out; with ``UNKNOWN`` the queue has a retry handle."""
        try:
            way = await self._ways.find(queue)
        except Exception:  # boundary: supervisor
            log.exception("finding the way out of %s failed; tried again in a minute", queue.name)
            queue.blocked_by = DEFECT
            way = Way.UNKNOWN
        if way is Way.UNKNOWN:
            self._resume_in(queue, RETRY_S, queue.blocked_by)
        return way

    def _look_again(self, queue: ScheduledQueue) -> None:
        """Have a drain find the way out again if what is known is too old."""
        if queue.retry_handle is None and not self._ways.is_known(queue, self._clock.mono()):
            self._start_drain(queue)

    async def _turn_back(
        self, queue: ScheduledQueue, entry: Waiting, message: Message, way: Way
    ) -> _Step:
        """Do with a message what its queue's missing way out means for it."""
        if way is Way.UNKNOWN:
            return _Step.BLOCKED
        queue.discard(entry)
        if way is Way.NOWHERE:
            self._ports.store.remove(message)
            return _Step.GONE
        closed: Closed = queue.closed
        message.context |= closed.reason
        where = Circumstances(site_name=queue.domain, delivery_protocol="ESMTP")
        if closed.reply.is_permanent:
            await self._settlement().fail(message, closed.reply, where)
        else:
            await self._settlement().defer_whole(message, closed.reply, where)
        return _Step.GONE

    # -- one message --------------------------------------------------------------------------

    def _try(self, queue: ScheduledQueue, message: Message, now: float) -> _Step:
        """Move a new message on without waiting, as far as it goes."""
        if self._is_set_aside(queue, message, now):
            return _Step.GONE
        if not self._ways.is_known(queue, now):
            return _Step.COLD
        step = self._promote(queue, message, now)
        if type(step) is Asked:
            # The drain that follows waits for it.
            queue.asked = step
            return _Step.COLD
        assert isinstance(step, _Step)
        return step

    def _is_set_aside(self, queue: ScheduledQueue, message: Message, now: float) -> bool:
        """Bounce, expire or hold a message that must not go; return whether it was one."""
        if self._bouncing.judge(queue, message):
            return True
        if message.hold is not None and self._holding.hold_single(queue, message, message.hold):
            return True
        config = queue.config
        if config is not None and self._settlement().expires(message, config.retry, 0.0):
            self._settlement().expire(message, now)
            return True
        suspensions = self._ports.suspensions
        if suspensions.is_empty:
            return False
        suspension = suspensions.find_scheduled(queue.name)
        if suspension is None:
            return False
        self._holding.hold_suspended(queue, message, suspension)
        return True

    def _promote(self, queue: ScheduledQueue, message: Message, now: float) -> _Step | Asked:
        """Move a message whose way is known past the throttles and into a ready queue."""
        if not self._ports.may_deliver():
            self._resume_in(queue, SPOOL_RETRY_S, NO_SPOOL)
            return _Step.BLOCKED
        plan: EgressPlan = queue.plan
        if plan.queues and not any(ready.has_room for ready in plan.queues.values()):
            return self._blocked_by_room(queue, message, plan, RETRY_S)
        if queue.cleared_id == message.spool_id:
            return self._place(queue, message, now)
        wait_s = self._throttle.rate_wait_s(queue, now)
        if wait_s == ASKING:
            return self._blocked_by_question(queue)
        if wait_s > 0:
            self._delayed_once(queue, message, InsertReason.MESSAGE_RATE_THROTTLE, wait_s)
            self._count_rate.labels(queue.name).inc()
            self._resume_in(queue, wait_s, RATE)
            return _Step.BLOCKED
        asked = None if queue.is_transfer else self._throttle.ask(message)
        if asked is not None:
            return asked
        return self._place_asked(queue, message)

    def _place_asked(self, queue: ScheduledQueue, message: Message) -> _Step:
        """Place a message about which the throttle handlers were asked, unless they delayed it."""
        now = self._clock.mono()
        if message.due_mono <= now:
            queue.cleared_id = message.spool_id
            return self._place(queue, message, now)
        if self._ageing.judge(queue, message):
            return _Step.GONE
        message.context |= _THROTTLED
        self._count_throttle.labels(queue.name).inc()
        self._settlement().delayed(message, "")
        if message.meta_dirty & DIRTY_BODY:
            self._ports.store.replace_body(message)
        else:
            self._ports.store.update(message)
        message.meta_dirty = 0
        self._keep(queue, message)
        return _Step.GONE

    def _delayed_once(
        self, queue: ScheduledQueue, message: Message, reason: InsertReason, wait_s: float
    ) -> None:
        if message.context & reason:
            return
        message.context |= reason
        entry = queue.entries.get(message.spool_id)
        if entry is not None:
            entry.context |= reason
        self._settlement().delayed(message, f"; frees in {wait_s:.1f} s" if wait_s else "")

    def _blocked_by_room(
        self, queue: ScheduledQueue, message: Message, plan: EgressPlan, again_s: float
    ) -> _Step:
        self._delayed_once(queue, message, InsertReason.READY_QUEUE_WAS_FULL, 0.0)
        self._count_full.labels(queue.name).inc()
        self._count_ready_full.labels("smtp_client").inc()
        for ready in plan.queues.values():
            ready.waiters[queue] = self._resume_from_room
        # Should no room ever be announced, look again by the clock.
        self._resume_in(queue, again_s, ROOM)
        return _Step.BLOCKED

    def _blocked_by_question(self, queue: ScheduledQueue) -> _Step:
        """Go on when Redis has said something about a shared rate."""
        self._throttle.asking.when_answered(partial(self._resume_from, queue, QUESTION))
        self._resume_in(queue, RETRY_S, QUESTION)
        return _Step.BLOCKED

    def _resume_from_room(self, queue: ScheduledQueue) -> bool:
        """Let a queue go on that waits for room; return whether it still did."""
        return self._resume_from(queue, ROOM)

    def _resume_from(self, queue: ScheduledQueue, why: str) -> bool:
        """Let a queue go on that is blocked by something; return whether it still was."""
        if queue.blocked_by != why or queue.retry_handle is None:
            return False
        queue.retry_handle.cancel()
        self._resume(queue)
        return True

    def _place(self, queue: ScheduledQueue, message: Message, now: float) -> _Step:
        """Choose a source and push the message into its ready queue."""
        plan: EgressPlan = queue.plan
        suspensions = self._ports.suspensions
        eligible: Callable[[str], bool] | None = None
        if not suspensions.is_empty:
            eligible = {
                name
                for name, ready in plan.queues.items()
                if suspensions.find_way(ready.name, name) is None
            }.__contains__
        again_s = float("inf")
        full = False
        for name in plan.selector.order(eligible):
            ready = plan.queues[name]
            if ready.retired:
                # It was reaped while this plan still named it: nothing would ever leave it.
                queue.plan = None
                return _Step.COLD
            if not ready.has_room:
                full = True
                continue
            wait_s = self._throttle.selection_wait_s(ready, now)
            if wait_s == ASKING:
                return self._blocked_by_question(queue)
            if wait_s > 0:
                again_s = min(again_s, wait_s)
                continue
            plan.selector.chosen(name)
            self._tardiness.observe(now - message.due_mono)
            self._push(queue, ready, message, plan)
            return _Step.GONE
        if full:
            return self._blocked_by_room(queue, message, plan, min(again_s, RETRY_S))
        if again_s == float("inf"):
            queue.cleared_id = None
            self._holding.hold_for_sources(queue, message, plan)
            return _Step.GONE
        self._delayed_once(queue, message, InsertReason.SOURCE_SELECTION_THROTTLE, again_s)
        self._resume_in(queue, again_s, SELECTION)
        return _Step.BLOCKED

    def _push(
        self, queue: ScheduledQueue, ready: ReadyQueue, message: Message, plan: EgressPlan
    ) -> None:
        queue.cleared_id = None
        message.pool = plan.pool
        if message.flags & FLAG_HELD:
            message.flags &= ~FLAG_HELD
            # Stored, or a hold after a restart would be taken for this one and go unrecorded.
            self._ports.store.update(message)
        # The reasons told why it waited here; when it comes back it has others.
        message.context = 0
        ready.push(message)

    # -- operators ----------------------------------------------------------------------------

    def release_held(self) -> None:
        """Let held messages go whose suspension is over, spread over a minute."""
        if not self.stopping:
            self._holding.release()

    def bounce_waiting(self) -> None:
        """Settle every waiting message that an administrative bounce covers."""
        if not self.stopping:
            self._bouncing.start()

    def sweep(self) -> None:
        """Do what falls due without an event of its own; called about once a second."""
        if self._holding:
            self.release_held()
        for queue in self._queues.reap(self._clock.mono()):
            for family in (self._count_full, self._count_rate, self._count_throttle):
                family.remove(queue.name)

    def stop(self) -> None:
        """Promote nothing any more; what waits is on disk."""
        self.stopping = True
        self._due_times.stop()
