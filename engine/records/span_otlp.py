"""Spans to a collector by OTLP over HTTP, in the words of the library of OpenTelemetry.

Place in flow: ``engine.span_tracing`` makes one where a script asks for traces;
``engine.records.span_exporter`` calls it, in its thread. The only module that knows the library,
which is an optional one: who asks for no traces needs none.

Failure: what the library has to say of a request that failed is returned as the reason.

Standard: OTLP 1.x over HTTP, protobuf.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from engine.records.span_maker import Span

_KINDS = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}
_NS = 1_000_000_000
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
#: What the library says by way of its log is told by us, once.
_LIBRARY_LOG = logging.getLogger("opentelemetry")


class _LastWord(logging.Handler):
    """Keeps the last complaint of the library."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


_last_word = _LastWord()


class OtlpSender:
    """Sends spans to one collector.

    Args:
        endpoint: The URL of its traces.
        headers: Of each request; they may hold secrets and are shown nowhere.
        timeout_s: How long a request may take, repetitions included, seconds.
        resource: What describes the node.
        version: Of this program.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        timeout_s: float,
        resource: Mapping[str, str],
        version: str,
    ) -> None:
        _LIBRARY_LOG.handlers[:] = [_last_word]
        _LIBRARY_LOG.propagate = False
        self._exporter = OTLPSpanExporter(
            endpoint,
            headers=dict(headers),
            timeout=timeout_s,
            compression=Compression.Gzip,
        )
        self._resource = Resource(dict(resource))
        self._scope = InstrumentationScope("cirrus", version)

    def send(self, spans: list[Span]) -> str | None:
        """Send spans; return None, or why they were not taken."""
        _last_word.text = ""
        result = self._exporter.export([self._translate(span) for span in spans])
        if result is SpanExportResult.SUCCESS:
            return None
        return _last_word.text or "the request failed"

    def close(self) -> None:
        """Have a request under way come to an end, and send no more."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _translate(self, span: Span) -> ReadableSpan:
        parent = None
        if span.parent_id is not None:
            parent = _context(span.trace_id, span.parent_id)
        return ReadableSpan(
            span.name,
            context=_context(span.trace_id, span.span_id),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR if span.is_error else StatusCode.UNSET),
            start_time=int(span.start_at * _NS),
            end_time=int(span.end_at * _NS),
            instrumentation_scope=self._scope,
        )


def _context(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        is_remote=False,
        trace_flags=_SAMPLED,
    )
