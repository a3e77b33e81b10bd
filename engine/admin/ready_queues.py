"""Ready queues: what is in them, what limits them, which sessions carry their mail.

Place in flow: operations of ``engine.admin.operation``; read the registry of ``engine.ready`` and
the sessions of ``engine.dispatching``.

Invariants:
    * However many queues there are, looking at them holds the loop for one slice a turn only.
    * A session that is aborted gives its message back; no attempt is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.constraints import Constraints, constraints_of
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.operation import Operation
from engine.admin.paths import MxShown, show_route
from engine.deliver.outgoing_session import SessionSnapshot
from engine.model import egress
from engine.model.caller import Caller
from engine.model.log_record import format_event_time
from engine.ready.ready_queue import ReadyQueue
from engine.schedule.pace import Pace

#: Scheduled queues that are named with a ready queue, at most.
NAMES_MAX = 10_000


class ReadyStatesRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Of which ready queues; of all that anything limits by default.

    Attributes:
        queues: Their names, or one text with commas between; all that something limits by default.
    """

    queues: list[str] = []


class Since(msgspec.Struct, frozen=True):
    """What limits a queue, and since when, RFC 3339.

    Attributes:
        context: In words.
        since: When it began.
    """

    context: str
    since: str


class ReadyState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What limits a ready queue.

    Attributes:
        ready_count: Messages in it.
        connection_count: Sessions of it.
        connection_limited: The connection limit that is reached.
        connection_rate_throttled: The rate that a new connection waits for.
        message_rate_throttled: The rate that messages wait for.
        suspended: The suspension that holds it, or its source: reason and author.
        watchdog_threshold: Seconds that a session may come no further.
    """

    ready_count: int
    connection_count: int
    watchdog_threshold: float
    connection_limited: Since | None = None
    connection_rate_throttled: Since | None = None
    message_rate_throttled: Since | None = None
    suspended: str | None = None


class ReadyStates(msgspec.Struct, frozen=True):
    """Ready queues with what limits them, by name.

    Attributes:
        states_by_ready_queue: What limits each of them.
    """

    states_by_ready_queue: dict[str, ReadyState]


class InspectReadyRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which ready queue, and whether the scheduled queues that feed it are wanted.

    Attributes:
        queue_name: Its name.
        include_scheduled_queues: Whether those that feed it are wanted.
    """

    queue_name: str
    include_scheduled_queues: bool = False


class SessionShown(msgspec.Struct, frozen=True, kw_only=True):
    """A session of a ready queue; times in seconds, instants RFC 3339.

    Attributes:
        session_id: Its id, in records too.
        started_at: When it was started.
        age: For how long it has been there.
        phase: What it does now.
        detail: With whom.
        time_in_current_phase: For how long.
        messages_delivered, messages_transfailed, messages_failed: Recipients, by what became of
            them.
        delivered_this_connection: Messages tried over the connection in use.
        overall_rate_per_sec: Recipients settled in a second, over its whole life.
    """

    session_id: str
    started_at: str
    age: float
    phase: str
    detail: str | None
    time_in_current_phase: float
    messages_delivered: int
    messages_transfailed: int
    messages_failed: int
    delivered_this_connection: int
    overall_rate_per_sec: float


class ReadyQueueShown(msgspec.Struct, frozen=True, kw_only=True):
    """A ready queue.

    Attributes:
        queue_name: Its name.
        mx: Its site; None where the protocol has none.
        egress_source: The source its mail leaves from.
        egress_pool: The pool that last led here.
        protocol: How its mail goes.
        routing_domain: The domain that its path was asked for.
        state: What limits it.
        path_config: Its egress path.
        constraints: What that allows at most.
        scheduled_queue_names: The scheduled queues that feed it, where they are wanted.
        dispatchers: Its sessions, the oldest first.
        now: The present.
    """

    queue_name: str
    mx: MxShown | None
    egress_source: str
    egress_pool: str
    protocol: str
    routing_domain: str
    state: ReadyState
    path_config: dict[str, Any]
    constraints: Constraints
    scheduled_queue_names: list[str] | None
    dispatchers: list[SessionShown]
    now: str


class AbortRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which session of which ready queue.

    Attributes:
        queue_name: The ready queue.
        session_id: The session, as ``inspect-ready-q`` has it.
    """

    queue_name: str
    session_id: str


# -- states -----------------------------------------------------------------------------------


async def ready_states(
    node: AdminNode, _caller: Caller, request: ReadyStatesRequest
) -> ReadyStates:
    """Return what limits ready queues."""
    states: dict[str, ReadyState] = {}
    if request.queues:
        # A list may be one text with commas; what names no queue is passed over.
        names = {*request.queues, *(part for one in request.queues for part in one.split(","))}
        for name in sorted(names):
            queue = node.ready.find(name)
            if queue is not None:
                states[name] = _state_of(node, queue)
        return ReadyStates(states)
    pace = Pace(node.clock.mono)
    for queue in node.ready:
        if pace.is_spent():
            await pace.wait()
        if queue.messages or queue.dispatchers or queue.is_suspended:
            state = _state_of(node, queue)
            if _is_limited(state):
                states[queue.name] = state
    return ReadyStates(states)


def _is_limited(state: ReadyState) -> bool:
    return (
        state.connection_limited is not None
        or state.connection_rate_throttled is not None
        or state.message_rate_throttled is not None
        or state.suspended is not None
    )


def _state_of(node: AdminNode, queue: ReadyQueue) -> ReadyState:
    clock = node.clock
    limited = None
    if queue.limited_by:
        since = format_event_time(clock.wall_of(queue.limited_since_mono))
        limited = Since(queue.limited_by, since)
    rates: dict[str, Since] = {}
    for session in _sessions(node, queue):
        if session.phase in ("ConnectionRateThrottled", "MessageRateThrottled"):
            since = format_event_time(clock.wall_of(session.entered_mono))
            known = rates.get(session.phase)
            if known is None or since < known.since:
                rates[session.phase] = Since(_rate_of(queue, session.phase), since)
    held = node.suspensions.find_way(queue.name, queue.source.name)
    return ReadyState(
        ready_count=len(queue.messages),
        connection_count=len(queue.dispatchers),
        watchdog_threshold=queue.path.watchdog_s,
        connection_limited=limited,
        connection_rate_throttled=rates.get("ConnectionRateThrottled"),
        message_rate_throttled=rates.get("MessageRateThrottled"),
        suspended=None if held is None else f"{held.reason} (by {held.author})",
    )


def _rate_of(queue: ReadyQueue, phase: str) -> str:
    """Return the rate that sessions in a phase most likely wait for, with its knob."""
    found = constraints_of(queue.path)
    rates = found.connection_rates if phase == "ConnectionRateThrottled" else found.message_rates
    if not rates:
        return phase
    tightest = rates[0]
    name = "" if tightest.name is None else f" {tightest.name}"
    return f"{tightest.knob}{name} {tightest.value}"


def _sessions(node: AdminNode, queue: ReadyQueue) -> Iterator[SessionSnapshot]:
    known = node.dispatching.dispatchers
    for task in list(queue.dispatchers):
        session = known.get(task)
        if session is not None:
            yield session.snapshot()


# -- one queue --------------------------------------------------------------------------------


async def inspect_ready(
    node: AdminNode, _caller: Caller, request: InspectReadyRequest
) -> ReadyQueueShown:
    """Return a ready queue with its sessions."""
    queue = _find(node, request.queue_name)
    names = await _feeding(node, queue) if request.include_scheduled_queues else None
    sessions = sorted(_sessions(node, queue), key=lambda one: one.began_mono)
    return ReadyQueueShown(
        queue_name=queue.name,
        mx=None if queue.route is None else show_route(queue.route),
        egress_source=queue.source.name,
        egress_pool=queue.last_pool,
        protocol=queue.protocol.label,
        routing_domain=queue.routing_domain,
        state=_state_of(node, queue),
        path_config=egress.to_json(queue.path),
        constraints=constraints_of(queue.path),
        scheduled_queue_names=names,
        dispatchers=[show_session(node, one) for one in sessions],
        now=format_event_time(node.clock.wall()),
    )


def _find(node: AdminNode, name: str) -> ReadyQueue:
    queue = node.ready.find(name)
    if queue is None:
        raise OperationRefusedError(Refusal.NOT_FOUND, "no such ready queue")
    return queue


async def _feeding(node: AdminNode, queue: ReadyQueue) -> list[str]:
    """Return the names of the scheduled queues whose mail may enter a ready queue."""
    pace = Pace(node.clock.mono)
    names = []
    for one in node.queues:
        if pace.is_spent():
            await pace.wait()
        plan = one.plan
        if plan is not None and any(way is queue for way in plan.queues.values()):
            names.append(one.name)
            if len(names) >= NAMES_MAX:
                break
    return sorted(names)


def show_session(node: AdminNode, session: SessionSnapshot) -> SessionShown:
    """Return a session as operators see it."""
    now = node.clock.mono()
    age_s = now - session.began_mono
    settled = session.delivered + session.deferred + session.failed
    return SessionShown(
        session_id=session.session_id,
        started_at=format_event_time(node.clock.wall_of(session.began_mono)),
        age=age_s,
        phase=session.phase,
        detail=session.detail or None,
        time_in_current_phase=now - session.entered_mono,
        messages_delivered=session.delivered,
        messages_transfailed=session.deferred,
        messages_failed=session.failed,
        delivered_this_connection=session.delivered_this_connection,
        overall_rate_per_sec=settled / age_s if age_s > 0 else 0.0,
    )


async def abort_session(node: AdminNode, _caller: Caller, request: AbortRequest) -> str:
    """End one session; its message goes back to its scheduled queue."""
    queue = _find(node, request.queue_name)
    known = node.dispatching.dispatchers
    for task in list(queue.dispatchers):
        session = known.get(task)
        if session is not None and session.session_id == request.session_id:
            task.cancel()
            return "OK"
    raise OperationRefusedError(Refusal.NOT_FOUND, "the ready queue has no such session")


READY_STATES = Operation(
    "ready-q-states",
    ready_states,
    ReadyStatesRequest,
    ReadyStates,
    "Show what limits ready queues",
    leaves_record=False,
)
INSPECT_READY = Operation(
    "inspect-ready-q",
    inspect_ready,
    InspectReadyRequest,
    ReadyQueueShown,
    "Show a ready queue",
    leaves_record=False,
    refusals={Refusal.NOT_FOUND: "there is no such ready queue now"},
)
ABORT_SESSION = Operation(
    "abort-ready-q-conn",
    abort_session,
    AbortRequest,
    str,
    "End a session of a ready queue",
    refusals={Refusal.NOT_FOUND: "there is no such ready queue, or no such session"},
)
