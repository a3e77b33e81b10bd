"""Why a message, a queue or a ready queue does not go on: the chain of what holds it.

Place in flow: ``why_snapshot`` looks at the node, this judges what it saw; asked by
``engine.admin.explanations``.

Invariants:
    * A plain function of the snapshot: nothing is asked for, nothing is waited for.
    * The first reason is what holds now; what follows is what holds that, and what comes after it.
    * What can end says when; what somebody ordered says who; what an option sets says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from engine.admin.why_seen import MessageSeen, NodeSeen, QueueSeen, RateSeen, SessionSeen, WaySeen

#: Names of limits that belong to one ready queue.
_OWN_LIMIT = "connection_limit."
#: How limits and rates begin that no other node shares.
_LOCAL = "local:"


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
    "TooManyConnectionFailures": "too many connections in a row failed",
    "MxResolvedToZeroHosts": "the domain resolved to no usable address",
    "MxWasSkipped": "every host of the domain is in skip_hosts",
    "FailedToInsertIntoReadyQueue": "there was no route to the domain",
    "FailedDueToNullMx": "the domain takes no mail",
    "TooManyRecipients": "it has more recipients than the host took",
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
    "ReadyQueueWasDelayedDueToLowMemory": "memory was low",
    "ReadyQueueWasReaped": "its ready queue was reaped",
    "ProtocolChanged": "the protocol of its queue changed",
    "SpoolUnhealthy": "the spool could not be used",
    "DispatcherDrop": "its session ended before its turn",
    "PeerClosedConnection": "the host closed the connection",
    "MessageGetQueueNameFailed": "its queue could not be named",
    "ScheduledForLater": "it is scheduled for later",
}


def explain_message(message: MessageSeen, queue: QueueSeen | None, node: NodeSeen) -> list[Reason]:
    """Return why a message does not go on; empty when nothing holds it."""
    if message.place == "sending":
        return list(_session(message.session))
    if message.place == "ready" and message.way is not None:
        return explain_way(message.way, node)
    if message.place == "elsewhere" or queue is None:
        text = "it is between two places, or was not yet read back from disk after a start"
        return [Reason(code="OnItsWay", text=text)]
    found = list(_orders(queue))
    hold = message.hold
    if hold is not None and hold.until_at > node.now_at:
        found.append(
            Reason(
                code="HeldByOperator",
                text=f"it is held: {hold.reason}",
                author=hold.author,
                since_at=message.hold_since_at,
                until_at=_end(hold.until_at),
            )
        )
    if message.is_held and queue.lacks_source:
        found += _no_source(queue)
    if not message.is_held and message.due_at > node.now_at:
        found += _until_due(message, queue, node)
    elif not found:
        found += explain_backlog(queue, node)
    return found + _expiry(message, node)


def explain_queue(queue: QueueSeen, node: NodeSeen) -> list[Reason]:
    """Return why a scheduled queue does not get emptier; empty when nothing holds it."""
    found = list(_orders(queue))
    if queue.held and queue.lacks_source:
        found += _no_source(queue)
    if queue.due and not found:
        found += explain_backlog(queue, node)
    waiting = queue.count - queue.due - queue.held
    if waiting > 0 and queue.next_due_at is not None:
        found.append(
            Reason(
                code="ScheduledForLater",
                text=f"{waiting} messages wait for their due time",
                where=queue.name,
                until_at=queue.next_due_at,
                knob="retry_interval",
                value=node.retry_interval or None,
            )
        )
    return found


def explain_way(way: WaySeen, node: NodeSeen) -> list[Reason]:
    """Return why a ready queue does not get emptier; what its sessions do comes last."""
    found = list(_suspensions(way))
    if node.spool_trouble:
        found.append(Reason(code="SpoolUnhealthy", text=node.spool_trouble))
    if way.paused_until_at is not None and way.paused_until_at > node.now_at:
        found.append(
            Reason(
                code="ConnectionFailures",
                text=f"{way.failures} connections in a row failed; the next session waits",
                where=way.name,
                until_at=way.paused_until_at,
                knob="consecutive_connection_failures_before_delay",
            )
        )
    if way.limited_by:
        found.append(_limit(way, node))
    elif way.count and way.own_limit is not None and len(way.sessions) >= way.own_limit:
        found.append(_own_limit(way, way.own_limit))
    found += _throttled(way, "ConnectionRateThrottled", way.connection_rates, node)
    found += _throttled(way, "MessageRateThrottled", way.message_rates, node)
    rates = ("ConnectionRateThrottled", "MessageRateThrottled")
    return found + [
        reason for one in way.sessions if one.phase not in rates for reason in _session(one)
    ]


def explain_backlog(queue: QueueSeen, node: NodeSeen) -> list[Reason]:
    """Return why what is due in a scheduled queue cannot go."""
    if node.spool_trouble:
        return [Reason(code="SpoolUnhealthy", text=node.spool_trouble, until_at=queue.again_at)]
    match queue.blocked_by:
        case "max_message_rate":
            rate = queue.rate
            sharing = _sharing(node, "" if rate is None else rate.value)
            return [
                Reason(
                    code="MessageRateThrottle",
                    text=f"the queue is at its message rate{sharing}",
                    where=queue.name,
                    until_at=rate.frees_at if rate is not None else queue.again_at,
                    knob="max_message_rate",
                    value=None if rate is None else rate.value,
                )
            ]
        case "ready queue full":
            return list(_full(queue, node))
        case "source_selection_rate":
            return [
                Reason(
                    code="SourceSelectionThrottle",
                    text="every source of the pool is at its selection rate",
                    where=queue.pool,
                    until_at=queue.again_at,
                    knob="source_selection_rate",
                )
            ]
        case "":
            if queue.no_way:
                code = "FailedToInsertIntoReadyQueue"
                until_at = queue.no_way_until_at
                return [Reason(code=code, text=queue.no_way, where=queue.name, until_at=until_at)]
            return [Reason(code="BeingPromoted", text="its turn comes as others before it go")]
    code = "SharedRate" if queue.blocked_by.startswith("a shared rate") else "PolicyOrNode"
    until_at = queue.again_at
    return [Reason(code=code, text=queue.blocked_by, where=queue.name, until_at=until_at)]


# -- links ------------------------------------------------------------------------------------


def _orders(queue: QueueSeen) -> Iterator[Reason]:
    """Yield what somebody ordered for a scheduled queue."""
    for code, what, order in (
        ("AdminBounce", "its mail is bounced as it comes along", queue.bounced),
        ("QueueSuspended", "the scheduled queue is suspended", queue.suspended),
    ):
        if order is not None:
            yield Reason(
                code=code,
                text=f"{what}: {order.reason}",
                where=queue.name,
                author=order.author,
                until_at=_end(order.until_at),
            )


def _suspensions(way: WaySeen) -> Iterator[Reason]:
    for code, what, where, order in (
        ("ReadyQueueWasSuspended", "the ready queue is suspended", way.name, way.suspended),
        (
            "SourceIsUnhealthyAndSuspended",
            "the source is taken out",
            way.source,
            way.source_suspended,
        ),
    ):
        if order is not None:
            yield Reason(
                code=code,
                text=f"{what}: {order.reason}",
                where=where,
                author=order.author,
                until_at=_end(order.until_at),
            )


def _no_source(queue: QueueSeen) -> list[Reason]:
    text = f"no source of pool {queue.pool} may carry it"
    found = [Reason(code="NoEligibleSource", text=text, where=queue.pool)]
    for way in queue.ways:
        found += _suspensions(way)
    return found


def _until_due(message: MessageSeen, queue: QueueSeen, node: NodeSeen) -> list[Reason]:
    """Return why a message waits for its due time: by what it entered its queue for."""
    codes = [code for code in WAITS if code in message.reasons]
    if message.last_reply and "LoggedTransientFailure" not in codes:
        # The reasons are forgotten at a restart, the reply is not.
        codes = [code for code in codes if code != "ScheduledForLater"]
        codes.append("LoggedTransientFailure")
    if len(codes) > 1:
        codes = [code for code in codes if code != "ScheduledForLater"]
    found = []
    for code in codes or ["ScheduledForLater"]:
        text = WAITS[code]
        if code == "LoggedTransientFailure":
            tried = f"attempt {message.attempts}" if message.attempts else "an attempt"
            text = f"{tried} failed: {message.last_reply or 'the log has the reply'}"
            found.append(
                Reason(
                    code=code,
                    text=text,
                    where=message.last_way or queue.name,
                    since_at=message.last_reply_at or None,
                    until_at=message.due_at,
                    knob="retry_interval",
                    value=node.retry_interval or None,
                )
            )
        else:
            found.append(Reason(code=code, text=text, where=queue.name, until_at=message.due_at))
    return found


def _full(queue: QueueSeen, node: NodeSeen) -> Iterator[Reason]:
    full = [way for way in queue.ways if way.count >= way.max_ready]
    for way in full or queue.ways:
        yield Reason(
            code="ReadyQueueWasFull",
            text=f"the ready queue holds {way.count} of {way.max_ready} messages",
            where=way.name,
            until_at=queue.again_at,
            knob="max_ready",
            value=str(way.max_ready),
        )
        yield from explain_way(way, node)


def _sharing(node: NodeSeen, value: str) -> str:
    """Return with whom a limit or rate is shared, to be put behind what is said of it."""
    if value.startswith(_LOCAL):
        return ""
    if node.is_alone:
        return f"; this node has its share of it, for it is alone: {node.alone_for}"
    return f"; {node.nodes} nodes share it" if node.nodes > 1 else ""


def _limit(way: WaySeen, node: NodeSeen) -> Reason:
    key = way.limited_by.removeprefix(_LOCAL)
    is_own = key.startswith(_OWN_LIMIT)
    name = None if is_own else key
    elsewhere = way.limit - way.held_here
    others = []
    if node.nodes > 1 and not node.is_alone and key == way.limited_by and elsewhere > 0:
        others = [f"other nodes (up to {elsewhere})"]
    whose = "its connection limit" if is_own else f"the connection limit {name}"
    return Reason(
        code="ConnectionLimit",
        text=f"{whose} is reached: {way.limit} connections, {len(way.sessions)} of them its own"
        + _sharing(node, way.limited_by),
        where=way.name,
        since_at=way.limited_since_at,
        knob="connection_limit" if is_own else "additional_connection_limits",
        value=str(way.limit) if name is None else f"{name}: {way.limit}",
        held_by=[*way.holders, *others],
    )


def _own_limit(way: WaySeen, limit: int) -> Reason:
    """Return that a ready queue has as many sessions as its path allows, and asks for no more."""
    return Reason(
        code="ConnectionLimit",
        text=f"its connection limit is reached: {limit} connections, all of them its own",
        where=way.name,
        knob="connection_limit",
        value=str(limit),
        held_by=[f"{way.name} ({len(way.sessions)})"],
    )


def _throttled(
    way: WaySeen, phase: str, rates: Iterable[RateSeen], node: NodeSeen
) -> Iterator[Reason]:
    """Yield the rates that sessions of a ready queue wait for, the last to free first."""
    waiting = [one for one in way.sessions if one.phase == phase]
    if not waiting:
        return
    since_at = min(one.since_at for one in waiting)
    code = phase.removesuffix("d")
    what = "connect" if phase.startswith("Connection") else "send"
    text = f"{len(waiting)} sessions wait for their turn to {what}"
    ordered = sorted(rates, key=lambda rate: -rate.frees_at)
    if not ordered:
        yield Reason(code=code, text=text, where=way.name, since_at=since_at)
    for rate in ordered[:1]:
        name = "" if rate.name is None else f"{rate.name}: "
        yield Reason(
            code=code,
            text=text + _sharing(node, rate.value),
            where=way.name,
            since_at=since_at,
            until_at=rate.frees_at,
            knob=rate.knob,
            value=f"{name}{rate.value}",
        )


def _session(session: SessionSeen | None) -> Iterator[Reason]:
    if session is None:
        yield Reason(code="BeingSent", text="a session carries it")
        return
    with_whom = f" ({session.detail})" if session.detail else ""
    yield Reason(
        code="BeingSent",
        text=f"a session is at {session.phase}{with_whom}",
        since_at=session.since_at,
    )


def _expiry(message: MessageSeen, node: NodeSeen) -> list[Reason]:
    """Return that a message will be given up before it is due, if it will."""
    if message.expires_at is None or message.expires_at > max(message.due_at, node.now_at):
        return []
    text = "it is given up for its age before it is tried again"
    return [Reason(code="Expiration", text=text, until_at=message.expires_at, knob="max_age")]


def _end(until_at: float) -> float | None:
    """Return an end that comes; None for one that does not."""
    return until_at if until_at < 1e12 else None
