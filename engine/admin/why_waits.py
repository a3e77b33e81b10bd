"""Why a message waits for its due time, in words: what it entered its queue for.

Place in flow: part of ``engine.admin.why``, which judges all the rest.

Invariants:
    * Every insert reason that can make a message wait has words here (tests/unit/engine/admin/
      test_why_reasons.py makes each of them true).
    * The most telling reason comes first; what only says how it came here is left out.
"""

from __future__ import annotations

import msgspec

from engine.admin.why_seen import MessageSeen, NodeSeen, QueueSeen, RateSeen

#: How limits and rates begin that no other node shares.
LOCAL = "local:"


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One link of the chain; instants in seconds since the Unix epoch until they are shown.

    Attributes:
        code: The insert reason, as records have it, or a name of its own.
        text: In words.
        where: The queue or source that it is about.
        author: Who ordered it.
        since_at: Since when.
        until_at: When it ends, or is looked at again.
        knob: The option that sets it.
        value: What that is set to.
        held_by: Who has what is waited for.
    """

    code: str
    text: str
    where: str | None = None
    author: str | None = None
    since_at: float | None = None
    until_at: float | None = None
    knob: str | None = None
    value: str | None = None
    held_by: list[str] = []


#: Why a message may wait for its due time, in words, the most telling first. Those of a failed
#: attempt have the reply beside them.
WAITS = {
    "TooManyConnectionFailures": "too many connections in a row failed: its whole ready queue was"
    " put off",
    "MxResolvedToZeroHosts": "the domain resolved to no usable address",
    "MxWasSkipped": "every host of the domain is in skip_hosts",
    "ThrottleHandlerFailed": "the handler of throttle_insert_ready_queue failed: it is asked again",
    "FailedToInsertIntoReadyQueue": "it could not be put into a ready queue",
    "LoggedTransientFailure": "the last attempt failed",
    "ThrottledByThrottleInsertReadyQueue": "a throttle of the script delayed it",
    "MessageRateThrottle": "the message rate of its path would have made it wait longer than a"
    " session does",
    "ConnectionRateThrottle": "the connection rate of its path would have made it wait longer than"
    " a session does",
    "SourceSelectionThrottle": "every source was at its selection rate",
    "ReadyQueueWasSuspended": "its ready queue was suspended",
    "SourceIsUnhealthyAndSuspended": "its source was taken out",
    "MaxReadyWasReducedByConfigUpdate": "max_ready was lowered below the number of messages",
    "SpoolUnhealthy": "the spool could not be used",
    "DispatcherDrop": "its session ended before its turn",
    "ScheduledForLater": "it is scheduled for later",
}
#: The options behind those that have one.
KNOBS = {
    "TooManyConnectionFailures": "consecutive_connection_failures_before_delay",
    "MxWasSkipped": "skip_hosts",
    "ThrottleHandlerFailed": "throttle_insert_ready_queue",
    "ThrottledByThrottleInsertReadyQueue": "throttle_insert_ready_queue",
    "MessageRateThrottle": "max_message_rate",
    "ConnectionRateThrottle": "max_connection_rate",
    "SourceSelectionThrottle": "source_selection_rate",
    "MaxReadyWasReducedByConfigUpdate": "max_ready",
}
#: Reasons that another one says better, where both are there.
_SAID_BETTER = {
    "ThrottledByThrottleInsertReadyQueue": "ThrottleHandlerFailed",
}


def until_due(message: MessageSeen, queue: QueueSeen, node: NodeSeen) -> list[Reason]:
    """Return why a message waits for its due time."""
    if message.was_held:
        text = "what held it is over; what was held is let go one after the other within a minute"
        return [Reason(code="Released", text=text, where=queue.name, until_at=message.due_at)]
    return [_wait(code, message, queue, node) for code in _codes(message)]


def _codes(message: MessageSeen) -> list[str]:
    codes = [code for code in WAITS if code in message.reasons]
    if message.last_reply and "LoggedTransientFailure" not in codes:
        # The reasons are forgotten at a restart, the reply is not.
        codes.append("LoggedTransientFailure")
    codes = [code for code in codes if _SAID_BETTER.get(code) not in codes]
    if len(codes) > 1:
        codes = [code for code in codes if code != "ScheduledForLater"]
    return codes or ["ScheduledForLater"]


def _wait(code: str, message: MessageSeen, queue: QueueSeen, node: NodeSeen) -> Reason:
    text, where, since_at = WAITS[code], queue.name, None
    knob, value = KNOBS.get(code), None
    if code == "LoggedTransientFailure":
        tried = f"attempt {message.attempts}" if message.attempts else "an attempt"
        text = f"{tried} failed: {message.last_reply or 'the log has the reply'}"
        where, since_at = message.last_way or queue.name, message.last_reply_at or None
        knob, value = "retry_interval", node.retry_interval or None
    elif code == "ScheduledForLater" and message.schedule:
        text, knob, value = "its own schedule lets it go then", "schedule", message.schedule
    elif code in ("MessageRateThrottle", "ConnectionRateThrottle"):
        rate = _slowest(queue, code)
        if rate is not None:
            knob = rate.knob
            value = rate.value if rate.name is None else f"{rate.name}: {rate.value}"
            text += sharing(node, rate.value)
    return Reason(
        code=code,
        text=text,
        where=where,
        since_at=since_at,
        until_at=message.due_at,
        knob=knob,
        value=value,
    )


def _slowest(queue: QueueSeen, code: str) -> RateSeen | None:
    """Return the rate of the queue's ways that frees last."""
    rates = [
        rate
        for way in queue.ways
        for rate in (way.message_rates if code == "MessageRateThrottle" else way.connection_rates)
    ]
    return max(rates, key=lambda rate: rate.frees_at, default=None)


def expiry(message: MessageSeen, node: NodeSeen) -> list[Reason]:
    """Return that a message will be given up before it is due, if it will."""
    if message.expires_at is None or message.expires_at > max(message.due_at, node.now_at):
        return []
    text = "it is given up for its age before it is tried again"
    return [Reason(code="Expiration", text=text, until_at=message.expires_at, knob="max_age")]


def sharing(node: NodeSeen, value: str) -> str:
    """Return with whom a limit or rate is shared, to be put behind what is said of it."""
    if value.startswith(LOCAL):
        return ""
    if node.is_alone:
        return f"; this node has its share of it, for it is alone: {node.alone_for}"
    return f"; {node.nodes} nodes share it" if node.nodes > 1 else ""


def number(count: int, what: str) -> str:
    """Return how many there are of something, in words."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
