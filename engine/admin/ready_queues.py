"""Ready queues: what is in them, what limits them, which sessions carry their mail.

Place in flow: operations of ``engine.admin.operation``; read the registry of ``engine.ready``.

Invariants:
    * However many queues there are, looking at them holds the loop for one slice a turn only.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.operation import Operation
from engine.model import egress
from engine.model.caller import Caller
from engine.model.log_record import format_event_time
from engine.ready.ready_queue import ReadyQueue
from engine.schedule.pace import Pace


class ReadyStatesRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Of which ready queues; of all by default."""

    queues: list[str] = []


class Since(msgspec.Struct, frozen=True):
    """What limits a queue, and since when, RFC 3339."""

    context: str
    since: str


class ReadyState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What limits a ready queue.

    Attributes:
        ready_count: Messages in it.
        connection_count: Sessions of it.
        connection_limited: The connection limit that is reached.
        connection_rate_throttled: The rate that new connections wait for.
        suspended: Whether it, or its source, is suspended.
        path_config: Its egress path.
    """

    ready_count: int
    connection_count: int
    suspended: bool
    path_config: dict[str, Any]
    connection_limited: Since | None = None
    connection_rate_throttled: Since | None = None


class ReadyStates(msgspec.Struct, frozen=True):
    """Ready queues with what limits them, by name."""

    states_by_ready_queue: dict[str, ReadyState]


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
        states[queue.name] = _state_of(node, queue)
    return ReadyStates(states)


def _state_of(node: AdminNode, queue: ReadyQueue) -> ReadyState:
    limited = None
    if queue.limited_by:
        since_at = node.clock.wall_of(queue.limited_since_mono)
        limited = Since(queue.limited_by, format_event_time(since_at))
    return ReadyState(
        ready_count=len(queue.messages),
        connection_count=len(queue.dispatchers),
        suspended=queue.is_suspended,
        path_config=egress.to_json(queue.path),
        connection_limited=limited,
    )


READY_STATES = Operation(
    "ready-q-states",
    ready_states,
    ReadyStatesRequest,
    ReadyStates,
    "Show what limits ready queues",
    leaves_record=False,
)
