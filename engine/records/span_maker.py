"""Spans of what happens to messages, in the terms of OpenTelemetry; no library is needed for it.

Place in flow: ``engine.records.recorder`` tells it of each thing that happens;
``engine.records.span_exporter`` takes what it makes.

Invariants:
    * One trace per message. Its id is that of the message on the node that took it first: it is
      the same after a restart and on every node that the message is transferred to, and nothing
      has to be stored; a ``traceparent`` in the metadata names another one.
    * Whether a message is traced follows from the id of its trace: all nodes judge alike.
    * The root of a trace is the reception; its id follows from the message's id too, so that what
      happens later finds it. All else are its children.
    * No address of a recipient, and no reply, which may hold one, unless asked for.

Failure: none; what is not known of a message is left out.

Standard: W3C Trace Context; OpenTelemetry's semantic conventions, where they have a name.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from engine.model.circumstances import Circumstances
from engine.model.log_record import RecordKind
from engine.model.message import FLAG_LOG_RECORD, Message
from engine.model.queue_name import parse_queue_name
from engine.model.reply import SmtpReply

#: Metadata: the trace that a message belongs to; its id on the node that took it first.
TRACEPARENT, ORIGIN_ID = "traceparent", "xfer_origin_id"
#: Traced messages whose last attempt is remembered; of others the spool knows when it was.
REMEMBERED_MAX = 10_000
#: A wait shorter than this is none, seconds.
_WAIT_MIN_S = 0.001
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SPOOL_ID = re.compile(r"[0-9a-f]{32}")
_RANDOM_BITS = 56

_ATTEMPTS = frozenset(
    (
        RecordKind.DELIVERY,
        RecordKind.TRANSIENT_FAILURE,
        RecordKind.BOUNCE,
        RecordKind.XFER_OUT,
    )
)
#: What happens to a message that goes on waiting.
_IN_BETWEEN = frozenset((RecordKind.DELAYED, RecordKind.ADMIN_REBIND))
_DISPOSITIONS = {
    RecordKind.RECEPTION: "received",
    RecordKind.XFER_IN: "transferred_in",
    RecordKind.DELIVERY: "delivered",
    RecordKind.XFER_OUT: "transferred_out",
    RecordKind.TRANSIENT_FAILURE: "deferred",
    RecordKind.BOUNCE: "failed",
    RecordKind.EXPIRATION: "expired",
    RecordKind.ADMIN_BOUNCE: "bounced_by_operator",
    RecordKind.ADMIN_REBIND: "moved",
    RecordKind.DELAYED: "delayed",
}
_ERRORS = frozenset(
    (
        RecordKind.TRANSIENT_FAILURE,
        RecordKind.BOUNCE,
        RecordKind.EXPIRATION,
        RecordKind.ADMIN_BOUNCE,
    )
)


class Span(msgspec.Struct, frozen=True, gc=False):
    """Something that took time; instants are seconds since the Unix epoch.

    Attributes:
        kind: ``server``, ``client`` or ``internal``.
        trace_id: 16 octets.
        span_id: 8 octets.
        parent_id: 8 octets; None at the root.
        attributes: Text, numbers and lists of text.
        is_error: Whether it is shown as one that failed.
    """

    name: str
    kind: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes | None
    start_at: float
    end_at: float
    attributes: dict[str, Any]
    is_error: bool = False


class _Trace(msgspec.Struct, frozen=True, gc=False):
    trace_id: bytes
    root_id: bytes
    above: bytes | None


class SpanMaker:
    """Makes the spans of one node.

    Args:
        emit: Takes a span, without waiting.
        wall: The wall clock, seconds since the Unix epoch.
        wall_of: Turns a monotonic instant into one of the wall clock.
        sample: The share of messages that is traced, 0 to 1.
        addresses: Whether spans show sender, recipients and replies.
    """

    def __init__(
        self,
        emit: Callable[[Span], None],
        wall: Callable[[], float],
        wall_of: Callable[[float], float],
        *,
        sample: float = 1.0,
        addresses: bool = False,
    ) -> None:
        self._emit = emit
        self._wall = wall
        self._wall_of = wall_of
        self._least = sampling_threshold(sample)
        self._addresses = addresses
        #: Since when traced messages wait.
        self._waiting_since: dict[bytes, float] = {}

    def note(
        self,
        kind: RecordKind,
        message: Message,
        reply: SmtpReply,
        where: Circumstances,
        recipients: Sequence[str],
    ) -> None:
        """Make the spans of what happened to a message, if its trace is one of the sample."""
        if message.flags & FLAG_LOG_RECORD or kind not in _DISPOSITIONS:
            return
        trace = find_trace(message, self._least)
        if trace is None:
            return
        attributes = self._describe(kind, message, reply, where, recipients)
        began_at = None if where.began_mono is None else self._wall_of(where.began_mono)
        now_at = self._wall()
        if kind is RecordKind.RECEPTION:
            began_at = message.created_at if began_at is None else began_at
            self._begin(trace, min(now_at, began_at), now_at, attributes)
        elif kind is RecordKind.XFER_IN:
            self._child("receive", "server", trace, now_at, now_at, attributes)
        else:
            self._go_on(kind, trace, message, began_at, now_at, attributes)
        if kind not in _IN_BETWEEN:
            self._remember(message, now_at)

    def _begin(
        self, trace: _Trace, start_at: float, end_at: float, attributes: dict[str, Any]
    ) -> None:
        self._emit(
            Span(
                "receive",
                "server",
                trace.trace_id,
                trace.root_id,
                trace.above,
                start_at,
                end_at,
                attributes,
            )
        )

    def _go_on(
        self,
        kind: RecordKind,
        trace: _Trace,
        message: Message,
        began_at: float | None,
        now_at: float,
        attributes: dict[str, Any],
    ) -> None:
        """Make the spans of an attempt, or of what an operator or the node itself decided."""
        since_at = self._since(message)
        start_at = min(now_at, max(since_at, now_at if began_at is None else began_at))
        if kind not in _IN_BETWEEN:
            self._tell_wait(trace, message, since_at, start_at)
        if kind in _ATTEMPTS and began_at is not None:
            name, what = "deliver", "client"
        else:
            name, what, start_at = _DISPOSITIONS[kind], "internal", now_at
        self._child(name, what, trace, start_at, now_at, attributes, is_error=kind in _ERRORS)

    def _child(
        self,
        name: str,
        kind: str,
        trace: _Trace,
        start_at: float,
        end_at: float,
        attributes: dict[str, Any],
        *,
        is_error: bool = False,
    ) -> None:
        self._emit(
            Span(
                name,
                kind,
                trace.trace_id,
                os.urandom(8),
                trace.root_id,
                start_at,
                end_at,
                attributes,
                is_error,
            )
        )

    def _tell_wait(self, trace: _Trace, message: Message, since_at: float, until_at: float) -> None:
        if until_at - since_at < _WAIT_MIN_S:
            return
        attributes = {**_names_of(message), "cirrus.attempts": message.attempts}
        self._child("wait", "internal", trace, since_at, until_at, attributes)

    def _since(self, message: Message) -> float:
        """Return since when the message waits: of one that was spooled, as the spool knows."""
        since_at = self._waiting_since.get(message.spool_id)
        if since_at is None:
            notes = message.notes
            since_at = notes.reply_at if notes is not None else 0.0
        return since_at or message.created_at

    def _remember(self, message: Message, now_at: float) -> None:
        self._waiting_since.pop(message.spool_id, None)
        if len(self._waiting_since) >= REMEMBERED_MAX:
            del self._waiting_since[next(iter(self._waiting_since))]
        self._waiting_since[message.spool_id] = now_at

    def _describe(
        self,
        kind: RecordKind,
        message: Message,
        reply: SmtpReply,
        where: Circumstances,
        recipients: Sequence[str],
    ) -> dict[str, Any]:
        enhanced = reply.enhanced
        found = {
            **_names_of(message),
            "messaging.message.id": message.id,
            "messaging.message.body.size": message.size,
            "cirrus.disposition": _DISPOSITIONS[kind],
            "cirrus.recipient_count": len(recipients),
            "cirrus.attempts": message.attempts,
            "cirrus.reply.code": reply.code,
            "cirrus.reply.enhanced_code": None if enhanced is None else str(enhanced),
            "cirrus.site": where.site_name,
            "cirrus.ready_queue": where.ready_queue,
            "cirrus.egress_source": where.egress_source,
            "cirrus.egress_pool": message.pool if where.ready_queue else None,
            "cirrus.provider": where.provider_name,
            "cirrus.session_id": where.session_id,
            "network.protocol.name": _protocol_of(kind, message, where),
        }
        if kind in _ERRORS:
            found["error.type"] = str(reply.code)
        if where.peer is not None:
            is_client = kind in (RecordKind.RECEPTION, RecordKind.XFER_IN)
            found["client.address" if is_client else "server.address"] = where.peer[0]
            found["network.peer.address"] = where.peer[1]
        if where.source_address is not None:
            found["network.local.address"] = where.source_address.address
        if where.tls is not None:
            found["tls.cipher"], found["tls.protocol.version"] = where.tls[:2]
        if self._addresses:
            found["cirrus.sender"] = message.sender
            found["cirrus.recipients"] = list(recipients)
            found["cirrus.reply.text"] = reply.one_line()
        return {name: value for name, value in found.items() if value not in (None, "")}


def _names_of(message: Message) -> dict[str, Any]:
    parsed = parse_queue_name(message.queue_name)
    names = {
        "messaging.system": "smtp",
        "messaging.destination.name": message.queue_name,
        "cirrus.tenant": parsed.tenant,
        "cirrus.campaign": parsed.campaign,
        "cirrus.domain": parsed.domain,
    }
    return {name: value for name, value in names.items() if value}


def _protocol_of(kind: RecordKind, message: Message, where: Circumstances) -> str | None:
    name = where.delivery_protocol
    if kind is RecordKind.RECEPTION:
        name = where.reception_protocol or message.meta.get("reception_protocol") or ""
    return name.lower() if isinstance(name, str) and name else None


def sampling_threshold(sample: float) -> int:
    """Return what the random part of a trace's id has to reach, for a share of all to reach it."""
    return round((1.0 - min(1.0, max(0.0, sample))) * (1 << _RANDOM_BITS))


