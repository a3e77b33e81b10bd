"""Due messages to ready queues: every hop from waiting to "may go now".

Place in flow: ``engine.receive.admission`` and ``engine.schedule.settlement`` insert messages; this
keeps them until they are due, finds their way out and pushes them into ready queues.

Invariants:
    * A message that was inserted is in exactly one place: its scheduled queue, a ready queue, a
      dispatcher's hand, or settled. No error on the way strands it: what cannot be judged waits.
    * Within a queue nothing overtakes the backlog; a queue whose head is blocked costs nothing
      until what blocks it ends (a throttle frees, a ready queue has room, a suspension is over).
    * One drain runs per queue. Waiting for DNS or a handler holds up that queue only.
    * Held (suspended) messages are recorded once, burn no attempt, and leave within a minute after
      the end, spread evenly.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.metrics import Metrics
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.suspensions import SuspensionRegistry
from engine.deliver.work import Circumstances
from engine.model.errors import EngineError, SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.message import FLAG_HELD, Message, SpoolId, message_from
from engine.model.queue_config import NullProtocol, QueueConfig, make_queue_config
from engine.model.reply import SmtpReply, make_reply
from engine.ready.ready_queue import ReadyQueue
from engine.ready.ready_registry import EgressPlan, ReadyRegistry
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.schedule.settlement import Settlement
from engine.schedule.timer_wheel import TimerWheel, Waiting
from engine.script_refusals import SmtpRefusal
from engine.script_views import MessageView
from engine.spool.spool_store import SpoolStore
from engine.throttle.limiter import Bucket, MemoryLimiter
from policy.errors import HookFailedError
from policy.handler_call import Pending
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.schedule")

#: A queue whose configuration cannot be had is asked for again after this time, seconds.
CONFIG_RETRY_S = 60.0
#: Held messages leave within this time after the suspension ended, seconds.
RELEASE_S = 60.0
#: How long one piece of work may hold the loop before others get a turn, seconds.
SLICE_S = 0.005
#: Messages delayed by a failing throttle handler wait this long, seconds.
FAILED_THROTTLE_S = 30.0
NULL_MX = make_reply(556, "5.1.10 the domain accepts no mail (null MX)")
_THROTTLED = InsertReason.THROTTLED_BY_THROTTLE_INSERT_READY_QUEUE


class _Step(enum.Enum):
    """What became of the head of a backlog."""

    GONE = enum.auto()
    BLOCKED = enum.auto()
    COLD = enum.auto()


@dataclass(slots=True)
class _Asked:
    """A throttle handler that has to be waited for."""

    pending: Any


class PromotionPorts(Protocol):
    """What promotion needs from the node."""

    clock: Clock
    store: SpoolStore
    runtime: PolicyRuntime
    supervisor: Supervisor
    limiter: MemoryLimiter
    suspensions: SuspensionRegistry
    bounces: AdminBounceRegistry
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
        self._ready = ready
        self._settlement_of = settlement
        self._wheel = TimerWheel()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_mono = float("inf")
        self._turning = False
        self._holding: set[ScheduledQueue] = set()
        self.stopping = False
        metrics = ports.metrics
        self._count_full = metrics.counter("delayed_due_to_ready_queue_full")
        self._count_rate = metrics.counter("delayed_due_to_message_rate_throttle")
        self._count_throttle = metrics.counter("delayed_due_to_throttle_insert_ready")

    @property
    def _settlement(self) -> Settlement:
        return self._settlement_of()

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
            self._wait(self._queues.get("unroutable.invalid", self._clock.mono()), message, 60.0)

    def _insert(self, message: Message) -> None:
        now = self._clock.mono()
        queue = self._queues.get(message.queue_name, now)
        if not self._ports.bounces.is_empty:
            directive = self._ports.bounces.find(queue.name)
            if directive is not None:
                self._settlement.bounce(message, directive)
                return
        if message.due_mono > now:
            message.context |= InsertReason.SCHEDULED_FOR_LATER
            if not message.context & InsertReason.LOGGED_TRANSIENT_FAILURE:
                self._settlement.delayed(message, "")
            self._keep(queue, message)
            return
        if queue.draining or queue.backlog or self._try(queue, message, now) is not _Step.GONE:
            self._enqueue(queue, message)

    def _enqueue(self, queue: ScheduledQueue, message: Message) -> None:
        entry = Waiting(message.spool_id, message.due_mono, queue, message.context)
        queue.add(entry)
        queue.backlog.append(entry)
        if queue.retry_handle is None:
            self._start_drain(queue)

    def add_waiting(self, spool_id: SpoolId, queue_name: str, due_mono: float) -> None:
        """Take a message found on disk into its queue, to come out at its due time."""
        queue = self._queues.get(queue_name, self._clock.mono())
        entry = Waiting(spool_id, due_mono, queue, InsertReason.ENUMERATED)
        queue.add(entry)
        self._wheel.add(entry)
        self._arm(entry.due_mono)

    def _wait(self, queue: ScheduledQueue, message: Message, delay_s: float) -> None:
        message.due_mono = self._clock.mono() + delay_s
        self._ports.store.update(message)
        self._keep(queue, message)

    def _keep(self, queue: ScheduledQueue, message: Message) -> None:
        entry = Waiting(message.spool_id, message.due_mono, queue, message.context)
        queue.add(entry)
        self._wheel.add(entry)
        self._arm(entry.due_mono)

    # -- time ---------------------------------------------------------------------------------

    def _arm(self, due_mono: float) -> None:
        if due_mono >= self._timer_mono or self._turning:
            return
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer_mono = due_mono
        self._timer = loop.call_later(max(0.0, due_mono - self._clock.mono()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_mono = float("inf")
        if not self._turning:
            self._turning = True
            self._ports.supervisor.start(self._turn(), "timer-wheel")

    async def _turn(self) -> None:
        """Move everything that is due into the backlogs, in slices."""
        try:
            started = self._clock.mono()
            while entries := self._wheel.take_due(self._clock.mono()):
                for entry in entries:
                    queue = entry.queue
                    if not queue.knows(entry):
                        continue
                    entry.context |= InsertReason.DUE_TIME_WAS_REACHED
                    queue.backlog.append(entry)
                    if queue.retry_handle is None:
                        self._start_drain(queue)
                    if self._clock.mono() - started > SLICE_S:
                        await asyncio.sleep(0)
                        started = self._clock.mono()
        finally:
            self._turning = False
            following = self._wheel.next_mono()
            if following is not None and not self.stopping:
                self._arm(following + 0.001)

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
        try:
            await self._drain_backlog(queue)
        except Exception:  # boundary: supervisor
            log.exception("promotion from %s failed; tried again in a minute", queue.name)
            self._resume_in(queue, CONFIG_RETRY_S, "an internal error")
        finally:
            queue.draining = False
            queue.last_changed_mono = self._clock.mono()
        if queue.backlog and queue.retry_handle is None and not queue.blocked_by:
            self._start_drain(queue)

    async def _drain_backlog(self, queue: ScheduledQueue) -> None:
        queue.blocked_by = ""
        started = self._clock.mono()
        while not self.stopping and (entry := queue.head()) is not None:
            if not await self._warm(queue):
                return
            message = self._load(queue, entry)
            if message is None:
                if queue.blocked_by:
                    return
                continue
            step = self._try(queue, message, self._clock.mono(), asked=_Asked(None))
            if isinstance(step, _Asked):
                if not await self._finish_hook(queue, message, step):
                    queue.discard(entry)
                    continue
                step = self._place(queue, message, self._clock.mono())
            if step is _Step.GONE:
                queue.discard(entry)
            elif step is _Step.BLOCKED:
                return
            if self._clock.mono() - started > SLICE_S:
                await asyncio.sleep(0)
                started = self._clock.mono()

    def _load(self, queue: ScheduledQueue, entry: Waiting) -> Message | None:
        """Return the message of an entry, or None: gone, damaged, or the spool is away."""
        spool_id = SpoolId(entry.spool_id)
        try:
            stored = self._ports.store.load(spool_id)
        except SpoolUnavailableError as error:
            self._resume_in(queue, 1.0, str(error))
            return None
        except SpoolEntryDamagedError as error:
            queue.discard(entry)
            log.error("message %s is damaged in the spool: %s", spool_id.hex(), error)
            self._ports.store.quarantine(spool_id)
            return None
        if stored is None:
            queue.discard(entry)
            return None
        message = message_from(spool_id, stored, entry.due_mono)
        message.queue_name = queue.name
        message.context = entry.context
        return message

    # -- knowing the way ----------------------------------------------------------------------

    def _is_warm(self, queue: ScheduledQueue, now: float) -> bool:
        plan = queue.plan
        return (
            plan is not None
            and queue.epoch_serial == self._ports.runtime.epoch.serial
            and now < queue.config_until_mono
            and now < plan.until_mono
        )

    async def _warm(self, queue: ScheduledQueue) -> bool:
        """Make configuration and way out known; return whether the backlog may go on."""
        if self._is_warm(queue, self._clock.mono()):
            return True
        serial = self._ports.runtime.epoch.serial
        if not await self._configure(queue, serial):
            self._resume_in(queue, CONFIG_RETRY_S, "get_queue_config failed")
            return False
        assert queue.config is not None
        protocol = queue.config.protocol
        if isinstance(protocol, NullProtocol) or queue.name == "null":
            self._discard_all(queue)
            return False
        try:
            plan = await self._ready.plan_for(
                queue.name, queue.domain, protocol, queue.config.egress_pool
            )
        except HookFailedError as error:
            log.error("no way out for %s: %s", queue.name, error)
            self._resume_in(queue, CONFIG_RETRY_S, "an egress handler failed")
            return False
        except EngineError as error:
            if queue.plan is not None and queue.plan.queues:
                # A DNS hiccup does not undo what is known: keep the old way for a while.
                log.warning("keeping the known route of %s: %s", queue.name, error)
                queue.plan = queue.plan._replace(until_mono=self._clock.mono() + 10.0)
                queue.epoch_serial = serial
                return True
            await self._defer_all(queue, error)
            return False
        if plan.is_null:
            await self._fail_all(queue, NULL_MX)
            return False
        queue.plan = plan
        queue.epoch_serial = serial
        return True

    async def _configure(self, queue: ScheduledQueue, serial: int) -> bool:
        now = self._clock.mono()
        if (
            queue.config is not None
            and queue.epoch_serial == serial
            and now < queue.config_until_mono
        ):
            return True
        parsed = queue.parsed
        try:
            config = await self._ports.runtime.fire(
                "get_queue_config",
                parsed.domain,
                parsed.tenant,
                parsed.campaign,
                parsed.routing_domain,
            )
            if config is None:
                config = make_queue_config()
            elif not isinstance(config, QueueConfig):
                raise TypeError("get_queue_config did not answer with a queue config")
        except (HookFailedError, SmtpRefusal, TypeError) as error:
            log.error("get_queue_config for %s failed: %s", queue.name, error)
            if queue.config is None:
                return False
            config = queue.config
        queue.config = config
        queue.config_until_mono = now + max(config.refresh_interval_s, 1.0)
        queue.bucket = None
        if config.max_message_rate is not None:
            key = f"schedq-{queue.name}-message-rate"
            queue.bucket = self._ports.limiter.bucket(key, config.max_message_rate)
        return True

    def _discard_all(self, queue: ScheduledQueue) -> None:
        while (entry := queue.head()) is not None:
            message = self._load(queue, entry)
            if message is not None:
                self._ports.store.remove(message)
            elif queue.blocked_by:
                return
            queue.discard(entry)

    async def _defer_all(self, queue: ScheduledQueue, error: EngineError) -> None:
        """Defer a whole backlog: there is no route now."""
        reply = make_reply(451, f"4.4.4 no route to {queue.domain}: {error}")
        await self._settle_all(queue, reply, InsertReason.FAILED_TO_INSERT_INTO_READY_QUEUE)

    async def _fail_all(self, queue: ScheduledQueue, reply: SmtpReply) -> None:
        await self._settle_all(queue, reply, InsertReason.FAILED_DUE_TO_NULL_MX)

    async def _settle_all(
        self, queue: ScheduledQueue, reply: SmtpReply, reason: InsertReason
    ) -> None:
        where = Circumstances("", queue.domain, "", "ESMTP")
        settlement = self._settlement
        for _ in range(len(queue.backlog)):
            entry = queue.head()
            if entry is None:
                return
            message = self._load(queue, entry)
            if message is None:
                if queue.blocked_by:
                    return
                continue
            queue.discard(entry)
            message.context |= reason
            if reply.is_permanent:
                await settlement.fail(message, reply, where)
            else:
                await settlement.defer_whole(message, reply, where)

    # -- one message --------------------------------------------------------------------------

    def _try(
        self, queue: ScheduledQueue, message: Message, now: float, asked: _Asked | None = None
    ) -> _Step | _Asked:
        """Move a message on without waiting, as far as it goes.

        Args:
            queue: Its queue.
            message: The message; due.
            now: The monotonic present.
            asked: Whether the caller can wait for a throttle handler.
        """
        if not self._is_warm(queue, now):
            return _Step.COLD
        config = queue.config
        assert config is not None
        settlement = self._settlement
        if not self._ports.bounces.is_empty:
            directive = self._ports.bounces.find(queue.name)
            if directive is not None:
                settlement.bounce(message, directive)
                return _Step.GONE
        if settlement.expires(message, config.retry, 0.0):
            settlement.expire(message, now)
            return _Step.GONE
        if not self._ports.may_deliver():
            self._resume_in(queue, 1.0, "the spool cannot be written")
            return _Step.BLOCKED
        suspensions = self._ports.suspensions
        if not suspensions.is_empty:
            suspension = suspensions.find_scheduled(queue.name)
            if suspension is not None:
                text = f"scheduled queue is suspended: {suspension.reason} (by {suspension.author})"
                self._hold(queue, message, text)
                return _Step.GONE
        plan: EgressPlan = queue.plan
        if not any(ready.has_room for ready in plan.queues.values()) and plan.queues:
            return self._blocked_by_room(queue, message, plan)
        if queue.bucket is not None:
            wait_s = queue.bucket.take(1, now)
            if wait_s > 0:
                self._delayed_once(queue, message, InsertReason.MESSAGE_RATE_THROTTLE, wait_s)
                self._count_rate.labels(queue.name).inc()
                self._resume_in(queue, wait_s, "max_message_rate")
                return _Step.BLOCKED
        runtime = self._ports.runtime
        if runtime.is_handled("throttle_insert_ready_queue"):
            verdict = self._ask_throttle(queue, message, can_wait=asked is not None)
            if verdict is not None:
                return verdict
        return self._place(queue, message, now)

    def _delayed_once(
        self, queue: ScheduledQueue, message: Message, reason: InsertReason, wait_s: float
    ) -> None:
        if message.context & reason:
            return
        message.context |= reason
        entry = queue.entries.get(message.spool_id)
        if entry is not None:
            entry.context |= reason
        self._settlement.delayed(message, f"; frees in {wait_s:.1f} s" if wait_s else "")

    def _ask_throttle(
        self, queue: ScheduledQueue, message: Message, *, can_wait: bool
    ) -> _Step | _Asked | None:
        view = MessageView(message, self._ports.store.load_body, self._clock)
        try:
            answer = self._ports.runtime.fire_nowait("throttle_insert_ready_queue", view)
        except (HookFailedError, SmtpRefusal) as error:
            self._throttle_failed(queue, message, error)
            return _Step.GONE
        if type(answer) is Pending:
            if can_wait:
                return _Asked(answer)
            return _Step.COLD
        return self._after_throttle(queue, message)

    async def _finish_hook(self, queue: ScheduledQueue, message: Message, asked: _Asked) -> bool:
        """Wait for a throttle handler; return whether the message goes on."""
        try:
            await asked.pending.finish()
        except (HookFailedError, SmtpRefusal) as error:
            self._throttle_failed(queue, message, error)
            return False
        return self._after_throttle(queue, message) is None

    def _after_throttle(self, queue: ScheduledQueue, message: Message) -> _Step | None:
        now = self._clock.mono()
        if message.due_mono <= now:
            return None
        message.context |= _THROTTLED
        self._count_throttle.labels(queue.name).inc()
        self._settlement.delayed(message, "")
        self._ports.store.update(message)
        message.meta_dirty = 0
        self._keep(queue, message)
        return _Step.GONE

    def _throttle_failed(
        self, queue: ScheduledQueue, message: Message, error: BaseException
    ) -> None:
        log.error("throttle_insert_ready_queue failed for %s: %s", message.id, error)
        message.context |= _THROTTLED
        self._wait(queue, message, FAILED_THROTTLE_S)

    def _blocked_by_room(self, queue: ScheduledQueue, message: Message, plan: EgressPlan) -> _Step:
        self._delayed_once(queue, message, InsertReason.READY_QUEUE_WAS_FULL, 0.0)
        self._count_full.labels(queue.name).inc()
        queue.blocked_by = "ready queue full"
        for ready in plan.queues.values():
            ready.waiters[queue] = lambda: self._resume_from_room(queue)
        # Should no room ever be announced (a reaped queue, say), look again by the clock.
        loop = asyncio.get_running_loop()
        if queue.retry_handle is None:
            queue.retry_handle = loop.call_later(CONFIG_RETRY_S, self._resume, queue)
        return _Step.BLOCKED

    def _resume_from_room(self, queue: ScheduledQueue) -> None:
        if queue.retry_handle is not None:
            queue.retry_handle.cancel()
        self._resume(queue)

    def _place(self, queue: ScheduledQueue, message: Message, now: float) -> _Step:
        """Choose a source and push the message into its ready queue."""
        plan: EgressPlan = queue.plan
        suspensions = self._ports.suspensions
        eligible: Callable[[str], bool] | None = None
        if not suspensions.is_empty:
            open_sources = {
                name
                for name, ready in plan.queues.items()
                if suspensions.find_ready(ready.name) is None
            }
            if not open_sources:
                self._hold_for_sources(queue, message, plan)
                return _Step.GONE
            eligible = open_sources.__contains__
        shortest_s = float("inf")
        full = False
        for name in plan.selector.order(eligible):
            ready = plan.queues[name]
            if not ready.has_room:
                full = True
                continue
            wait_s = self._selection_wait(ready, now)
            if wait_s > 0:
                shortest_s = min(shortest_s, wait_s)
                continue
            plan.selector.chosen(name)
            message.pool = plan.pool
            message.flags &= ~FLAG_HELD
            ready.push(message)
            return _Step.GONE
        if full:
            return self._blocked_by_room(queue, message, plan)
        if shortest_s == float("inf"):
            self._hold_for_sources(queue, message, plan)
            return _Step.GONE
        reason = InsertReason.SOURCE_SELECTION_THROTTLE
        self._delayed_once(queue, message, reason, shortest_s)
        self._resume_in(queue, shortest_s, "source_selection_rate")
        return _Step.BLOCKED

    def _selection_wait(self, ready: ReadyQueue, now: float) -> float:
        """Take from the source's selection rates; return 0 or how long until it is eligible."""
        path = ready.path
        rates = []
        if path.source_selection_rate is not None:
            key = f"source_selection_rate.{ready.name}"
            rates.append((path.source_selection_rate, key))
        rates += [(spec, key) for key, spec in path.additional_source_selection_rates.items()]
        if not rates:
            return 0.0
        taken: list[Bucket] = []
        for spec, key in sorted(rates, key=lambda item: item[0].per_s):
            bucket = self._ports.limiter.bucket(key, spec)
            wait_s = bucket.take(1, now)
            if wait_s > 0:
                for other in taken:
                    other.give_back()
                return wait_s
            taken.append(bucket)
        return 0.0

    # -- holding ------------------------------------------------------------------------------

    def _hold(self, queue: ScheduledQueue, message: Message, text: str) -> None:
        self._settlement.hold(message, text)
        entry = Waiting(message.spool_id, message.due_mono, queue, message.context)
        queue.add(entry)
        queue.held.append(entry)
        self._holding.add(queue)

    def _hold_for_sources(self, queue: ScheduledQueue, message: Message, plan: EgressPlan) -> None:
        if plan.queues:
            found = [self._ports.suspensions.find_ready(r.name) for r in plan.queues.values()]
            reasons = "; ".join(f"{d.name}: {d.reason} (by {d.author})" for d in found if d)
            text = f"no source of pool {plan.pool} is eligible: {reasons}"
        else:
            text = f"pool {plan.pool} has no sources"
        self._hold(queue, message, text)

    def release_held(self) -> None:
        """Let held messages go whose suspension is over, spread over a minute."""
        for queue in list(self._holding):
            if self._still_held(queue):
                continue
            self._holding.discard(queue)
            held, queue.held = queue.held, []
            waiting = [entry for entry in held if queue.knows(entry)]
            now = self._clock.mono()
            for index, entry in enumerate(waiting):
                entry.due_mono = now + RELEASE_S * index / len(waiting)
                self._wheel.add(entry)
            if waiting:
                self._arm(now)

    def _still_held(self, queue: ScheduledQueue) -> bool:
        suspensions = self._ports.suspensions
        if suspensions.find_scheduled(queue.name) is not None:
            return True
        plan = queue.plan
        if plan is None or queue.epoch_serial != self._ports.runtime.epoch.serial:
            return False
        if not plan.queues:
            return bool(self._clock.mono() < plan.until_mono)
        return all(suspensions.find_ready(r.name) is not None for r in plan.queues.values())

    # -- operators ----------------------------------------------------------------------------

    def bounce_waiting(self) -> None:
        """Settle every waiting message that an administrative bounce matches."""
        for queue in self._queues:
            directive = self._ports.bounces.find(queue.name)
            if directive is None:
                continue
            for entry in list(queue.entries.values()):
                message = self._load(queue, entry)
                if message is not None:
                    queue.discard(entry)
                    self._settlement.bounce(message, directive)

    def sweep(self) -> None:
        """Do what falls due without an event of its own; called about once a second."""
        now = self._clock.mono()
        if self._holding:
            self.release_held()
        self._queues.reap(now)

    def count_waiting(self) -> int:
        """Return the number of messages in all scheduled queues."""
        return sum(len(queue.entries) for queue in self._queues)

    def stop(self) -> None:
        """Promote nothing any more; what waits is on disk."""
        self.stopping = True
        if self._timer is not None:
            self._timer.cancel()
