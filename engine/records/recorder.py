"""The single exit: everything that happens to a message becomes a log record here, once.

Place in flow: called by reception, schedule, ready and settlement; hands each record to its sinks
(segments on disk, log hooks, the record feed).

Invariants:
    * A record is built once, with one ``record_id``, however many sinks take it.
    * ``record`` never waits and never raises for a sink's sake; producers that can wait look at
      ``must_wait`` before they take more work.
    * A message that was itself made from a log record reaches no hook: no loop.

Failure: a sink that raises is logged and counted; the others still get the record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec
from msgspec import UNSET

from engine.base.clock import Clock
from engine.model.log_record import (
    UNCATEGORIZED,
    EnhancedCode,
    LogRecord,
    PeerAddress,
    RecordKind,
    Response,
    SourceAddress,
    format_created_time,
    format_event_time,
    new_record_id,
)
from engine.model.message import FLAG_LOG_RECORD, Message
from engine.model.reply import SmtpReply
from engine.records.record_selection import HEADER_SECTION_MAX, RecordSelection

log = logging.getLogger("cirrus.records")

#: Port: return the body of a message that is not in memory, or None when it cannot be had.
LoadHeaders = Callable[[Message], bytes | None]


class Sink(Protocol):
    """Something that takes log records."""

    @property
    def selection(self) -> RecordSelection:
        """Return the metadata and headers it wants in each record."""
        ...

    @property
    def is_hook(self) -> bool:
        """Return whether it makes messages of records: it never sees records about those."""
        ...

    def wants(self, kind: RecordKind) -> bool:
        """Return whether records of this kind are to be given to ``write``."""
        ...

    def write(self, record: LogRecord, message: Message | None) -> None:
        """Take a record, without waiting."""
        ...

    @property
    def must_wait(self) -> bool:
        """Return whether producers should wait before making more records."""
        ...

    async def wait_capacity(self) -> None:
        """Wait until the sink takes records again."""
        ...


class HookSink:
    """Gives records of chosen kinds to a function, which makes messages of them.

    Args:
        name: The hook's name.
        submit: Takes the record and the message it is about; must not wait.
        kinds: The kinds it wants; all by default.
        selection: The metadata and headers wanted in each record.
    """

    is_hook = True
    must_wait = False

    def __init__(
        self,
        name: str,
        submit: Callable[[LogRecord, Message | None], None],
        *,
        kinds: Iterable[RecordKind] | None = None,
        selection: RecordSelection | None = None,
    ) -> None:
        self.name = name
        self.selection = selection or RecordSelection()
        self._kinds = frozenset(RecordKind if kinds is None else kinds)
        self.write = submit

    def wants(self, kind: RecordKind) -> bool:
        """Return whether the hook takes records of this kind."""
        return kind in self._kinds

    async def wait_capacity(self) -> None:
        """Return at once: what a hook makes waits in a queue of its own."""


class Recorder:
    """Builds log records and hands them to the sinks.

    Args:
        clock: Source of the event time.
        node_id: The node's UUID, into every record.
        hostname: The node's name, the peer of what the node itself says.
        load_headers: Reads a body from the spool for sinks that want headers.

    Attributes:
        counts: Records by kind since the start, also of kinds no sink wants.
        sink_errors: How often a sink raised.
    """

    def __init__(
        self,
        clock: Clock,
        node_id: str,
        hostname: str,
        load_headers: LoadHeaders | None = None,
    ) -> None:
        self.hostname = hostname
        self.load_headers = load_headers
        self.counts: dict[RecordKind, int] = dict.fromkeys(RecordKind, 0)
        self.sink_errors = 0
        self._wall = clock.wall
        self._node_id = node_id
        self._sinks: tuple[Sink, ...] = ()
        self._by_kind: dict[RecordKind, tuple[Sink, ...]] = dict.fromkeys(RecordKind, ())

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """Return the sinks in force."""
        return self._sinks

    def add_sink(self, sink: Sink) -> None:
        """Give records to a sink from now on."""
        self._set_sinks((*self._sinks, sink))

    def remove_sink(self, sink: Sink) -> None:
        """Give no more records to a sink; closing it is the caller's."""
        self._set_sinks(tuple(other for other in self._sinks if other is not sink))

    def _set_sinks(self, sinks: tuple[Sink, ...]) -> None:
        self._sinks = sinks
        self._by_kind = {kind: tuple(s for s in sinks if s.wants(kind)) for kind in RecordKind}

    def is_idle(self, kind: RecordKind) -> bool:
        """Return whether no sink wants records of this kind."""
        return not self._by_kind[kind]

    @property
    def must_wait(self) -> bool:
        """Return whether a producer should call ``wait_capacity`` before taking more work."""
        return any(sink.must_wait for sink in self._sinks)

    async def wait_capacity(self) -> None:
        """Wait until every sink takes records again."""
        for sink in self._sinks:
            if sink.must_wait:
                await sink.wait_capacity()

    def keep_headers(self, kind: RecordKind, message: Message) -> None:
        """Have the body in memory that a record will want, before the spool lets it go."""
        if message.data is None and any(s.selection.wants_headers for s in self._by_kind[kind]):
            message.data = self._load(message)

    def _load(self, message: Message) -> bytes | None:
        return self.load_headers(message) if self.load_headers is not None else None

    def record(
        self,
        kind: RecordKind,
        message: Message | None,
        *,
        sender: str = "",
        recipients: Iterable[str] = (),
        reply: SmtpReply,
        command: str | None = None,
        peer: tuple[str, str] | None = None,
        queue: str = "",
        ready_queue: str = "",
        site_name: str = "",
        site: str | None = None,
        egress_pool: str | None = None,
        egress_source: str | None = None,
        source_address: str | SourceAddress | None = None,
        delivery_protocol: str | None = None,
        reception_protocol: str | None = None,
        tls: tuple[str, str, list[str]] | None = None,
        provider_name: str | None = None,
        session_id: str | None = None,
        num_attempts: int | None = None,
        bounce_classification: str = UNCATEGORIZED,
        feedback_report: dict[str, Any] | None = None,
    ) -> LogRecord | None:
        """Return the record after giving it to every sink that wants its kind, None if none does.

        Args:
            kind: What happened.
            message: The message it happened to; None when there is none (a rejection).
            sender: The sender where there is no message; else the message's is used.
            recipients: Whom it is about; by default all the message still has to reach.
            reply: What was said.
            command: The command line it answers; ``.`` for the end of the data.
            peer: Name and address of the other end.
            queue: Name of the scheduled queue; the message's by default.
            ready_queue: Name of the ready queue.
            site_name: Site name of the destination.
            site: The ``site`` field where it is not the ready queue's name.
            egress_pool: The pool the source came from.
            egress_source: The source used.
            source_address: The local address used, with the proxy if there was one.
            delivery_protocol: How it went out.
            reception_protocol: How it came in; the message's metadata by default.
            tls: Cipher, protocol version and the peer's subject names.
            provider_name: The provider of the destination.
            session_id: Correlates the records of one connection.
            num_attempts: Attempts before this one; the message's by default.
            bounce_classification: The class of the reply.
            feedback_report: The parsed report of a Feedback record.
        """
        self.counts[kind] += 1
        sinks = self._by_kind[kind]
        if not sinks:
            return None
        now_at = self._wall()
        names = list(recipients)
        meta: dict[str, Any]
        if message is not None:
            meta, created_at = message.meta, message.created_at
            sender = message.sender
            names = names or message.recipients
        else:
            meta, created_at = {}, now_at
        if isinstance(source_address, str):
            source_address = SourceAddress(source_address)
        record = LogRecord(
            kind=kind,
            record_id=new_record_id(),
            id=message.spool_id.hex() if message is not None else "",
            sender=sender,
            recipient=names[0] if len(names) == 1 else (list(names) if names else ""),
            queue=queue or (message.queue_name if message is not None else ""),
            site=ready_queue if site is None else site,
            ready_queue=ready_queue,
            site_name=site_name,
            size=message.size if message is not None else 0,
            response=make_response(reply, command),
            peer_address=PeerAddress(peer[0], peer[1]) if peer is not None else None,
            timestamp=int(now_at),
            event_time=format_event_time(now_at),
            created=int(created_at),
            created_time=format_created_time(created_at),
            num_attempts=_attempts(message, num_attempts),
            bounce_classification=bounce_classification,
            egress_pool=egress_pool,
            egress_source=egress_source or None,
            source_address=source_address,
            feedback_report=feedback_report,
            delivery_protocol=delivery_protocol or None,
            reception_protocol=reception_protocol or meta.get("reception_protocol"),
            nodeid=self._node_id,
            tls_cipher=tls[0] if tls is not None else UNSET,
            tls_protocol_version=tls[1] if tls is not None else UNSET,
            tls_peer_subject_name=tls[2] if tls is not None and tls[2] else UNSET,
            provider_name=provider_name if provider_name is not None else UNSET,
            session_id=session_id if session_id is not None else UNSET,
        )
        for sink in sinks:
            self._give(sink, record, message)
        return record

    def _give(self, sink: Sink, record: LogRecord, message: Message | None) -> None:
        if message is not None and sink.is_hook and message.flags & FLAG_LOG_RECORD:
            return
        try:
            sink.write(self._select(sink.selection, record, message), message)
        except Exception:  # boundary: record sink
            self.sink_errors += 1
            log.exception("a record sink failed; the record %s is lost to it", record.record_id)

    def _select(
        self, selection: RecordSelection, record: LogRecord, message: Message | None
    ) -> LogRecord:
        if message is None:
            return record
        meta = selection.select_meta(message.meta) if selection.wants_meta else {}
        headers = {}
        if selection.wants_headers:
            data = message.data if message.data is not None else self._load(message)
            if data is not None:
                headers = selection.select_headers(message.prefix + data[:HEADER_SECTION_MAX])
        if not (meta or headers):
            return record
        return msgspec.structs.replace(record, meta=meta, headers=headers)


def _attempts(message: Message | None, num_attempts: int | None) -> int:
    if num_attempts is not None:
        return num_attempts
    return message.attempts if message is not None else 0


def make_response(reply: SmtpReply, command: str | None = None) -> Response:
    """Return a reply in the form records have: one line of content, the enhanced code apart."""
    status = reply.enhanced
    text = reply.text
    return Response(
        reply.code,
        EnhancedCode(status.klass, status.subject, status.detail) if status is not None else None,
        text if "\n" not in text else text.replace("\n", " "),
        command,
    )
