"""The way out of a scheduled queue: its configuration, and the ready queues its mail may enter.

Place in flow: ``engine.schedule.promotion`` asks before it promotes; this fires
``get_queue_config`` and has ``engine.ready.ready_registry`` work out the plan.

Invariants:
    * What is known is used until it is too old or the epoch changed, and asked once for all.
    * A failing handler keeps the last good answer; without one, mail waits and no attempt counts.
    * A DNS failure keeps the known way; without one, or when the domain or the pool does not exist,
      mail is deferred. Only the domain's own null MX fails it.
"""

from __future__ import annotations

import enum
import logging
from typing import NamedTuple, Protocol

from engine.base.clock import Clock
from engine.model.egress_options import RefreshStrategy
from engine.model.errors import DnsFailureError, EngineError
from engine.model.insert_reason import InsertReason
from engine.model.queue_config import (
    NullProtocol,
    QueueConfig,
    make_queue_config,
    transfer_queue_config,
)
from engine.model.reply import SmtpReply, make_reply
from engine.model.transfer_target import target_of
from engine.ready.ready_registry import EgressPlan, ReadyRegistry
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.script_refusals import SmtpRefusal
from engine.throttle.shared_limiter import NodeLimiter
from policy.errors import HookFailedError
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.schedule")

#: A known way is kept for so long after the DNS failed, before it is asked again, seconds.
KEEP_S = 10.0
#: That there is no way is believed for so long, seconds. It saves asking for each message.
CLOSED_S = 1.0
#: The shortest time that a configuration is kept, seconds: zero must not make a loop of asking.
CONFIG_MIN_S = 1.0
NULL_QUEUE = "null"
#: How ``blocked_by`` of a queue begins whose handlers failed.
CONFIG_FAILED = "get_queue_config failed"
EGRESS_FAILED = "an egress handler failed"
NULL_MX = make_reply(556, "5.1.10 the domain accepts no mail (null MX)")


class Way(enum.Enum):
    """What is known about the way out of a queue."""

    #: ``queue.plan`` says where mail goes.
    OPEN = enum.auto()
    #: There is none: ``queue.closed`` says what becomes of the mail.
    CLOSED = enum.auto()
    #: Mail of the queue is dropped.
    NOWHERE = enum.auto()
    #: A handler could not say: mail waits. ``queue.blocked_by`` says which.
    UNKNOWN = enum.auto()


class Closed(NamedTuple):
    """That mail cannot go out: the reply it gets, and why."""

    reply: SmtpReply
    reason: InsertReason
    until_mono: float
    serial: int


class WayPorts(Protocol):
    """What finding a way needs from the node."""

    clock: Clock
    runtime: PolicyRuntime
    limiter: NodeLimiter


class WayOut:
    """Finds the ways out of scheduled queues, and knows how long they are good."""

    def __init__(self, ports: WayPorts, ready: ReadyRegistry) -> None:
        self._clock = ports.clock
        self._runtime = ports.runtime
        self._limiter = ports.limiter
        self._ready = ready
        #: Why the last handler that was asked for a configuration gave none.
        self._why = ""

    def is_known(self, queue: ScheduledQueue, now: float) -> bool:
        """Return whether ``queue.config`` and ``queue.plan`` can be used as they are."""
        plan: EgressPlan | None = queue.plan
        return (
            plan is not None
            and queue.epoch_serial == self._runtime.epoch.serial
            and now < queue.config_until_mono
            and now < plan.until_mono
        )

    async def find(self, queue: ScheduledQueue) -> Way:
        """Return what is known about the way out, after asking for what is missing or too old."""
        if queue.name == NULL_QUEUE:
            return Way.NOWHERE
        now = self._clock.mono()
        if self.is_known(queue, now):
            return Way.OPEN
        serial = self._runtime.epoch.serial
        closed: Closed | None = queue.closed
        if closed is not None and now < closed.until_mono and closed.serial == serial:
            return Way.CLOSED
        config = await self.configure(queue)
        if config is None:
            queue.blocked_by = f"{CONFIG_FAILED}: {self._why}"
            return Way.UNKNOWN
        if isinstance(config.protocol, NullProtocol):
            return Way.NOWHERE
        try:
            plan = await self._ready.plan_for(
                queue.name, queue.domain, config.protocol, config.egress_pool
            )
        except HookFailedError as error:
            log.error("no way out for %s: %s", queue.name, error)
            queue.blocked_by = f"{EGRESS_FAILED}: {error}"
            return Way.UNKNOWN
        except EngineError as error:
            return self._judge(queue, error, serial)
        if plan.is_null:
            reason = InsertReason.FAILED_DUE_TO_NULL_MX
            return self._close(queue, Closed(NULL_MX, reason, plan.until_mono, serial))
        queue.plan, queue.epoch_serial, queue.closed = plan, serial, None
        return Way.OPEN

    def _judge(self, queue: ScheduledQueue, error: EngineError, serial: int) -> Way:
        """Return what an error on the way out means for the queue."""
        now = self._clock.mono()
        plan: EgressPlan | None = queue.plan
        if isinstance(error, DnsFailureError) and plan is not None and plan.queues:
            # A hiccup of the DNS does not undo what is known.
            log.warning("keeping the known route of %s: %s", queue.name, error)
            queue.plan = plan._replace(until_mono=now + KEEP_S)
            queue.epoch_serial = serial
            return Way.OPEN
        reply = make_reply(451, f"4.4.4 no route to {queue.domain}: {error}")
        reason = InsertReason.FAILED_TO_INSERT_INTO_READY_QUEUE
        return self._close(queue, Closed(reply, reason, now + CLOSED_S, serial))

    @staticmethod
    def _close(queue: ScheduledQueue, closed: Closed) -> Way:
        queue.plan, queue.closed = None, closed
        return Way.CLOSED

    async def configure(self, queue: ScheduledQueue) -> QueueConfig | None:
        """Return the queue's configuration; None if there is none yet and nobody can say."""
        serial = self._runtime.epoch.serial
        known: QueueConfig | None = queue.config
        if (
            known is not None
            and queue.config_serial == serial
            and self._clock.mono() < queue.config_until_mono
        ):
            return known
        try:
            config = await self._ask(queue)
        except (HookFailedError, SmtpRefusal, TypeError) as error:
            log.error("get_queue_config for %s failed: %s", queue.name, error)
            if known is None:
                self._why = str(error)
                return None
            config = known
        queue.config = config
        queue.config_serial = serial
        # From here on, not from before the handler was asked: a slow one would be too old at once.
        queue.config_until_mono = self._clock.mono() + max(config.refresh_interval_s, CONFIG_MIN_S)
        if config.refresh_strategy is RefreshStrategy.EPOCH and config is not known:
            queue.config_until_mono = float("inf")
        queue.bucket = None
        if config.max_message_rate is not None:
            key = f"schedq-{queue.name}-message-rate"
            queue.bucket = self._limiter.bucket(key, config.max_message_rate)
        return config

    async def _ask(self, queue: ScheduledQueue) -> QueueConfig:
        target = target_of(queue.name)
        if target is not None:
            return transfer_queue_config(target)
        parsed = queue.parsed
        config = await self._runtime.fire(
            "get_queue_config",
            parsed.domain,
            parsed.tenant,
            parsed.campaign,
            parsed.routing_domain,
        )
        if config is None:
            return make_queue_config()
        if not isinstance(config, QueueConfig):
            raise TypeError("get_queue_config did not answer with a queue config")
        return config
