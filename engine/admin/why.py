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
from dataclasses import replace

from engine.admin.why_seen import (
    MessageSeen,
    NodeSeen,
    QueueSeen,
    RateSeen,
    SessionSeen,
    TransferSeen,
    WaySeen,
)
from engine.admin.why_waits import LOCAL, Reason, expiry, number, sharing, until_due
from engine.schedule.promotion import DEFECT, NO_SPOOL, QUESTION, RATE, ROOM, SELECTION
from engine.schedule.way_out import CONFIG_FAILED, EGRESS_FAILED

#: Names of limits that belong to one ready queue.
_OWN_LIMIT = "connection_limit."
#: How many values are put into one link.
SHOWN_MAX = 5
#: The phases of sessions that a rate keeps waiting, and what for.
_THROTTLED = {"ConnectionRateThrottled": "connect", "MessageRateThrottled": "send"}


def explain_message(message: MessageSeen, queue: QueueSeen | None, node: NodeSeen) -> list[Reason]:
    """Return why a message does not go on; empty when nothing holds it."""
    if message.place == "sending":
        return [*_held_up(message, node), *_session(message.session)]
    if message.place == "ready" and message.way is not None:
        return explain_way(message.way, node)
    if message.place == "elsewhere" or queue is None:
        if node.is_recovering:
            text = "the spool is still being read back after the start"
            return [Reason(code="Recovering", text=text)]
        text = "it is between two places just now: a handler is asked about it; ask again"
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
        found += until_due(message, queue, node)
    elif not found:
        found += explain_backlog(queue, node)
    return found + list(_transfer(queue.name, queue.transfer)) + expiry(message, node)


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
    return found + list(_transfer(queue.name, queue.transfer))