def find_trace(message: Message, least: int) -> _Trace | None:
    """Return the trace of a message, or None if it is not one of the sample.

    A ``traceparent`` in the metadata decides by its flag, whatever the sample is.
    """
    meta = message.meta
    origin = bytes(message.spool_id)
    known = meta.get(ORIGIN_ID) if meta else None
    if type(known) is str and _SPOOL_ID.fullmatch(known) is not None:
        origin = bytes.fromhex(known)
    given = read_traceparent(meta.get(TRACEPARENT)) if meta else None
    if given is not None:
        trace_id, above, is_sampled = given
        return _Trace(trace_id, _root_of(origin), above) if is_sampled else None
    if int.from_bytes(origin[-7:], "big") < least:
        return None
    return _Trace(origin, _root_of(origin), None)


def read_traceparent(value: Any) -> tuple[bytes, bytes, bool] | None:
    """Return trace, span and whether it is sampled, or None if it is no ``traceparent``."""
    found = _TRACEPARENT.fullmatch(value) if type(value) is str else None
    if found is None:
        return None
    trace_id, span_id = bytes.fromhex(found[1]), bytes.fromhex(found[2])
    if not any(trace_id) or not any(span_id):
        return None
    return trace_id, span_id, bool(int(found[3], 16) & 1)


def _root_of(origin: bytes) -> bytes:
    return hashlib.blake2b(origin, digest_size=8, person=b"cirrus root span").digest()
