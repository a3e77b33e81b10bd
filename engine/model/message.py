"""A message in memory: envelope, metadata, schedule and a handle to its body.

Place in flow: created by reception, stored by ``engine.spool``, carried through the queues to a
dispatcher, changed by handlers through ``engine.script_views`` only.

Invariants:
    * ``spool_id`` never changes; two messages may share a ``body_id`` (one body, many recipients).
    * ``recipients`` holds whom the message still has to reach; a settled recipient leaves it.
    * ``due_mono`` is monotonic: a step of the wall clock moves no due time. The spool stores the
      wall-clock equivalent.
    * ``data`` is None while the body is only on disk.
    * What goes over the wire is ``prefix + data``: the header fields that belong to one envelope
      (Received, trace, what a handler prepends) stand in front of a body that envelopes share.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NewType

import msgspec

if TYPE_CHECKING:
    from engine.model.schedule_window import Schedule

SpoolId = NewType("SpoolId", bytes)

#: Flags of a message, stored as one small number.
FLAG_8BIT = 1
FLAG_SMTPUTF8 = 2
#: The message was reported as held (suspended) and is not reported again while it stays so.
FLAG_HELD = 4
#: The message was made from a log record: no record of it is ever hooked again.
FLAG_LOG_RECORD = 8
#: Other envelopes may refer to the same body: the spool counts references before freeing it.
FLAG_SHARED_BODY = 16
#: The body can leave as it is: every line ends with CRLF, the last one too, and none begins with a
#: dot. Saves looking at each octet again; whoever changes the body clears it.
FLAG_WIRE_READY = 32

#: Characters of a reply that are kept with a message.
REPLY_CHARS = 300

_counter = int.from_bytes(os.urandom(4), "big")


def new_spool_id(wall_ns: int | None = None) -> SpoolId:
    """Return a new spool id: a UUID of version 7 (RFC 9562), so that ids sort by creation.

    Args:
        wall_ns: Nanoseconds since the Unix epoch; the present by default.
    """
    global _counter  # noqa: PLW0603 - one sequence per process keeps ids of one millisecond in order
    now_ms = (wall_ns if wall_ns is not None else time.time_ns()) // 1_000_000
    _counter = (_counter + 1) & 0xFFF
    head = (now_ms << 16) | 0x7000 | _counter
    return SpoolId(head.to_bytes(8, "big") + _variant(os.urandom(8)))


def _variant(tail: bytes) -> bytes:
    return bytes((tail[0] & 0x3F | 0x80,)) + tail[1:]


class Message:
    """One envelope with its metadata; the unit that queues hold and dispatchers deliver."""

    __slots__ = (
        "attempts",
        "body_id",
        "context",
        "created_at",
        "data",
        "due_mono",
        "flags",
        "meta",
        "meta_dirty",
        "notes",
        "pool",
        "prefix",
        "queue_name",
        "recipients",
        "schedule",
        "sender",
        "size",
        "spool_id",
    )

    def __init__(
        self,
        spool_id: SpoolId,
        sender: str,
        recipients: list[str],
        *,
        data: bytes | None,
        size: int,
        created_at: float,
        due_mono: float = 0.0,
        meta: dict[str, Any] | None = None,
        body_id: SpoolId | None = None,
        attempts: int = 0,
        flags: int = 0,
        schedule: Schedule | None = None,
        prefix: bytes = b"",
        notes: MessageNotes | None = None,
    ) -> None:
        self.spool_id = spool_id
        self.sender = sender
        self.recipients = recipients
        self.data = data
        self.size = size
        self.created_at = created_at
        self.due_mono = due_mono
        self.meta = {} if meta is None else meta
        self.body_id = spool_id if body_id is None else body_id
        self.attempts = attempts
        self.flags = flags
        self.schedule = schedule
        self.queue_name = ""
        self.context = 0
        self.meta_dirty = 0
        self.prefix = prefix
        #: What operators want to know or have said of it; None where there is nothing.
        self.notes = notes
        #: Name of the egress pool that the message was last promoted through.
        self.pool: str | None = None

    @property
    def hold(self) -> HoldNote | None:
        """Return why an operator holds the message back, if one does."""
        return None if self.notes is None else self.notes.hold

    def note_reply(self, reply: str, at: float, ready_queue: str) -> None:
        """Note why the last attempt failed; it is stored with the next write."""
        hold = self.hold
        self.notes = MessageNotes(reply[:REPLY_CHARS], at, ready_queue, hold)

    def note_hold(self, hold: HoldNote | None) -> None:
        """Note that an operator holds the message back, or no more; stored with the next write."""
        known = self.notes
        if known is None:
            self.notes = None if hold is None else MessageNotes(hold=hold)
        else:
            self.notes = MessageNotes(known.reply, known.reply_at, known.ready_queue, hold)

    @property
    def id(self) -> str:
        """Return the spool id as 32 hexadecimal digits, as records and operators see it."""
        return self.spool_id.hex()

    def __repr__(self) -> str:
        return f"<Message {self.id} to {len(self.recipients)} in {self.queue_name!r}>"


def message_from(spool_id: SpoolId, stored: StoredEnvelope, due_mono: float) -> Message:
    """Return the message of a stored envelope, its body left on disk."""
    schedule = None
    if stored.schedule is not None:
        from engine.model.schedule_window import parse_schedule  # noqa: PLC0415 - rare, heavy

        schedule = parse_schedule(stored.schedule)
    return Message(
        spool_id,
        stored.sender,
        stored.recipients,
        data=None,
        size=stored.size,
        created_at=stored.created_at,
        due_mono=due_mono,
        meta=stored.meta,
        body_id=SpoolId(stored.body_id),
        attempts=stored.attempts,
        flags=stored.flags,
        schedule=schedule,
        prefix=stored.prefix,
        notes=stored.notes,
    )


class HoldNote(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """That an operator holds a message back.

    Attributes:
        author: Who.
        reason: Why.
        since_at: Since when, in seconds since the Unix epoch.
        until_at: Until when; None until it is released.
    """

    author: str
    reason: str
    since_at: float
    until_at: float | None = None


class MessageNotes(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What operators want to know of a message, or have said; the order of fields is the format.

    Attributes:
        reply: Why the last attempt failed, in one line.
        reply_at: When that was, in seconds since the Unix epoch.
        ready_queue: By which ready queue.
        hold: Why it is held back.
    """

    reply: str = ""
    reply_at: float = 0.0
    ready_queue: str = ""
    hold: HoldNote | None = None