def explain_way(way: WaySeen, node: NodeSeen) -> list[Reason]:
    """Return why a ready queue does not get emptier; what its sessions do comes last."""
    found = list(_suspensions(way))
    if node.spool_trouble:
        found.append(_spool(node.spool_trouble, None))
    if way.paused_until_at is not None and way.paused_until_at > node.now_at:
        found.append(
            Reason(
                code="ConnectionFailures",
                text=f"{number(way.failures, 'connection')} in a row failed; the next session"
                " waits",
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
    if not found and way.count and not way.sessions:
        text = "no session has taken it up yet; one is started within seconds"
        found.append(Reason(code="NoSession", text=text, where=way.name))
    return [*found, *_at_work(way), *_transfer(way.name, way.transfer)]


def explain_backlog(queue: QueueSeen, node: NodeSeen) -> list[Reason]:
    """Return why what is due in a scheduled queue cannot go."""
    if node.spool_trouble:
        return [_spool(node.spool_trouble, queue.again_at)]
    return [_blocked(queue, node)] if queue.blocked_by != ROOM else list(_full(queue, node))


def _blocked(queue: QueueSeen, node: NodeSeen) -> Reason:
    """Return what blocks the first of a queue, unless it is for want of room."""
    why, until_at = queue.blocked_by, queue.again_at
    code, text, knob, value, where = "NodeTrouble", why, None, None, queue.name
    if why == RATE:
        rate = queue.rate
        code, knob = "MessageRateThrottle", RATE
        text = "the queue is at its message rate"
        if rate is not None:
            text += sharing(node, rate.value)
            value, until_at = rate.value, rate.frees_at
    elif why == SELECTION:
        code, knob, where = "SourceSelectionThrottle", SELECTION, queue.pool
        rates = [f"{way.source}: {way.selection_rate}" for way in queue.ways if way.selection_rate]
        value = ", ".join(rates[:SHOWN_MAX]) or None
        text = "every source of the pool is at its selection rate"
    elif why == QUESTION:
        code, text = "SharedRate", "Redis is asked for its turn under a rate that nodes share"
        text += sharing(node, "")
    elif why.startswith((CONFIG_FAILED, EGRESS_FAILED)):
        code = "PolicyError"
    elif why == NO_SPOOL:
        code = "SpoolUnhealthy"
    elif why == DEFECT:
        code, text = "InternalError", "an internal error, which the diagnostic log has"
    elif not why and queue.no_way:
        code, text = "FailedToInsertIntoReadyQueue", queue.no_way
        until_at = queue.no_way_until_at
    elif not why:
        return Reason(code="BeingPromoted", text="its turn comes as others before it go")
    return Reason(code=code, text=text, where=where, until_at=until_at, knob=knob, value=value)


def _spool(trouble: str, until_at: float | None) -> Reason:
    text = f"nothing is sent while the spool cannot note what became of it: {trouble}"
    return Reason(code="SpoolUnhealthy", text=text, until_at=until_at)


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
    if not queue.ways:
        text = f"pool {queue.pool} has no sources"
    found = [Reason(code="NoEligibleSource", text=text, where=queue.pool)]
    for way in queue.ways:
        found += _suspensions(way)
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


def _limit(way: WaySeen, node: NodeSeen) -> Reason:
    key = way.limited_by.removeprefix(LOCAL)
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
        + sharing(node, way.limited_by),
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
    text = f"{number(len(waiting), 'session')} may not {_THROTTLED[phase]} yet"
    ordered = sorted(rates, key=lambda rate: -rate.frees_at)
    if not ordered:
        yield Reason(code=code, text=text, where=way.name, since_at=since_at)
    for rate in ordered[:1]:
        name = "" if rate.name is None else f"{rate.name}: "
        yield Reason(
            code=code,
            text=text + sharing(node, rate.value),
            where=way.name,
            since_at=since_at,
            until_at=rate.frees_at,
            knob=rate.knob,
            value=f"{name}{rate.value}",
        )


def _held_up(message: MessageSeen, node: NodeSeen) -> Iterator[Reason]:
    """Yield the rate that the session of a message waits for, if it does."""
    session, way = message.session, message.way
    if session is None or way is None or session.phase not in _THROTTLED:
        return
    is_connection = session.phase == "ConnectionRateThrottled"
    rates = way.connection_rates if is_connection else way.message_rates
    yield from _throttled(replace(way, sessions=(session,)), session.phase, rates, node)


def _session(session: SessionSeen | None) -> Iterator[Reason]:
    if session is None:
        yield Reason(code="BeingSent", text="a session carries it")
        return
    yield Reason(
        code="BeingSent",
        text=f"a session is at {_doing(session)}",
        since_at=session.since_at,
    )


def _doing(session: SessionSeen) -> str:
    return session.phase + (f" ({session.detail})" if session.detail else "")


def _at_work(way: WaySeen) -> Iterator[Reason]:
    """Yield what the sessions of a ready queue do: one link for all that do the same."""
    phases: dict[str, list[SessionSeen]] = {}
    for one in way.sessions:
        if one.phase not in _THROTTLED:
            phases.setdefault(one.phase, []).append(one)
    for same in phases.values():
        first = min(same, key=lambda one: one.since_at)
        text = f"a session is at {_doing(first)}"
        if len(same) > 1:
            text = f"{len(same)} sessions are at {first.phase}, the longest of them"
            text += f" with {first.detail}" if first.detail else ""
        yield Reason(code="BeingSent", text=text, where=way.name, since_at=first.since_at)


def _transfer(where: str, order: TransferSeen | None) -> Iterator[Reason]:
    """Yield by which order mail is transferred to another node, and what that node said."""
    if order is None:
        return
    text = f"it is to be transferred to {order.target}"
    text += f": {order.why}" if order.why else " (its AdminRebind record has the order)"
    author = order.author or None
    yield Reason(code="TransferOrdered", text=text, where=where, author=author)
    if order.last_error:
        text = f"the last attempt to transfer failed: {order.last_error}"
        yield Reason(code="TransferFailed", text=text, where=where, since_at=order.last_error_at)


def _end(until_at: float) -> float | None:
    """Return an end that comes; None for one that does not."""
    return until_at if until_at < 1e12 else None
