"""The single exit: everything that happens to a message becomes a log record here, once.

Place in flow: called by reception, reinsertion and settlement; hands each record to its sinks
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
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec
from msgspec import UNSET

from engine.base.clock import Clock
from engine.model.circumstances import NOWHERE, Circumstances
from engine.model.log_record import (
    EnhancedCode,
    LogRecord,
    PeerAddress,
    RecordKind,
    Response,
    format_created_time,
    format_event_time,
    new_record_id,
)
from engine.model.message import FLAG_LOG_RECORD, Message
from engine.model.reply import SmtpReply
from engine.records.record_selection import HEADER_SECTION_MAX, RecordSelection
from engine.records.record_tally import RecordTally
from engine.records.span_maker import SpanMaker

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
        tally: What happened lately, by provider and reason.
        sink_errors: How often a sink raised.
        spans: What makes traces of what happens; None where nobody asks for them.
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
        self.tally = RecordTally(clock.mono)
        self.sink_errors = 0
        self.spans: SpanMaker | None = None
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
        reply: SmtpReply,
        where: Circumstances = NOWHERE,
        command: str | None = None,
        sender: str = "",
        recipients: Sequence[str] = (),
    ) -> LogRecord | None:
        """Return the record after giving it to every sink that wants its kind, None if none does.

        Args:
            kind: What happened.
            message: The message it happened to; None when there is none (a rejection).
            reply: What was said.
            where: Where it happened.
            command: The command line it answers; ``.`` for the end of the data.
            sender: The sender where there is no message; else the message's is used.
            recipients: Whom it is about; by default all the message still has to reach.
        """
        self.counts[kind] += 1
        self.tally.note(kind, message, reply, where)
        if self.spans is not None and message is not None:
            self._trace(kind, message, reply, where, recipients)
        sinks = self._by_kind[kind]
        if not sinks:
            return None
        if message is not None:
            sender, recipients = message.sender, recipients or message.recipients
        response = make_response(reply, command)
        record = self._make(kind, message, sender, recipients, response, where)
        for sink in sinks:
            self._give(sink, record, message)
        return record

    def _trace(
        self,
        kind: RecordKind,
        message: Message,
        reply: SmtpReply,
        where: Circumstances,
        recipients: Sequence[str],
    ) -> None:
        assert self.spans is not None
        try:
            self.spans.note(kind, message, reply, where, recipients or message.recipients)
        except Exception:  # boundary: record sink
            self.sink_errors += 1
            log.exception("no span can be made for message %s", message.id)

    def _make(
        self,
        kind: RecordKind,
        message: Message | None,
        sender: str,
        recipients: Sequence[str],
        response: Response,
        where: Circumstances,
    ) -> LogRecord:
        now_at = self._wall()
        created_at = now_at if message is None else message.created_at
        came_by = where.reception_protocol
        if came_by is None and message is not None:
            came_by = message.meta.get("reception_protocol")
        peer, tls = where.peer, where.tls
        return LogRecord(
            kind=kind,
            record_id=new_record_id(),
            id="" if message is None else message.spool_id.hex(),
            sender=sender,
            recipient=recipients[0] if len(recipients) == 1 else (list(recipients) or ""),
            queue="" if message is None else message.queue_name,
            site=where.ready_queue if where.site is None else where.site,
            ready_queue=where.ready_queue,
            site_name=where.site_name,
            size=0 if message is None else message.size,
            response=response,
            peer_address=None if peer is None else PeerAddress(*peer),
            timestamp=int(now_at),
            event_time=format_event_time(now_at),
            created=int(created_at),
            created_time=format_created_time(created_at),
            num_attempts=0 if message is None else message.attempts,
            egress_pool=None if message is None else message.pool,
            egress_source=where.egress_source or None,
            source_address=where.source_address,
            delivery_protocol=where.delivery_protocol or None,
            reception_protocol=came_by,
            nodeid=self._node_id,
            tls_cipher=UNSET if tls is None else tls[0],
            tls_protocol_version=UNSET if tls is None else tls[1],
            tls_peer_subject_name=tls[2] if tls is not None and tls[2] else UNSET,
            provider_name=UNSET if where.provider_name is None else where.provider_name,
            session_id=UNSET if where.session_id is None else where.session_id,
        )

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
