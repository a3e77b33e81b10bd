"""Round ``waiting``: a spool full of messages that wait, and a node that starts on it.

Place in flow: ``benchmarks.run`` runs it; the spool is written with the node's own store.

Shown: how long recovery takes, memory after it, how quickly mail is taken meanwhile, how long the
loop is held at most, and what promoting a message costs with few and with many waiting.
"""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.node_process import NodeProcess
from benchmarks.processes import BenchError, SinkTimeoutError, wait_until
from benchmarks.sink import Sink
from engine.base.clock import Clock
from engine.model.message import Message, new_spool_id
from engine.spool.disk_store import DiskStore

QUEUES = 10_000
#: Messages in each of the two groups that fall due while measured, and the time between these.
DUE = 2_000
SECOND_GROUP_S = 8.0
#: How long after the writing the first group falls due: when recovery at this pace is over.
LEAD_S = 12.0
RECOVERED_PER_S = 17_000
#: What waits is due between these times after the writing, seconds: far behind the measurement.
FAR_FIRST_S, FAR_LAST_S = 3_600.0, 10_800.0
RECOVERY_LIMIT_S = 600.0
PROBE_EVERY_S = 0.02
_COMMIT_SIZE = 2_000
_BODY = b"Subject: waiting\r\n\r\nA small body.\r\n"


@dataclass(slots=True)
class WaitingFigures:
    """What one run showed. Times in seconds or milliseconds, memory in MB."""

    waiting: int
    queues: int
    recovery_s: float = 0.0
    rss_mb: float = 0.0
    peak_mb: float = 0.0
    replies_ms: list[float] = field(default_factory=list)
    recovery_lag_ms: float = 0.0
    promotion_lag_ms: float = 0.0
    promotion_cpu_ms: float = 0.0


async def _write_spool(path: Path, waiting: int) -> float:
    """Write what waits far ahead and two groups that fall due soon; return when the first does."""
    clock = Clock()
    store = DiskStore(path, clock, asyncio.get_running_loop())
    store.open()
    queues = min(QUEUES, waiting)
    total = waiting + 2 * DUE
    due_at: float | None = None
    for first in range(0, total, _COMMIT_SIZE):
        messages = []
        for number in range(first, min(first + _COMMIT_SIZE, total)):
            if number < waiting:
                # A step coprime to any count we use: neighbours in the spool are far apart in time.
                spread = (number * 7919) % waiting / waiting
                due = clock.wall() + FAR_FIRST_S + spread * (FAR_LAST_S - FAR_FIRST_S)
                domain = f"d{number % queues}.example"
            else:
                # Both groups are written last; the first of them sets the time.
                if due_at is None:
                    due_at = clock.wall() + LEAD_S + waiting / RECOVERED_PER_S
                due = due_at if number < waiting + DUE else due_at + SECOND_GROUP_S
                domain = f"due{number % 10}.example"
            messages.append(_message(domain, clock.mono_of(due), clock.wall()))
        await store.commit(messages)
    await store.close()
    assert due_at is not None
    return due_at


def _message(domain: str, due_mono: float, created_at: float) -> Message:
    return Message(
        new_spool_id(),
        "a@from.example",
        [f"b@{domain}"],
        data=_BODY,
        size=len(_BODY),
        created_at=created_at,
        due_mono=due_mono,
        attempts=1,
    )


class LagProbe:
    """Asks the node for a sign of life each 20 ms; the longest answer bounds what held its loop."""

    def __init__(self, node: NodeProcess) -> None:
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)
        self.worst_ms = 0.0

    def __enter__(self) -> LagProbe:
        """Start asking."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop asking."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PROBE_EVERY_S):
            started = time.perf_counter()
            self._node.get("/api/check-liveness/v1")
            self.worst_ms = max(self.worst_ms, (time.perf_counter() - started) * 1000)


def _send_one(port: int) -> float:
    """Return how long the node took to take a message, connection included, in milliseconds."""
    started = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port, "probe.example", timeout=30) as client:
        client.sendmail("a@from.example", ["b@fresh.example"], "Subject: fresh\r\n\r\nhello\r\n")
        return (time.perf_counter() - started) * 1000


def _recover(node: NodeProcess, figures: WaitingFigures, total: int, started: float) -> None:
    with LagProbe(node) as probe:
        next_send = time.perf_counter()
        while node.metric("scheduled_count_total") < total:
            if time.perf_counter() - started > RECOVERY_LIMIT_S:
                raise BenchError("recovery is not done")
            if time.perf_counter() > next_send:
                figures.replies_ms.append(_send_one(node.smtp_port))
                next_send = time.perf_counter() + 0.5
            time.sleep(0.1)
        figures.recovery_s = time.perf_counter() - started
    figures.recovery_lag_ms = probe.worst_ms
    figures.rss_mb = node.rss_mb()
    figures.peak_mb = node.peak_mb()


def _promote(node: NodeProcess, figures: WaitingFigures, sink: Sink, due_at: float) -> None:
    """Measure the cost of the first group undisturbed, and with the second how long it holds."""
    clock = Clock()
    if clock.wall() > due_at - 1.0:
        raise BenchError("recovery took longer than the lead: what is due was not measured alone")
    time.sleep(due_at - 1.0 - clock.wall())
    before_s = node.cpu_s()
    wanted = sink.counter.count + DUE
    sink.counter.wait_for(wanted, limit_s=60)
    time.sleep(0.3)
    figures.promotion_cpu_ms = (node.cpu_s() - before_s) * 1000 / DUE
    time.sleep(max(0.0, due_at + SECOND_GROUP_S - 0.5 - clock.wall()))
    with LagProbe(node) as probe:
        sink.counter.wait_for(wanted + DUE, limit_s=60)
    figures.promotion_lag_ms = probe.worst_ms


def run(waiting: int) -> WaitingFigures:
    """Return the figures of one spool."""
    folder = Path(tempfile.mkdtemp(prefix="cirrus-bench-"))
    figures = WaitingFigures(waiting, min(QUEUES, waiting))
    try:
        spool = folder / "node" / "spool"
        spool.mkdir(parents=True)
        due_at = asyncio.run(_write_spool(spool, waiting))
        with Sink() as sink:
            started = time.perf_counter()
            with NodeProcess(folder / "node", sink.port, ready_limit_s=120) as node:
                _recover(node, figures, waiting + 2 * DUE, started)
                sent = len(figures.replies_ms)
                wait_until("fresh mail is out", lambda: _has(sink, sent), limit_s=60, every_s=0.05)
                _promote(node, figures, sink, due_at)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return figures


def _has(sink: Sink, count: int) -> bool:
    try:
        sink.counter.wait_for(count, limit_s=0.01)
    except SinkTimeoutError:
        return False
    return True
