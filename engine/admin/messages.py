"""Single messages: what is known of one that waits.

Place in flow: operations of ``engine.admin.operation``; read the spool.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.operation import Operation
from engine.model.caller import Caller
from engine.model.log_record import format_event_time
from engine.model.message import SpoolId, StoredEnvelope


class WantsBody(Protocol):
    """A question whose answer may have content of messages."""

    @property
    def want_body(self) -> bool:
        """Return whether it is to have that."""


class InspectMessageRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which message, and whether its content is wanted.

    Attributes:
        id: Its spool id.
        want_body: Whether its content is wanted.
    """

    id: str
    want_body: bool = False


def shows_content(request: WantsBody) -> bool:
    """Return whether content of messages is shown: that leaves a record."""
    return request.want_body


class MessageShown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message that waits.

    Attributes:
        sender: Its envelope sender.
        recipient: Whom it still has to reach: text, or a list of several.
        meta: Its metadata.
        data: Its content, where that is wanted.
        scheduling: The times it may go at.
        due: When it is due, RFC 3339.
        num_attempts: How often it was tried.
        created: When it was received, RFC 3339.
        size: Octets.
    """

    sender: str
    recipient: str | list[str]
    meta: dict[str, Any]
    data: str | None = None
    scheduling: dict[str, Any] | None = None
    due: str | None = None
    num_attempts: int | None = None
    created: str | None = None
    size: int | None = None


class MessageWithId(msgspec.Struct, frozen=True):
    """A message and its spool id.

    Attributes:
        id: Its spool id.
        message: What the spool has of it.
    """

    id: str
    message: MessageShown


async def inspect_message(
    node: AdminNode, _caller: Caller, request: InspectMessageRequest
) -> MessageWithId:
    """Return what the spool has of a message."""
    spool_id = parse_spool_id(request.id)
    stored = node.store.load(spool_id)
    if stored is None:
        raise OperationRefusedError(Refusal.NOT_FOUND, "no such message")
    return MessageWithId(request.id, show_message(node, stored, want_body=request.want_body))


def parse_spool_id(text: str) -> SpoolId:
    """Return the spool id that a caller means.

    Raises:
        OperationRefusedError: It is none.
    """
    try:
        spool_id = bytes.fromhex(text)
    except ValueError:
        spool_id = b""
    if len(spool_id) != 16:
        raise OperationRefusedError(Refusal.WRONG, "id wants 32 hexadecimal digits", "id")
    return SpoolId(spool_id)


def show_message(node: AdminNode, stored: StoredEnvelope, *, want_body: bool) -> MessageShown:
    """Return a stored message as operators see it.

    Raises:
        EngineError: Its content cannot be read.
    """
    data = None
    if want_body:
        body = node.store.load_body(SpoolId(stored.body_id))
        data = (stored.prefix + body).decode("utf-8", "replace")
    recipients = stored.recipients
    return MessageShown(
        sender=stored.sender,
        recipient=recipients[0] if len(recipients) == 1 else recipients,
        meta=stored.meta,
        data=data,
        scheduling=stored.schedule,
        due=format_event_time(stored.due_at),
        num_attempts=stored.attempts,
        created=format_event_time(stored.created_at),
        size=stored.size,
    )


INSPECT = Operation(
    "inspect-message",
    inspect_message,
    InspectMessageRequest,
    MessageWithId,
    "Show a message",
    leaves_record=shows_content,
    refusals={
        Refusal.NOT_FOUND: "the spool has no such message",
        Refusal.UNAVAILABLE: "the spool cannot be read now",
    },
)
