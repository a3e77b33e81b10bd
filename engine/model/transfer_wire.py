"""A message as it goes from node to node: one line of JSON, then its octets as they are.

Place in flow: written by ``engine.deliver.transfer_dispatcher``, read by
``engine.receive.transfer_intake`` of the other node.

Invariants:
    * ``decode_transfer(encode_transfer(...))`` gives each octet of the content back.
    * A line without the fields of ours is taken: its sender has fewer.
    * Nothing that is decoded is believed before it was checked: addresses, sizes, times.

Standard: the form is that of the reference (id, sender, recipient, meta; gzip), with fields added.
"""

from __future__ import annotations

import re
import uuid
from typing import Any, NamedTuple

import msgspec

from engine.model.message import (
    FLAG_8BIT,
    FLAG_LOG_RECORD,
    FLAG_SMTPUTF8,
    FLAG_WIRE_READY,
    Message,
)

#: The flags that mean the same on every node.
_FLAGS_KEPT = FLAG_8BIT | FLAG_SMTPUTF8 | FLAG_LOG_RECORD | FLAG_WIRE_READY
#: 100 ns since the beginning of the Gregorian calendar, at the Unix epoch (RFC 9562, 5.1).
_GREGORIAN_OFFSET = 0x01B21DD213814000
#: Octets of the first line: metadata is bounded, this only keeps a search from going on for ever.
_LINE_MAX = 64 << 20
#: The last instant that a spool id can tell, in seconds since the Unix epoch.
_CREATED_MAX = ((1 << 48) - 1) / 1e3
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class Line(msgspec.Struct, kw_only=True):
    """The first line.

    Attributes:
        id: The spool id on the node it comes from, 32 hexadecimal digits.
        sender: Envelope sender.
        recipient: Who is still to get it.
        meta: The metadata.
        node: The id of the node it comes from; empty where it does not say.
        created: When it was received first, in seconds since the Unix epoch.
        flags: As in ``engine.model.message``.
        prefix: How many of the octets are header fields of this envelope alone.
    """

    id: str
    sender: str
    recipient: str | list[str]
    meta: dict[str, Any] = {}
    node: str = ""
    created: float | None = None
    flags: int | None = None
    prefix: int = 0


class Transferred(NamedTuple):
    """A message of another node.

    Attributes:
        prior_id: Its spool id there.
        prior_node: The id of that node.
        sender: Envelope sender.
        recipients: Who is still to get it.
        meta: The metadata.
        created_at: When it was received first, in seconds since the Unix epoch.
        flags: As in ``engine.model.message``.
        prefix: The header fields of this envelope alone.
        data: What comes after.
    """

    prior_id: str
    prior_node: str
    sender: str
    recipients: list[str]
    meta: dict[str, Any]
    created_at: float
    flags: int
    prefix: bytes
    data: bytes


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Line)


def encode_head(message: Message, node_id: str, meta: dict[str, Any]) -> bytes:
    """Return what goes before ``message.prefix`` and the body.

    Args:
        message: The message.
        node_id: The id of this node.
        meta: The metadata to send.

    Raises:
        ValueError: The metadata holds what JSON does not know.
    """
    recipients = message.recipients
    line = Line(
        id=message.id,
        sender=message.sender,
        recipient=recipients[0] if len(recipients) == 1 else recipients,
        meta=meta,
        node=node_id,
        created=message.created_at,
        flags=message.flags & _FLAGS_KEPT,
        prefix=len(message.prefix),
    )
    try:
        return _encoder.encode(line) + b"\n"
    except (TypeError, UnicodeEncodeError) as error:
        raise ValueError(f"the metadata cannot be sent: {error}") from error


def decode_transfer(raw: bytes) -> Transferred:
    """Return the message.

    Raises:
        ValueError: It is none.
    """
    end = raw.find(b"\n", 0, _LINE_MAX)
    if end < 0:
        raise ValueError("a line of JSON and a message are expected")
    try:
        line = _decoder.decode(memoryview(raw)[:end])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the first line: {error}") from error
    body = end + 1
    if len(raw) == body:
        raise ValueError("the message is empty")
    if not 0 <= line.prefix <= len(raw) - body:
        raise ValueError("prefix is larger than the message")
    recipients = [line.recipient] if isinstance(line.recipient, str) else line.recipient
    if not recipients:
        raise ValueError("the message has no recipient")
    if not all(recipients):
        raise ValueError("a recipient is empty")
    if any(_CONTROLS.search(address) for address in (line.sender, *recipients)):
        # No more is asked of them: a message made from a log record may be for what is no address.
        raise ValueError("an address holds no control characters")
    prior = _hexadecimal(line.id)
    created_at = created_of(prior) if line.created is None else line.created
    if not 0 <= created_at <= _CREATED_MAX:
        raise ValueError("created is no time")
    split = body + line.prefix
    flags = line.flags
    if flags is None:
        flags = 0 if raw.isascii() else FLAG_8BIT
    return Transferred(
        prior.hex(),
        line.node[:100],
        line.sender,
        recipients,
        line.meta,
        created_at,
        flags & _FLAGS_KEPT,
        raw[body:split],
        raw[split:],
    )


def _hexadecimal(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 16:
        raise ValueError("id wants 32 hexadecimal digits")
    return found


def created_of(spool_id: bytes) -> float:
    """Return when an id was made, in seconds since the Unix epoch: a UUID of version 1 or 7.

    Raises:
        ValueError: It is of another version.
    """
    made = uuid.UUID(bytes=spool_id)
    match made.version:
        case 1:
            return (made.time - _GREGORIAN_OFFSET) / 1e7
        case 7:
            return (made.int >> 80) / 1e3
    raise ValueError("the id does not tell when the message was received")
