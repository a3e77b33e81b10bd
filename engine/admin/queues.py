"""Scheduled queues: what waits in them, and why.

Place in flow: operations of ``engine.admin.operation``; read the registry of ``engine.schedule``.

Invariants:
    * However many messages there are, looking at them holds the loop for one slice a turn only.
"""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.messages import MessageShown, MessageWithId, show_message, shows_content
from engine.admin.operation import Operation
from engine.model import queue_config
from engine.model.caller import Caller
from engine.model.errors import EngineError
from engine.model.log_record import format_event_time
from engine.model.message import SpoolId
from engine.schedule.pace import Pace
from engine.schedule.timer_wheel import Waiting

#: Messages shown at most, and octets of content.
MESSAGES_MAX = 10_000
DATA_MAX = 32 << 20

Limit = Annotated[int, msgspec.Meta(ge=0, le=MESSAGES_MAX)]


class InspectScheduledRequest(
    msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True
):
    """Which scheduled queue, how many of its messages, and whether their content is wanted.

    Attributes:
        queue_name: Its name.
        want_body: Whether the content of messages is wanted.
        limit: How many messages; all by default.
    """

    queue_name: str
    want_body: bool = False
    limit: Limit | None = None


class ScheduledQueueShown(msgspec.Struct, frozen=True, kw_only=True):
    """A scheduled queue and some of its messages, in no order.

    Attributes:
        queue_name: Its name.
        messages: Some of its messages.
        num_scheduled: How many wait in it.
        queue_config: Its configuration, once it is known.
        delayed_metric: How many wait in it, as metrics say.
        blocked_by: Why the first that is due cannot go.
        last_changed: When it last was not empty.
        now: The present, RFC 3339.
    """

    queue_name: str
    messages: list[MessageWithId]
    num_scheduled: int
    queue_config: dict[str, Any] | None
    delayed_metric: int
    blocked_by: str | None
    last_changed: str
    now: str


async def inspect_scheduled(
    node: AdminNode, _caller: Caller, request: InspectScheduledRequest
) -> ScheduledQueueShown:
    """Return a scheduled queue with some of its messages."""
    queue = node.queues.find(request.queue_name)
    if queue is None:
        raise OperationRefusedError(Refusal.NOT_FOUND, "no such queue")
    limit = MESSAGES_MAX if request.limit is None else request.limit
    messages: list[MessageWithId] = []
    octets = 0
    pace = Pace(node.clock.mono)
    for entry in list(islice(queue.entries.values(), limit)):
        if pace.is_spent():
            await pace.wait()
        if octets > DATA_MAX:
            break
        shown = _show_entry(node, entry, want_body=request.want_body)
        if shown is not None:
            octets += len(shown.data or "")
            messages.append(MessageWithId(entry.spool_id.hex(), shown))
    clock = node.clock
    return ScheduledQueueShown(
        queue_name=queue.name,
        messages=messages,
        num_scheduled=len(queue),
        queue_config=queue_config.to_json(queue.config) if queue.config else None,
        delayed_metric=len(queue),
        blocked_by=queue.blocked_by or None,
        last_changed=format_event_time(clock.wall_of(queue.idle_since_mono)),
        now=format_event_time(clock.wall()),
    )


def _show_entry(node: AdminNode, entry: Waiting, *, want_body: bool) -> MessageShown | None:
    """Return a waiting message; None if it left, or cannot be read."""
    try:
        stored = node.store.load(SpoolId(entry.spool_id))
        if stored is None:
            return None
        stored.due_at = node.clock.wall_of(entry.due_mono)
        return show_message(node, stored, want_body=want_body)
    except EngineError:
        return None


INSPECT_SCHEDULED = Operation(
    "inspect-sched-q",
    inspect_scheduled,
    InspectScheduledRequest,
    ScheduledQueueShown,
    "Show a scheduled queue",
    leaves_record=shows_content,
    refusals={Refusal.NOT_FOUND: "there is no such queue now"},
)
