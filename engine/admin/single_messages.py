"""Acts on one message: hold it, release it, move it, send it now, give it up.

Place in flow: operations of ``engine.admin.operation``; take the message out of its place
(``message_place``) and give it back to ``engine.schedule.promotion``.

Invariants:
    * An act is in the spool before it is answered; a hold outlives a restart.
    * A message that is being sent is left alone, and the caller told.
    * What is given up leaves a record that says who did it.
"""

from __future__ import annotations

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.instant import duration_of
from engine.admin.message_place import find_place, take_out
from engine.admin.messages import parse_spool_id
from engine.admin.operation import Operation
from engine.model.caller import Caller
from engine.model.insert_reason import InsertReason
from engine.model.message import HoldNote, Message, SpoolId
from engine.model.queue_name import parse_queue_name
from engine.schedule.transferring import record_move
from engine.script_views import DIRTY_BODY, queue_name_of


class MessageRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which message, and why.

    Attributes:
        id: Its spool id.
        reason: Why, for records.
    """

    id: str
    reason: str = ""


class HoldRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which message is to be held, why, and for how long; until it is released by default.

    Attributes:
        id: Its spool id.
        reason: Why, for whoever looks at it.
        duration: For how long: seconds, or text such as ``1h``.
        expires: Until when, RFC 3339; instead of a duration.
    """

    id: str
    reason: str
    duration: str | float | None = None
    expires: str | None = None


class MoveRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which message is to be moved, why, and by which metadata.

    Attributes:
        id: Its spool id.
        reason: Why, for records.
        data: Metadata to set, such as ``{"routing_domain": "b.example"}``.
    """

    id: str
    reason: str
    data: dict[str, str]


class MessageMoved(msgspec.Struct, frozen=True):
    """Where a message is after an act.

    Attributes:
        id: Its spool id.
        queue_name: The scheduled queue it is in.
    """

    id: str
    queue_name: str


async def hold(node: AdminNode, caller: Caller, request: HoldRequest) -> MessageMoved:
    """Hold a message back."""
    until_at = None
    now_at = node.clock.wall()
    if request.duration is not None or request.expires is not None:
        until_at = now_at + duration_of(request.duration, request.expires, now_at)
    message = await _take(node, request.id)
    message.note_hold(HoldNote(caller.identity, request.reason, now_at, until_at))
    return _give_back(node, message)


async def release(node: AdminNode, _caller: Caller, request: MessageRequest) -> MessageMoved:
    """Let a message go that is held."""
    spool_id = parse_spool_id(request.id)
    place = await find_place(node, spool_id)
    notes = place.stored.notes
    if notes is None or notes.hold is None:
        raise OperationRefusedError(Refusal.NOT_FOUND, "the message is not held")
    message = take_out(node, spool_id, place)
    message.note_hold(None)
    # What it waited for besides is told by its retry schedule; that it was held is over.
    message.due_mono = min(message.due_mono, node.clock.mono_of(place.stored.due_at))
    return _give_back(node, message)


async def send_now(node: AdminNode, _caller: Caller, request: MessageRequest) -> MessageMoved:
    """Have a message due at once, held or not; what holds its queue holds it too."""
    message = await _take(node, request.id)
    message.note_hold(None)
    message.due_mono = node.clock.mono()
    message.context = InsertReason.ADMIN_REBIND
    return _give_back(node, message)


async def move(node: AdminNode, caller: Caller, request: MoveRequest) -> MessageMoved:
    """Move a message to another queue, due at once."""
    if not request.data:
        raise OperationRefusedError(Refusal.WRONG, "data says where to", "data")
    spool_id = parse_spool_id(request.id)
    place = await find_place(node, spool_id)
    message = take_out(node, spool_id, place)
    before, meta = message.queue_name, message.meta
    message.meta = {**meta, **request.data}
    try:
        name = queue_name_of(message)
        if not parse_queue_name(name).domain:
            raise ValueError(f"the queue {name!r} names no domain")
    except ValueError as error:
        message.meta = meta
        node.promotion.insert(message)
        raise OperationRefusedError(Refusal.WRONG, str(error), "data") from None
    message.queue_name = name
    if name != before:
        message.due_mono = node.clock.mono()
        message.context = InsertReason.ADMIN_REBIND
    _store(node, message)
    if name != before:
        record_move(node.recorder, message, before, _why(caller, request.reason))
    node.promotion.insert(message)
    return MessageMoved(message.id, name)


async def expire(node: AdminNode, caller: Caller, request: MessageRequest) -> MessageMoved:
    """Give a message up now, as if it had grown too old."""
    message = await _take(node, request.id)
    node.settlement.expire_now(message, _why(caller, request.reason))
    return MessageMoved(request.id, message.queue_name)


async def _take(node: AdminNode, text: str) -> Message:
    spool_id: SpoolId = parse_spool_id(text)
    return take_out(node, spool_id, await find_place(node, spool_id))


def _store(node: AdminNode, message: Message) -> None:
    """Store a message with all that a handler changed in it and nobody stored yet."""
    if message.meta_dirty & DIRTY_BODY:
        node.store.replace_body(message)
    else:
        node.store.update(message)
    message.meta_dirty = 0


def _give_back(node: AdminNode, message: Message) -> MessageMoved:
    _store(node, message)
    node.promotion.insert(message)
    return MessageMoved(message.id, message.queue_name)


def _why(caller: Caller, reason: str) -> str:
    return f"{reason} (by {caller.identity})" if reason else f"by {caller.identity}"


_REFUSALS = {
    Refusal.NOT_FOUND: "there is no such message",
    Refusal.UNAVAILABLE: "the message is being sent just now, or the spool cannot be read",
}

HOLD = Operation("hold", hold, HoldRequest, MessageMoved, "Hold a message", refusals=_REFUSALS)
RELEASE = Operation(
    "release",
    release,
    MessageRequest,
    MessageMoved,
    "Release a message that is held",
    refusals=_REFUSALS,
)
SEND_NOW = Operation(
    "send-now",
    send_now,
    MessageRequest,
    MessageMoved,
    "Have a message due at once",
    refusals=_REFUSALS,
)
MOVE = Operation(
    "move", move, MoveRequest, MessageMoved, "Move a message to another queue", refusals=_REFUSALS
)
EXPIRE = Operation(
    "expire", expire, MessageRequest, MessageMoved, "Give a message up", refusals=_REFUSALS
)
