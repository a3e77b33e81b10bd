"""What ``why`` wants to know of a node, looked at in one go and copied.

Place in flow: asked by ``engine.admin.explanations``; read by ``engine.admin.why``.

Invariants:
    * Everything in a snapshot is a plain value: it stays true of its moment.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any

from engine.admin.admin_node import AdminNode
from engine.admin.constraints import constraints_of
from engine.admin.message_place import Place
from engine.admin.why_seen import (
    DirectiveSeen,
    MessageSeen,
    NodeSeen,
    QueueSeen,
    RateSeen,
    SessionSeen,
    TransferSeen,
    WaySeen,
)
from engine.deliver.connection_slots import limits_of
from engine.deliver.outgoing_session import OutgoingSession
from engine.model.egress import EgressPath
from engine.model.insert_reason import reason_names
from engine.model.message import FLAG_HELD, MessageNotes, StoredEnvelope
from engine.model.queue_config import TransferProtocol
from engine.model.retry_schedule import RetrySchedule
from engine.model.schedule_window import parse_schedule
from engine.model.suspension import Directive, ReadyDirective
from engine.model.throttle_spec import ThrottleSpec
from engine.model.transfer_target import TransferTarget, target_of
from engine.ready.ready_queue import ReadyQueue
from engine.schedule.pace import Pace
from engine.schedule.scheduled_queue import ScheduledQueue

#: Ready queues that are named as holders of a limit, and ways that are looked at.
HOLDERS_MAX = 20
WAYS_MAX = 100
_DEFAULT_RETRY = RetrySchedule()


def see_node(node: AdminNode, queue: ScheduledQueue | None) -> NodeSeen:
    """Return what concerns all mail of a queue."""
    retry = queue.config.retry if queue is not None and queue.config else _DEFAULT_RETRY
    sharing = node.shared_limits.status()
    return NodeSeen(
        now_at=node.clock.wall(),
        spool_trouble=node.store.trouble() or "",
        retry_interval=f"{retry.retry_interval_s:g}s",
        nodes=sharing.nodes,
        is_alone=sharing.configured and not sharing.shared,
        alone_for=sharing.trouble or "",
        is_recovering=node.transfers.drain.is_recovering,
    )


async def see_queue(node: AdminNode, queue: ScheduledQueue) -> QueueSeen:
    """Return a scheduled queue with the ready queues that it feeds."""
    clock = node.clock
    now = clock.mono()
    pace = Pace(clock.mono)
    next_due_mono = math.inf
    due = 0
    for entry in list(queue.entries.values()):
        if pace.is_spent():
            await pace.wait()
        if entry.due_mono > now:
            next_due_mono = min(next_due_mono, entry.due_mono)
        else:
            due += 1
    held = len(queue.held)
    plan, closed = queue.plan, queue.closed
    ways = list(plan.queues.values())[:WAYS_MAX] if plan is not None else []
    return QueueSeen(
        name=queue.name,
        count=len(queue),
        due=max(0, due - held),
        held=held,
        next_due_at=None if next_due_mono == math.inf else clock.wall_of(next_due_mono),
        blocked_by=queue.blocked_by,
        again_at=_retry_at(node, queue),
        suspended=_order(node, node.suspensions.find_scheduled(queue.name)),
        bounced=_order(node, node.bounces.find(queue.name)),
        no_way="" if closed is None else closed.reply.one_line(),
        no_way_until_at=None if closed is None else clock.wall_of(closed.until_mono),
        lacks_source=queue.lacks_source,
        pool="" if plan is None else plan.pool,
        rate=_queue_rate(node, queue),
        ways=tuple([await see_way(node, way) for way in ways]),
        transfer=see_transfer(node, target_of(queue.name)),
    )


def see_transfer(node: AdminNode, target: TransferTarget | None) -> TransferSeen | None:
    """Return by which order mail goes to another node; None where there is no such node."""
    if target is None:
        return None
    order = node.transfers.transferring.orders.get(target.queue_name)
    tally = node.transfers.targets.tally(target)
    return TransferSeen(
        target.url,
        "" if order is None else order.why,
        "" if order is None else order.author,
        tally.last_error or "",
        None if tally.last_error is None else tally.last_error_at,
    )


def _retry_at(node: AdminNode, queue: ScheduledQueue) -> float | None:
    if queue.retry_handle is None:
        return None
    left_s: float = queue.retry_handle.when() - asyncio.get_running_loop().time()
    return node.clock.wall() + max(0.0, left_s)


def _queue_rate(node: AdminNode, queue: ScheduledQueue) -> RateSeen | None:
    config = queue.config
    if queue.bucket is None or config is None or config.max_message_rate is None:
        return None
    frees_at = node.clock.wall() + max(0.0, queue.bucket.wait_s())
    return RateSeen("max_message_rate", str(config.max_message_rate), frees_at)


async def see_way(node: AdminNode, way: ReadyQueue) -> WaySeen:
    """Return a ready queue with its sessions and limits."""
    clock = node.clock
    loop = asyncio.get_running_loop()
    pause_s = way.paused_until_mono - loop.time()
    limits = dict(limits_of(way.path, way.name))
    found = constraints_of(way.path)
    connection = [
        (one.knob, one.value, f"{way.name}-connection-rate", way.path.max_connection_rate)
        for one in found.connection_rates
    ]
    rates = way.path.additional_message_rate_throttles
    message = [
        (
            one.knob,
            one.value,
            one.name or f"max_message_rate.{way.name}",
            rates[one.name] if one.name is not None else way.path.max_message_rate,
        )
        for one in found.message_rates
    ]
    suspensions = node.suspensions
    holders = await _holders(node, way) if way.limited_by else {}
    return WaySeen(
        name=way.name,
        source=way.source.name,
        count=len(way.messages),
        max_ready=way.path.max_ready,
        sessions=tuple(see_sessions(node, way)),
        limited_by=way.limited_by,
        limit=limits.get(way.limited_by, 0),
        limited_since_at=clock.wall_of(way.limited_since_mono) if way.limited_by else None,
        holders=_most(holders),
        held_here=sum(holders.values()),
        own_limit=way.path.connection_limit.limit,
        suspended=_order(node, suspensions.find_ready(way.name)),
        source_suspended=_order(node, suspensions.find_source(way.source.name)),
        failures=way.failures,
        paused_until_at=clock.wall() + pause_s if pause_s > 0 else None,
        connection_rates=_rates(node, connection),
        message_rates=_rates(node, message),
        selection_rate=_selection_rate(way.path),
        transfer=see_transfer(node, _target(way.protocol)),
    )


def _selection_rate(path: EgressPath) -> str:
    own = [] if path.source_selection_rate is None else [str(path.source_selection_rate)]
    return ", ".join(
        own + [f"{key}: {rate}" for key, rate in path.additional_source_selection_rates.items()]
    )


def _rates(
    node: AdminNode, found: list[tuple[str, str, str, ThrottleSpec | None]]
) -> tuple[RateSeen, ...]:
    now_at = node.clock.wall()
    seen = []
    for knob, value, key, spec in found:
        if spec is not None:
            wait_s = node.limiter.bucket(key, spec).wait_s()
            name = key if knob.startswith("additional") else None
            seen.append(RateSeen(knob, value, now_at + max(0.0, wait_s), name))
    return tuple(seen)


def see_sessions(node: AdminNode, way: ReadyQueue) -> list[SessionSeen]:
    """Return the sessions of a ready queue."""
    known = node.dispatching.dispatchers
    return [see_session(node, known[task]) for task in list(way.dispatchers) if task in known]


def see_session(node: AdminNode, session: OutgoingSession) -> SessionSeen:
    """Return a session."""
    shown = session.snapshot()
    return SessionSeen(shown.phase, shown.detail, node.clock.wall_of(shown.entered_mono))


async def _holders(node: AdminNode, way: ReadyQueue) -> dict[str, int]:
    """Return which ready queues have slots of the limit that another waits for, and how many."""
    pace = Pace(node.clock.mono)
    counts: dict[str, int] = {}
    for other in node.ready:
        if pace.is_spent():
            await pace.wait()
        count = sum(
            lease.key == way.limited_by for held in list(other.slots.values()) for lease in held
        )
        if count:
            counts[other.name] = count
    return counts


def _most(counts: dict[str, int]) -> tuple[str, ...]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(f"{name} ({count})" for name, count in ordered[:HOLDERS_MAX])


async def see_message(node: AdminNode, place: Place) -> MessageSeen:
    """Return a message at its place."""
    clock, stored = node.clock, place.stored
    notes = stored.notes or MessageNotes()
    hold = notes.hold
    until_at = math.inf if hold is None or hold.until_at is None else hold.until_at
    entry = place.entry
    due_at = stored.due_at
    if entry is not None and hold is None:
        # What is held is looked at now and then: that is not when it is due.
        due_at = clock.wall_of(entry.due_mono)
    is_held = place.queue is not None and entry is not None and entry.spool_id in place.queue.held
    way = place.ready
    if place.session is not None:
        way = node.ready.find(place.session.ready_queue)
    kind = "elsewhere"
    for name, where in (("waiting", entry), ("ready", place.ready), ("sending", place.session)):
        if where is not None:
            kind = name
            break
    return MessageSeen(
        place=kind,
        due_at=due_at,
        attempts=stored.attempts,
        reasons=reason_names(entry.context) if entry is not None else (),
        is_held=is_held,
        was_held=not is_held
        and bool(stored.flags & FLAG_HELD)
        and stored.due_at <= clock.wall() < due_at,
        schedule="" if stored.schedule is None else _in_words(stored.schedule),
        last_reply=notes.reply,
        last_reply_at=notes.reply_at,
        last_way=notes.ready_queue,
        hold=None if hold is None else DirectiveSeen(hold.reason, hold.author, until_at),
        hold_since_at=None if hold is None else hold.since_at,
        expires_at=_expires_at(place, stored),
        way=None if way is None else await see_way(node, way),
        session=None if place.session is None else see_session(node, place.session),
    )


def _target(protocol: Any) -> TransferTarget | None:
    return protocol.target if isinstance(protocol, TransferProtocol) else None


def _in_words(schedule: dict[str, Any]) -> str:
    """Return a schedule as it was written."""
    return ", ".join(f"{key} {value}" for key, value in schedule.items())


def _expires_at(place: Place, stored: StoredEnvelope) -> float | None:
    queue = place.queue
    if stored.schedule is not None:
        own = parse_schedule(stored.schedule).expires_at
        if own is not None:
            return own
    if queue is None or queue.config is None:
        return None
    return stored.created_at + queue.config.retry.max_age_s


def _order(node: AdminNode, found: Directive | ReadyDirective | None) -> DirectiveSeen | None:
    if found is None:
        return None
    return DirectiveSeen(found.reason, found.author, node.clock.wall_of(found.expires_mono))
