"""What may slow mail down on its way into a ready queue: rates, and the script's own throttles.

Place in flow: ``engine.schedule.promotion`` asks before it places a message.

Invariants:
    * A message takes each token once: what passed and then found no source is not asked about
      again (``queue.cleared_id``).
    * Being slowed down costs no attempt, and is recorded once per reason while the message waits.
    * A handler that fails or refuses delays the message and nothing else.
"""

from __future__ import annotations

import logging
from typing import NamedTuple, Protocol

from engine.base.clock import Clock
from engine.model.insert_reason import InsertReason
from engine.model.message import Message
from engine.ready.ready_queue import ReadyQueue
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.script_refusals import SmtpRefusal
from engine.script_views import MessageView
from engine.spool.spool_store import SpoolStore
from engine.throttle.limiter import ASKING, RateBucket
from engine.throttle.shared_limiter import NodeLimiter
from policy.errors import HookFailedError
from policy.handler_call import Pending
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.schedule")

#: Messages delayed by a failing throttle handler wait this long, seconds.
FAILED_S = 30.0
HOOK = "throttle_insert_ready_queue"


class Asked(NamedTuple):
    """A handler that was asked about a message and has to be waited for."""

    message: Message
    pending: Pending


class ThrottlePorts(Protocol):
    """What throttling needs from the node."""

    clock: Clock
    store: SpoolStore
    runtime: PolicyRuntime
    limiter: NodeLimiter


class InsertThrottle:
    """Asks the script's throttles, and the selection rates of sources.

    Attributes:
        asking: The bucket that gave the last ``ASKING``; it tells when there is news.
    """

    asking: RateBucket

    def __init__(self, ports: ThrottlePorts) -> None:
        self._ports = ports
        self._clock = ports.clock
        self._runtime = ports.runtime
        self._limiter = ports.limiter

    def rate_wait_s(self, queue: ScheduledQueue, now: float) -> float:
        """Take from the queue's ``max_message_rate``.

        Returns:
            0, or how long until it frees, or ``ASKING``.
        """
        bucket = queue.bucket
        if bucket is None:
            return 0.0
        wait_s = bucket.take(1, now)
        if wait_s < 0:
            self.asking = bucket
        return wait_s

    def ask(self, message: Message) -> Asked | None:
        """Ask the script about a message; what it decides is the message's due time.

        Returns:
            What has to be waited for with ``finish``, or None if the script has decided.
        """
        if not self._runtime.is_handled(HOOK):
            return None
        view = MessageView(message, self._ports.store.load_body, self._clock)
        try:
            answer = self._runtime.fire_nowait(HOOK, view)
        except (HookFailedError, SmtpRefusal) as error:
            self._fail(message, error)
            return None
        return Asked(message, answer) if type(answer) is Pending else None

    async def finish(self, asked: Asked) -> None:
        """Wait for a handler; what it decides is the message's due time."""
        try:
            await asked.pending.finish()
        except (HookFailedError, SmtpRefusal) as error:
            self._fail(asked.message, error)

    def _fail(self, message: Message, error: BaseException) -> None:
        log.error("%s failed for %s: %s", HOOK, message.id, error)
        message.due_mono = self._clock.mono() + FAILED_S
        message.context |= InsertReason.THROTTLE_HANDLER_FAILED

    def selection_wait_s(self, ready: ReadyQueue, now: float) -> float:
        """Take from a source's selection rates.

        Returns:
            0, or how long until it is eligible, or ``ASKING``.
        """
        path = ready.path
        if path.source_selection_rate is None and not path.additional_source_selection_rates:
            return 0.0
        rates = [(spec, key) for key, spec in path.additional_source_selection_rates.items()]
        if path.source_selection_rate is not None:
            rates.append((path.source_selection_rate, f"source_selection_rate.{ready.name}"))
        rates.sort(key=lambda rate: rate[0].per_s)
        buckets = [self._limiter.bucket(key, spec) for spec, key in rates]
        for bucket in buckets:
            bucket.prepare()
        for place, bucket in enumerate(buckets):
            wait_s: float = bucket.take(1, now)
            if wait_s == 0.0:
                continue
            for other in buckets[:place]:
                other.give_back()
            if wait_s == ASKING:
                self.asking = bucket
            return wait_s
        return 0.0
