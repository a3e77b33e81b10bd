"""The log record: one line of truth about one event of one message, as it goes over every wire.

Place in flow: built by ``engine.records.recorder`` alone; written into segments, handed to log
hooks, sent to the traffic shaping daemon and read back there.

Invariants:
    * Field names and types are those log processors know; fields are added, never changed.
    * ``record_id`` is unique per record; ``id`` is the message's and repeats.
    * The TLS fields, ``provider_name`` and ``session_id`` are absent when unknown; every other
      field is always present, null where it has no value.
    * A reader skips fields it does not know and takes records that lack the newer ones.

Standard: RFC 3339 for times, in UTC, ``event_time`` always with six digits of fraction.
"""

from __future__ import annotations

import enum
import itertools
import os
import time
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType


class RecordKind(enum.StrEnum):
    """What happened: the ``type`` field of a record."""

    RECEPTION = "Reception"
    DELIVERY = "Delivery"
    TRANSIENT_FAILURE = "TransientFailure"
    BOUNCE = "Bounce"
    EXPIRATION = "Expiration"
    ADMIN_BOUNCE = "AdminBounce"
    OOB = "OOB"
    FEEDBACK = "Feedback"
    REJECTION = "Rejection"
    ADMIN_REBIND = "AdminRebind"
    DEFERRED_INJECTION_REBIND = "DeferredInjectionRebind"
    DELAYED = "Delayed"
    XFER_OUT = "XferOut"
    XFER_IN = "XferIn"


#: The class of a bounce nobody classified.
UNCATEGORIZED = "Uncategorized"


class EnhancedCode(msgspec.Struct, frozen=True, gc=False):
    """An enhanced status code (RFC 3463) of a response."""

    klass: int = msgspec.field(name="class")
    subject: int
    detail: int


class Response(msgspec.Struct, frozen=True, gc=False):
    """What a peer, or the node itself, said.

    Attributes:
        content: One line, without the enhanced code.
        command: The whole command line it answers; ``.`` for the end of the data.
    """

    code: int
    enhanced_code: EnhancedCode | None = None
    content: str = ""
    command: str | None = None


class PeerAddress(msgspec.Struct, frozen=True, gc=False):
    """The other end: a client's EHLO name and address, or an MX host and its address."""

    name: str
    addr: str


class SourceAddress(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The local address of a delivery, and the proxy it went through, if any."""

    address: str
    server: str | UnsetType = UNSET
    protocol: str | UnsetType = UNSET


class LogRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One event of one message; the order of the fields is the order in a line."""

    kind: RecordKind = msgspec.field(name="type")
    record_id: str = ""
    id: str = ""
    sender: str = ""
    recipient: str | list[str] = ""
    queue: str = ""
    site: str = ""
    ready_queue: str = ""
    site_name: str = ""
    size: int = 0
    response: Response | None = None
    peer_address: PeerAddress | None = None
    timestamp: int = 0
    event_time: str = ""
    created: int = 0
    created_time: str = ""
    num_attempts: int = 0
    bounce_classification: str = UNCATEGORIZED
    egress_pool: str | None = None
    egress_source: str | None = None
    source_address: SourceAddress | None = None
    feedback_report: dict[str, Any] | None = None
    meta: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    delivery_protocol: str | None = None
    reception_protocol: str | None = None
    nodeid: str = ""
    tls_cipher: str | UnsetType = UNSET
    tls_protocol_version: str | UnsetType = UNSET
    tls_peer_subject_name: list[str] | UnsetType = UNSET
    provider_name: str | UnsetType = UNSET
    session_id: str | UnsetType = UNSET

    @property
    def recipients(self) -> list[str]:
        """Return the recipients as a list, also when there is one or none."""
        if isinstance(self.recipient, list):
            return self.recipient
        return [self.recipient] if self.recipient else []


_id_prefix = os.urandom(10).hex()
_next_number = itertools.count(int.from_bytes(os.urandom(4), "big")).__next__


def new_record_id() -> str:
    """Return an id that no other record has: 32 hexadecimal digits."""
    return f"{_id_prefix}{_next_number():012x}"


@lru_cache(maxsize=1024)
def _format_second(second_at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second_at))


def format_event_time(instant_at: float) -> str:
    """Return an instant as RFC 3339 with microseconds, in UTC.

    Args:
        instant_at: Seconds since the Unix epoch.
    """
    second_at, micros = divmod(int(instant_at * 1_000_000), 1_000_000)
    return f"{_format_second(second_at)}.{micros:06d}Z"


def format_created_time(instant_at: float) -> str:
    """Return an instant as RFC 3339 in whole seconds, in UTC."""
    return f"{_format_second(int(instant_at))}Z"


def format_segment_name(instant_at: float) -> str:
    """Return the name of a segment opened at an instant: date, time and fraction, in UTC."""
    text = format_event_time(instant_at)
    return text.replace("-", "").replace(":", "").replace("T", "-").removesuffix("Z")


# What a script left in the metadata is written as text rather than lost with its record.
_encoder = msgspec.json.Encoder(enc_hook=str)
_decoder = msgspec.json.Decoder(LogRecord)


def encode_record(record: LogRecord) -> bytes:
    """Return the record as one line of JSON, newline included."""
    try:
        return _encoder.encode(record) + b"\n"
    except UnicodeEncodeError:
        # A client's octets that are no UTF-8 are carried as lone surrogates; JSON has none.
        return (
            _encoder.encode(replace_surrogates(msgspec.to_builtins(record, enc_hook=str))) + b"\n"
        )


def replace_surrogates(value: Any) -> Any:
    """Return a JSON-like value whose texts can all be encoded as UTF-8."""
    match value:
        case str():
            return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        case list():
            return [replace_surrogates(item) for item in value]
        case dict():
            return {replace_surrogates(key): replace_surrogates(v) for key, v in value.items()}
    return value


def decode_record(line: bytes) -> LogRecord:
    """Return the record of a line.

    Raises:
        ValueError: The line is no log record.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"no log record: {error}") from error
