"""``why``: what holds a message, a scheduled queue or a ready queue, as operators ask for it.

Place in flow: an operation of ``engine.admin.operation``; looks by ``why_snapshot``, judges by
``why``.
"""

from __future__ import annotations

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.instant import format_instant
from engine.admin.message_place import find_place
from engine.admin.messages import parse_spool_id
from engine.admin.operation import Operation
from engine.admin.why import explain_message, explain_queue, explain_way
from engine.admin.why_snapshot import see_message, see_node, see_queue, see_way
from engine.admin.why_waits import Reason
from engine.model.caller import Caller


class WhyRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What is asked about: one of a message, a scheduled queue, a ready queue.

    Attributes:
        id: The spool id of a message.
        queue_name: A scheduled queue.
        ready_queue: A ready queue.
    """

    id: str | None = None
    queue_name: str | None = None
    ready_queue: str | None = None


class ReasonShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One link of the chain; instants RFC 3339.

    Attributes:
        code: The insert reason, as records have it, or a name of its own.
        text: In words.
        where: The queue or source that it is about.
        author: Who ordered it.
        since: Since when.
        until: When it ends, or is looked at again.
        knob: The option that sets it.
        value: What that is set to.
        held_by: Who has what is waited for.
    """

    code: str
    text: str
    where: str | None = None
    author: str | None = None
    since: str | None = None
    until: str | None = None
    knob: str | None = None
    value: str | None = None
    held_by: list[str] = []


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why something does not go on.

    Attributes:
        subject: What was asked about.
        place: Where that is: of a message ``waiting``, ``ready``, ``sending`` or ``elsewhere``.
        queue_name: The scheduled queue of a message.
        summary: The first reason in words.
        reasons: The chain of what holds it, what holds now first.
    """

    subject: str
    place: str | None
    queue_name: str | None
    summary: str
    reasons: list[ReasonShown]


async def why(node: AdminNode, _caller: Caller, request: WhyRequest) -> Explanation:
    """Return what holds something."""
    asked = [one for one in (request.id, request.queue_name, request.ready_queue) if one]
    if len(asked) != 1:
        text = "one of id, queue_name and ready_queue is wanted"
        raise OperationRefusedError(Refusal.WRONG, text, "id")
    if request.id is not None:
        return await _why_message(node, request.id)
    if request.queue_name is not None:
        queue = node.queues.find(request.queue_name)
        if queue is None:
            raise OperationRefusedError(Refusal.NOT_FOUND, "no such queue")
        seen = await see_queue(node, queue)
        return _explain(queue.name, None, None, explain_queue(seen, see_node(node, queue)))
    way = node.ready.find(asked[0])
    if way is None:
        raise OperationRefusedError(Refusal.NOT_FOUND, "no such ready queue")
    seen_way = await see_way(node, way)
    return _explain(way.name, None, None, explain_way(seen_way, see_node(node, None)))


async def _why_message(node: AdminNode, text: str) -> Explanation:
    place = await find_place(node, parse_spool_id(text))
    queue = None if place.queue is None else await see_queue(node, place.queue)
    message = await see_message(node, place)
    reasons = explain_message(message, queue, see_node(node, place.queue))
    return _explain(text, message.place, place.queue_name, reasons)


def _explain(
    subject: str, place: str | None, queue_name: str | None, reasons: list[Reason]
) -> Explanation:
    return Explanation(
        subject=subject,
        place=place,
        queue_name=queue_name,
        summary=reasons[0].text if reasons else "nothing holds it",
        reasons=[show_reason(one) for one in reasons],
    )


def show_reason(reason: Reason) -> ReasonShown:
    """Return a reason with its instants in words."""
    return ReasonShown(
        code=reason.code,
        text=reason.text,
        where=reason.where,
        author=reason.author,
        since=None if reason.since_at is None else format_instant(reason.since_at),
        until=None if reason.until_at is None else format_instant(reason.until_at),
        knob=reason.knob,
        value=reason.value,
        held_by=reason.held_by,
    )


WHY = Operation(
    "why",
    why,
    WhyRequest,
    Explanation,
    "Say what holds a message, a queue or a ready queue",
    leaves_record=False,
    refusals={
        Refusal.NOT_FOUND: "there is no such message or queue now",
        Refusal.UNAVAILABLE: "the spool cannot be read now",
    },
)
