"""Traces of messages, as the policy asks for them: the recorder told, the exporter run.

Place in flow: ``engine.app`` makes one, ``engine.declared`` carries out what ``init`` says. It
joins ``engine.records.span_maker`` to the exporter.

Invariants:
    * Without a declaration the recorder tells nobody, and no library is read.
    * Neither the start nor a reload waits for a collector.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from engine.base.clock import Clock
from engine.base.metrics import Labels, Metrics
from engine.records.recorder import Recorder
from engine.records.span_exporter import SpanExporter
from engine.records.span_maker import SpanMaker
from engine.script_declarations import TracingDeclaration

#: How long the stop, or a reload, waits until waiting spans are sent, seconds.
FLUSH_S = 3.0


class SpanTracingPorts(Protocol):
    """What traces need from the node."""

    clock: Clock
    metrics: Metrics
    recorder: Recorder
    hostname: str
    version: str
    node_id: str


class SpanTracing:
    """The traces of one node.

    Attributes:
        exporter: The way to the collector, where there is one.
    """

    def __init__(self, node: SpanTracingPorts) -> None:
        self._node = node
        self._declared: TracingDeclaration | None = None
        self.exporter: SpanExporter | None = None
        #: What exporters before this one counted: sent, not taken, without room.
        self._before = [0, 0, 0]
        node.metrics.counter("trace_spans_sent_total").set_collect(self._sent)
        node.metrics.counter("trace_spans_dropped_total").set_collect(self._dropped)

    async def reconcile(self, declared: TracingDeclaration | None) -> None:
        """Send traces to the collector that the policy names, or to nobody."""
        if declared == self._declared:
            return
        self._declared = declared
        await self.close()
        if declared is None:
            return
        # A quarter of a second and 20 MB, which only those pay who trace.
        from engine.records.span_otlp import OtlpSender  # noqa: PLC0415 - an extra

        node = self._node
        resource = {
            "service.name": declared.service_name,
            "service.instance.id": node.node_id,
            "service.version": node.version,
            "host.name": node.hostname,
            **dict(declared.resource),
        }
        sender = OtlpSender(
            declared.endpoint, dict(declared.headers), declared.timeout_s, resource, node.version
        )
        exporter = self.exporter = SpanExporter(sender.send, declared.endpoint, sender.close)
        exporter.start()
        node.recorder.spans = SpanMaker(
            exporter.put,
            node.clock.wall,
            node.clock.wall_of,
            sample=declared.sample,
            addresses=declared.addresses,
        )

    async def close(self) -> None:
        """Trace no more, and send what waits, for a bounded time."""
        if self.exporter is None:
            return
        self._node.recorder.spans = None
        exporter, self.exporter = self.exporter, None
        await exporter.close(FLUSH_S)
        for number, count in enumerate((exporter.sent, exporter.failed, exporter.overflowed)):
            self._before[number] += count

    # -- metrics --------------------------------------------------------------------------------

    def _sent(self) -> Iterable[tuple[Labels, float]]:
        now = 0 if self.exporter is None else self.exporter.sent
        yield (), self._before[0] + now

    def _dropped(self) -> Iterable[tuple[Labels, float]]:
        exporter = self.exporter
        failed, overflowed = (0, 0) if exporter is None else (exporter.failed, exporter.overflowed)
        yield ("failed",), self._before[1] + failed
        yield ("full",), self._before[2] + overflowed
