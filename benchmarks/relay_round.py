"""Relay rounds: the same mail through a node and through Postfix, one after the other.

Place in flow: ``benchmarks.run`` runs one per workload and repetition.

A message counts when the sink has it. Time runs from the first connection of the source to the
last message in the sink. A node is warmed up with a few messages first, as is Postfix.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.node_process import NodeProcess
from benchmarks.postfix_process import PostfixProcess
from benchmarks.processes import BenchError, SinkTimeoutError
from benchmarks.sink import Sink
from benchmarks.source import Workload, send

WARM_UP_MESSAGES = 100
LIMIT_S = 300.0
SETTLE_S = 0.3


@dataclass(frozen=True, slots=True)
class RelayFigures:
    """What one run showed. CPU in milliseconds per message, memory in MB."""

    per_s: float
    cpu_ms: float
    peak_mb: float


def workloads(*, is_quick: bool) -> dict[str, Workload]:
    """Return the workloads by the name of their round."""
    part = 4 if is_quick else 1
    return {
        "single": Workload("2 KB, one message per connection", 8000 // part, 2048),
        "kept": Workload("2 KB, connections kept", 8000 // part, 2048, keeps_connections=True),
        "large": Workload("100 KB, one message per connection", 2400 // part, 100_000),
    }


def run_node(work: Workload, *, profile: Path | None = None) -> RelayFigures:
    """Return the figures of a node."""
    with (
        tempfile.TemporaryDirectory(prefix="cirrus-bench-") as folder,
        Sink() as sink,
        NodeProcess(Path(folder) / "node", sink.port, profile=profile) as node,
    ):
        send(work, node.smtp_port, messages=WARM_UP_MESSAGES)
        sink.counter.wait_for(WARM_UP_MESSAGES, limit_s=LIMIT_S)
        before_s = node.cpu_s()
        elapsed_s = _relay(work, node.smtp_port, sink)
        # What it still writes after the last delivery belongs to the message too.
        _expect_nothing_more(sink)
        return RelayFigures(
            work.messages / elapsed_s,
            (node.cpu_s() - before_s) * 1000 / work.messages,
            node.peak_mb(),
        )


def run_postfix(work: Workload) -> RelayFigures:
    """Return the figures of Postfix."""
    folder = Path(tempfile.mkdtemp(prefix="cirrus-bench-"))
    try:
        with Sink() as sink:
            with PostfixProcess(folder, sink.port) as postfix:
                send(work, postfix.smtp_port, messages=WARM_UP_MESSAGES)
                sink.counter.wait_for(WARM_UP_MESSAGES, limit_s=LIMIT_S)
                elapsed_s = _relay(work, postfix.smtp_port, sink)
                _expect_nothing_more(sink)
                memory_mb = postfix.memory_mb()
            handled = work.messages + WARM_UP_MESSAGES
            cpu_ms = postfix.cpu_total_s * 1000 / handled
            return RelayFigures(work.messages / elapsed_s, cpu_ms, memory_mb)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _relay(work: Workload, port: int, sink: Sink) -> float:
    wanted = sink.counter.count + work.messages
    started = time.perf_counter()
    send(work, port, limit_s=LIMIT_S)
    return sink.counter.wait_for(wanted, limit_s=LIMIT_S) - started


def _expect_nothing_more(sink: Sink) -> None:
    """Let the round settle; a message too many would make its figures wrong."""
    had = sink.counter.count
    with contextlib.suppress(SinkTimeoutError):
        sink.counter.wait_for(had + 1, limit_s=SETTLE_S)
    if sink.counter.count > had:
        raise BenchError(f"the sink got {sink.counter.count - had} messages too many")