class StoredEnvelope(msgspec.Struct, array_like=True, gc=False):
    """What the spool keeps of a message beside its body; the order of fields is the format.

    New fields go to the end with a default: an older entry still decodes (tests/upgrade).
    """

    version: int
    sender: str
    recipients: list[str]
    meta: dict[str, Any]
    created_at: float
    due_at: float
    attempts: int
    body_id: bytes
    size: int
    flags: int
    prefix: bytes = b""
    schedule: dict[str, Any] | None = None
    notes: MessageNotes | None = None


#: Version of the stored envelope, written into every entry.
ENVELOPE_VERSION = 1
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(StoredEnvelope)


def encode_envelope(message: Message, due_at: float) -> bytes:
    """Return the stored form of a message's envelope.

    Args:
        message: The message.
        due_at: Its due time in seconds since the Unix epoch.
    """
    return _encoder.encode(
        StoredEnvelope(
            ENVELOPE_VERSION,
            message.sender,
            message.recipients,
            message.meta,
            message.created_at,
            due_at,
            message.attempts,
            message.body_id,
            message.size,
            message.flags,
            message.prefix,
            message.schedule.to_dict() if message.schedule else None,
            message.notes,
        )
    )


def decode_envelope(raw: bytes) -> StoredEnvelope:
    """Return the stored envelope.

    Raises:
        ValueError: The entry is damaged or of a version this node does not know.
    """
    try:
        stored = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"damaged envelope: {error}") from error
    if stored.version != ENVELOPE_VERSION:
        raise ValueError(f"envelope of unknown version {stored.version}")
    return stored
