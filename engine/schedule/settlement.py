"""After an attempt: record the outcome, then remove, requeue or fail the message.

Place in flow: dispatchers call it through the ``Settle`` port; it gives deferred messages back to
``engine.schedule.promotion``. The only writer of message state after an attempt.

Invariants, in this order and no other:
    1. What finished recipients became is written to the spool: they leave the envelope, or the
       message leaves the spool. Before that write the dispatcher starts no next message.
    2. The rest is requeued, its new attempt count and due time in the same write.
    3. Log records are emitted.
A crash between the peer's final 250 and step 1 delivers twice; nothing else does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from engine.base.clock import Clock
from engine.base.metrics import Counter, Family, Labels, Metrics
from engine.deliver.attempt import RecipientOutcome
from engine.model.circumstances import NOWHERE, Circumstances
from engine.model.disposition import Disposition
from engine.model.insert_reason import InsertReason, reason_names
from engine.model.log_record import RecordKind
from engine.model.message import FLAG_HELD, Message
from engine.model.queue_config import QueueConfig, transfer_queue_config
from engine.model.queue_name import parse_queue_name
from engine.model.reply import SmtpReply, make_reply
from engine.model.retry_schedule import RetrySchedule, is_expired, next_delay_s
from engine.model.schedule_window import adjust_due
from engine.model.suspension import Directive
from engine.model.transfer_state import is_assigned, restore
from engine.model.transfer_target import DELIVERY_PROTOCOL, LABEL, is_transfer_queue, target_of
from engine.records.recorder import Recorder
from engine.script_refusals import SmtpRefusal
from engine.script_views import DIRTY_BODY, MessageView, queue_name_of
from engine.spool.spool_store import SpoolStore
from policy.errors import HookFailedError
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.schedule")

#: Messages given back without an attempt are spread over this time, seconds.
SPREAD_S = 60.0
#: From this attempt on, a message that a handler moves to another queue waits before it goes on.
MOVES_AT_ONCE = 10
MOVE_PAUSE_S = 60.0
#: Counters kept at hand; with more, those of domains without a ready queue are forgotten too.
CHILDREN_MAX = 50_000
_DEFAULT_RETRY = RetrySchedule()
_KINDS = {
    Disposition.DELIVERED: RecordKind.DELIVERY,
    Disposition.DEFERRED: RecordKind.TRANSIENT_FAILURE,
    Disposition.FAILED: RecordKind.BOUNCE,
}
_METRICS = {
    Disposition.DELIVERED: "delivered",
    Disposition.DEFERRED: "transfail",
    Disposition.FAILED: "fail",
}
#: The field ``site`` of what an operator bounced.
_ADMIN = Circumstances(site="localhost")
_SERVICES = {"Script": "script", "Maildir": "maildir", DELIVERY_PROTOCOL: LABEL}


def _kind_of(disposition: Disposition | None, where: Circumstances) -> RecordKind:
    """Return the kind of record that an outcome is."""
    if disposition is Disposition.DELIVERED and where.delivery_protocol == DELIVERY_PROTOCOL:
        return RecordKind.XFER_OUT
    return _KINDS[disposition or Disposition.DEFERRED]


def _nowhere(message: Message) -> Circumstances:
    """Return the circumstances of a message that no host was asked to take."""
    return Circumstances(site_name=parse_queue_name(message.queue_name).domain)


class Settlement:
    """Makes outcomes durable and visible."""

    def __init__(
        self,
        *,
        clock: Clock,
        store: SpoolStore,
        recorder: Recorder,
        runtime: PolicyRuntime,
        metrics: Metrics,
        config_of: Callable[[str], QueueConfig | None],
        requeue: Callable[[Message], None],
        rng: random.Random,
    ) -> None:
        self._clock = clock
        self._store = store
        self._recorder = recorder
        self._runtime = runtime
        self._config_of = config_of
        self._requeue = requeue
        self._rng = rng
        self._families = {
            disposition: (
                metrics.counter(f"total_messages_{name}"),
                metrics.counter(f"total_messages_{name}_by_provider"),
                metrics.counter(f"total_messages_{name}_by_provider_and_source"),
            )
            for disposition, name in _METRICS.items()
        }
        self._children: dict[Any, list[Counter]] = {}
        # What is counted for one ready queue only, and under "" for domains without one.
        self._series: dict[str, set[tuple[Family[Counter], Labels]]] = {}

    # -- after an attempt ---------------------------------------------------------------------

    async def settle(
        self,
        message: Message,
        outcomes: list[RecipientOutcome],
        circumstances: Circumstances,
        final: bool,
    ) -> None:
        """Carry out what became of a message's recipients.

        Args:
            message: The message.
            outcomes: One per recipient that was tried.
            circumstances: What the records say beside the replies.
            final: Whether the message leaves the dispatcher; else the rest is still to be tried.
        """
        if len(outcomes) == 1 and len(message.recipients) == 1:
            deferred = outcomes if outcomes[0].disposition is Disposition.DEFERRED else []
            remaining = [outcomes[0].recipient] if deferred else []
        else:
            deferred = [one for one in outcomes if one.disposition is Disposition.DEFERRED]
            done = {one.recipient for one in outcomes} - {one.recipient for one in deferred}
            remaining = [one for one in message.recipients if one not in done]
        if not remaining:
            for one in outcomes:
                self._recorder.keep_headers(_kind_of(one.disposition, circumstances), message)
            self._store.remove(message)
            self._emit(message, outcomes, circumstances)
            return
        narrowed = len(remaining) != len(message.recipients)
        message.recipients = remaining
        if not final:
            if narrowed:
                self._store.update(message)
            self._emit(message, outcomes, circumstances)
            return
        reply = deferred[0].reply if deferred else _INTERRUPTED
        # Finished recipients first, by themselves: the hook below may wait, and a crash then
        # must not deliver to them again.
        if narrowed:
            self._store.update(message)
        self._emit(message, outcomes, circumstances)
        # After the records: a trace goes by when the attempt before this one was.
        message.note_reply(reply.one_line(), self._clock.wall(), circumstances.ready_queue)
        await self.defer(message, reply, InsertReason.LOGGED_TRANSIENT_FAILURE)

    def _emit(
        self,
        message: Message,
        outcomes: list[RecipientOutcome],
        where: Circumstances,
    ) -> None:
        """Record outcomes, those that are equal in one record."""
        if len(outcomes) == 1:
            self._record(message, outcomes[0], [outcomes[0].recipient], where)
            return
        groups: dict[tuple[Any, ...], list[RecipientOutcome]] = {}
        for one in outcomes:
            command = one.command if one.command == "." else ""
            groups.setdefault((one.disposition, one.reply, command), []).append(one)
        for same in groups.values():
            self._record(message, same[0], [one.recipient for one in same], where)

    def _record(
        self,
        message: Message,
        outcome: RecipientOutcome,
        recipients: list[str],
        where: Circumstances,
    ) -> None:
        disposition = outcome.disposition or Disposition.DEFERRED
        if where.provider_name is None:
            config = self._config_of(message.queue_name)
            if config is not None and config.provider_name is not None:
                where = msgspec.structs.replace(where, provider_name=config.provider_name)
        self._count(disposition, where, message.pool)
        self._recorder.record(
            _kind_of(disposition, where),
            message,
            reply=outcome.reply,
            where=where,
            command=outcome.command or None,
            recipients=recipients,
        )

    def _count(self, disposition: Disposition, where: Circumstances, pool: str | None) -> None:
        provider = where.provider_name or where.site_name
        key = (disposition, where.delivery_protocol, provider, where.ready_queue, pool)
        children = self._children.get(key)
        if children is None:
            if len(self._children) > CHILDREN_MAX:
                self._children.clear()
                self.forget_series([""])
            children = self._children[key] = self._counters_of(disposition, where, provider, pool)
        for child in children:
            child.inc()

    def _counters_of(
        self, disposition: Disposition, where: Circumstances, provider: str, pool: str | None
    ) -> list[Counter]:
        service = _SERVICES.get(where.delivery_protocol, "smtp_client")
        total, by_provider, by_source = self._families[disposition]
        series: list[tuple[Family[Counter], Labels]] = [(by_provider, (provider,))]
        if where.ready_queue:
            series.append((by_source, (provider, where.egress_source, pool or "")))
        # Providers that operators name are few; sites and domains are as many as there are.
        passing = [] if where.provider_name is not None else list(series)
        if where.ready_queue:
            own = (total, (f"{service}:{where.ready_queue}",))
            series.append(own)
            passing.append(own)
        if passing:
            self._series.setdefault(where.ready_queue, set()).update(passing)
        return [total.labels(service), *(family.labels(*values) for family, values in series)]

    def forget_series(self, gone: Iterable[str]) -> None:
        """Forget the counters of ready queues that are gone, given by their names."""
        for name in gone:
            for family, values in self._series.pop(name, ()):
                family.remove(*values)
                # Kept at hand they would count on, unseen.
                self._children.clear()

    # -- going back ---------------------------------------------------------------------------

    async def defer(
        self,
        message: Message,
        reply: SmtpReply,
        reason: InsertReason,
        *,
        counted: bool = True,
        delay_s: float | None = None,
    ) -> None:
        """Send a message back to its queue, or expire it if it grew too old.

        Args:
            message: The message.
            reply: Why; handlers see it as one line.
            reason: The insert reason.
            counted: Whether this was an attempt: its delay then comes from the retry schedule.
            delay_s: The delay where it is not the schedule's; None spreads by chance.
        """
        message.context |= reason
        config = self._config_of(message.queue_name)
        retry = config.retry if config is not None else _DEFAULT_RETRY
        if counted:
            jitter = self._rng.uniform(-1.0, 1.0)
            delay_s = next_delay_s(retry, message.attempts, jitter)
        elif delay_s is None:
            delay_s = self._rng.uniform(0.0, SPREAD_S)
        # What another node does not take now is no attempt at delivery, and no script's business.
        is_transfer = is_transfer_queue(message.queue_name)
        if not is_transfer and self._runtime.is_handled("message_requeued"):
            moved = False
            try:
                moved = await self._ask_script(message, reply, counted=counted, delay_s=delay_s)
            except asyncio.CancelledError:
                # The caller holds the message no longer, see the port ``Settle``.
                message.attempts += counted
                self._put_back(message, retry, delay_s)
                raise
            except Exception:  # boundary: dispatcher
                log.exception("message_requeued met a defect at %s", message.id)
            if moved:
                return
        message.attempts += counted
        self._put_back(message, retry, delay_s)

    def put_back(
        self, message: Message, reason: InsertReason, delay_s: float | None = None
    ) -> None:
        """Send a message back without an attempt; for those that cannot wait for a handler."""
        message.context |= reason
        config = self._config_of(message.queue_name)
        if delay_s is None:
            delay_s = self._rng.uniform(0.0, SPREAD_S)
        self._put_back(message, config.retry if config else _DEFAULT_RETRY, delay_s)

    def _put_back(self, message: Message, retry: RetrySchedule, delay_s: float) -> None:
        now = self._clock.mono()
        due_mono = now + delay_s
        if message.schedule is not None:
            wall_due = self._clock.wall_of(due_mono)
            due_mono = self._clock.mono_of(adjust_due(message.schedule, wall_due))
        if self.expires(message, retry, due_mono - now):
            self.expire(message, due_mono)
            return
        message.due_mono = due_mono
        if message.meta_dirty & DIRTY_BODY:
            self._store.replace_body(message)
        else:
            self._store.update(message)
        message.meta_dirty = 0
        self._requeue(message)

    async def _ask_script(
        self, message: Message, reply: SmtpReply, *, counted: bool, delay_s: float
    ) -> bool:
        """Fire message_requeued; return whether it moved or failed the message."""
        # Not the name of the queue it is in: that may stand on a recipient who is done by now.
        before = queue_name_of(message)
        meta = dict(message.meta)
        view = MessageView(message, self._store.load_body, self._clock)
        reasons = list(reason_names(message.context))
        try:
            await self._runtime.fire(
                "message_requeued", view, reply.one_line(), reasons, counted, delay_s
            )
            name = queue_name_of(message)
            if not parse_queue_name(name).domain:
                raise ValueError(f"the queue {name!r} names no domain")
        except SmtpRefusal as refusal:
            await self.fail(message, refusal.reply)
            return True
        except (HookFailedError, ValueError) as error:
            log.error("message_requeued failed for %s: %s", message.id, error)
            # What it did by then must not name another queue after a restart.
            if is_assigned(message):
                with contextlib.suppress(ValueError):
                    restore(message)
            message.meta = meta
            return False
        if name == before:
            return False
        message.queue_name = name
        message.attempts += 1
        config = self._config_of(name) or _config_of_transfer(name)
        # At once, that is what a fallback is for; but a script that moves a message to and fro
        # between queues that cannot be reached must not spin.
        delay_s = 0.0 if message.attempts < MOVES_AT_ONCE else MOVE_PAUSE_S
        self._put_back(message, config.retry if config else _DEFAULT_RETRY, delay_s)
        return True

    # -- endings ------------------------------------------------------------------------------

    def expires(self, message: Message, retry: RetrySchedule, delay_s: float) -> bool:
        """Return whether a message that waits this long would outlive its maximum age."""
        if message.schedule is not None and message.schedule.expires_at is not None:
            return self._clock.wall() + delay_s >= message.schedule.expires_at
        return is_expired(retry, self._clock.wall() - message.created_at, delay_s)

    def expire(self, message: Message, due_mono: float) -> None:
        """Give a message up because of its age."""
        self._give_up(message, self._why_expired(message, due_mono))

    def expire_now(self, message: Message, why: str) -> None:
        """Give a message up because an operator said so, whatever its age."""
        self._give_up(message, f"5.4.7 expired by an operator: {why}")

    def _give_up(self, message: Message, text: str) -> None:
        self._recorder.keep_headers(RecordKind.EXPIRATION, message)
        self._store.remove(message)
        self._recorder.record(RecordKind.EXPIRATION, message, reply=make_reply(551, text))
        self._count(Disposition.FAILED, _nowhere(message), message.pool)

    def _why_expired(self, message: Message, due_mono: float) -> str:
        schedule = message.schedule
        limit_at = schedule.expires_at if schedule is not None else None
        what = "the expiration of the message"
        if limit_at is None:
            config = self._config_of(message.queue_name)
            retry = config.retry if config is not None else _DEFAULT_RETRY
            limit_at, what = message.created_at + retry.max_age_s, "the maximum age"
        due_at = max(self._clock.wall(), self._clock.wall_of(due_mono))
        return (
            f"5.4.7 expired: the next attempt would be at {format_instant(due_at)},"
            f" {what} is reached at {format_instant(limit_at)}"
        )

    async def fail(
        self, message: Message, reply: SmtpReply, where: Circumstances | None = None
    ) -> None:
        """Fail all recipients of a message with one reply, whatever its code."""
        outcomes = [
            RecipientOutcome(recipient, reply, "", Disposition.FAILED)
            for recipient in message.recipients
        ]
        await self.settle(message, outcomes, where or _nowhere(message), True)

    async def defer_whole(
        self, message: Message, reply: SmtpReply, where: Circumstances, command: str = ""
    ) -> None:
        """Defer all recipients of a message with one reply; counts as an attempt."""
        outcomes = [
            RecipientOutcome(recipient, reply, command, Disposition.DEFERRED)
            for recipient in message.recipients
        ]
        await self.settle(message, outcomes, where, True)

    def bounce(self, message: Message, directive: Directive) -> None:
        """Fail a message because an operator or the TSA said so."""
        if not directive.suppress_logging:
            self._recorder.keep_headers(RecordKind.ADMIN_BOUNCE, message)
        self._store.remove(message)
        directive.tally.note(message.queue_name)
        if not directive.suppress_logging:
            reply = make_reply(551, f"5.7.1 Administrator bounced with reason: {directive.reason}")
            self._recorder.record(RecordKind.ADMIN_BOUNCE, message, reply=reply, where=_ADMIN)
        self._count(Disposition.FAILED, _nowhere(message), message.pool)

    def drop_damaged(self, message: Message, why: str) -> None:
        """Give up a message whose content cannot be read; its envelope is set aside."""
        log.error("message %s is damaged in the spool: %s", message.id, why)
        self._recorder.record(
            RecordKind.BOUNCE, message, reply=make_reply(554, "5.3.0 the spool entry is damaged")
        )
        self._store.quarantine(message.spool_id)

    def hold(self, message: Message, text: str, where: Circumstances = NOWHERE) -> None:
        """Note that a message is held; recorded once while it stays so."""
        if message.flags & FLAG_HELD:
            return
        message.flags |= FLAG_HELD
        self._store.update(message)
        reply = make_reply(451, f"4.4.4 {text}")
        self._recorder.record(RecordKind.TRANSIENT_FAILURE, message, reply=reply, where=where)

    def delayed(self, message: Message, why: str) -> None:
        """Record that a message waits for another reason than a failed attempt."""
        names = ", ".join(reason_names(message.context))
        due_at = self._clock.wall_of(message.due_mono)
        text = f"Context: {names}; next due: {format_instant(due_at)}{why}"
        self._recorder.record(RecordKind.DELAYED, message, reply=SmtpReply(400, None, text))


def _config_of_transfer(queue_name: str) -> QueueConfig | None:
    """Return the configuration of a queue for another node, which may not be there yet."""
    target = target_of(queue_name)
    return transfer_queue_config(target) if target is not None else None


_INTERRUPTED = make_reply(451, "4.4.2 the session ended before the message was sent")


def format_instant(at: float) -> str:
    """Return an instant as RFC 3339 in UTC."""
    from datetime import UTC, datetime  # noqa: PLC0415 - cold path

    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
