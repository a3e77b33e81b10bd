"""Round ``looking``: operators look at a node with a million waiting messages while mail flows.

Place in flow: ``benchmarks.run`` runs it. The spool is written with the store of the node, mail is
relayed from smtp-source to smtp-sink as in the relay rounds.

Shown: how long each look takes while nothing else happens, how long the loop is held at most
meanwhile, what CPU it takes, and how much slower mail goes while somebody looks at everything again
and again. For the latter, windows with and without looking follow each other, so that what else the
machine does concerns both alike; the median of the pairs counts.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.node_process import NodeProcess
from benchmarks.processes import BenchError, wait_until
from benchmarks.sink import Sink
from benchmarks.source import Workload, send
from benchmarks.waiting_round import LagProbe
from engine.base.clock import Clock
from engine.model.message import Message, new_spool_id
from engine.spool.disk_store import DiskStore

QUEUES = 100_000
#: How often somebody looks at everything in a window with looking, seconds.
LOOK_EVERY_S = 5.0
#: What waits is due so long after the start, seconds: far behind the measurement.
FAR_S = 7_200.0
RECOVERY_LIMIT_S = 600.0
#: Each look is taken so often, and the slowest counts.
TIMES = 10
#: What is looked at again and again.
REPEATED = ("queues", "messages of a recipient", "why, a message")
ANSWER_GOAL_S = 1.0
SLOWER_GOAL = 0.05
_COMMIT_SIZE = 2_000
_BODY = b"Subject: waiting\r\n\r\nA small body.\r\n"
_FIRST_S = 0.5


@dataclass(frozen=True, slots=True)
class LookFigure:
    """One look.

    Attributes:
        answer_s: The slowest answer, seconds.
        lag_ms: The longest answer to somebody else meanwhile: what held the loop, milliseconds.
        cpu_ms: CPU of the node for one, milliseconds.
    """

    name: str
    answer_s: float
    lag_ms: float
    cpu_ms: float


@dataclass(slots=True)
class LookingFigures:
    """What one run showed; of the pairs, each with / without looking.

    Attributes:
        waiting, queues: How much there was to look at.
        looks: The looks.
        rates: Messages a second.
        cpu_ms: CPU of the node for a message, milliseconds.
    """

    waiting: int
    queues: int
    looks: list[LookFigure] = field(default_factory=list)
    rates: list[tuple[float, float]] = field(default_factory=list)
    cpu_ms: list[tuple[float, float]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return the share of a core that one operator takes who looks at all that is timed."""
        return sum(one.cpu_ms for one in self.looks if one.name in REPEATED) / 1000 / LOOK_EVERY_S

    @property
    def slower(self) -> float:
        """Return by which share mail goes slower while somebody looks."""
        return 1.0 - median(looking / alone for looking, alone in self.rates)

    @property
    def dearer(self) -> float:
        """Return by which share a message costs more CPU while somebody looks."""
        return median(looking / alone for looking, alone in self.cpu_ms) - 1.0


async def write_spool(path: Path, waiting: int, queues: int) -> bytes:
    """Write what waits; return the id of one of the messages."""
    clock = Clock()
    store = DiskStore(path, clock, asyncio.get_running_loop())
    store.open()
    due_mono, spool_id = clock.mono() + FAR_S, b""
    for first in range(0, waiting, _COMMIT_SIZE):
        messages = [
            _message(number, queues, due_mono, clock.wall())
            for number in range(first, min(first + _COMMIT_SIZE, waiting))
        ]
        spool_id = messages[0].spool_id
        await store.commit(messages)
    await store.close()
    return spool_id


def _message(number: int, queues: int, due_mono: float, created_at: float) -> Message:
    return Message(
        new_spool_id(),
        "news@from.example",
        [f"user{number}@d{number % queues}.example"],
        data=_BODY,
        size=len(_BODY),
        created_at=created_at,
        due_mono=due_mono,
        attempts=1,
    )


class Looker:
    """Looks at everything every few seconds, in a thread of its own."""

    def __init__(self, node: NodeProcess, paths: list[str]) -> None:
        self._node = node
        self._paths = paths
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="looker", daemon=True)

    def __enter__(self) -> Looker:
        """Start looking."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = _FIRST_S
        while not self._stop.wait(pause_s):
            began = time.perf_counter()
            for path in self._paths:
                look(self._node, path)
            pause_s = max(0.0, LOOK_EVERY_S - (time.perf_counter() - began))


def look(node: NodeProcess, path: str) -> float:
    """Return how long an answer took, seconds."""
    began = time.perf_counter()
    text = node.get(path)
    took_s = time.perf_counter() - began
    if text is None:
        raise BenchError(f"{path} was not answered")
    if json.loads(text).get("is_complete", True) is not True:
        raise BenchError(f"{path} was not answered in full")
    return took_s


def looks_of(spool_id: bytes, waiting: int, queues: int) -> dict[str, str]:
    """Return what is looked at, by name."""
    last = f"user{waiting - 1}@d{(waiting - 1) % queues}.example"
    # However slow the machine is: how long it takes is to be seen.
    search = "/api/admin/messages/v1?timeout=60&recipient="
    return {
        "queues": "/api/admin/queues/v1",
        "queues, part of a name": "/api/admin/queues/v1?name=d777.",
        "messages of a recipient": search + urllib.parse.quote(last),
        "messages of nobody": search + "nobody@nowhere.example",
        "why, a message": f"/api/admin/why/v1?id={spool_id.hex()}",
        "why, a queue": "/api/admin/why/v1?queue_name=d777.example",
    }


def _measure_looks(node: NodeProcess, looks: dict[str, str]) -> list[LookFigure]:
    found = []
    for name, path in looks.items():
        with LagProbe(node) as probe:
            took_s = max(look(node, path) for _ in range(TIMES))
        before_s = node.cpu_s()
        for _ in range(TIMES):
            look(node, path)
        cpu_ms = (node.cpu_s() - before_s) * 1000 / TIMES
        found.append(LookFigure(name, took_s, probe.worst_ms, cpu_ms))
    return found


def _window(node: NodeProcess, sink: Sink, work: Workload) -> tuple[float, float]:
    """Return messages a second, and the node's CPU for one in milliseconds."""
    wanted = sink.counter.count + work.messages
    before_s, began = node.cpu_s(), time.perf_counter()
    send(work, node.smtp_port)
    took_s = sink.counter.wait_for(wanted, limit_s=300) - began
    return work.messages / took_s, (node.cpu_s() - before_s) * 1000 / work.messages


def _has_recovered(node: NodeProcess) -> Callable[[], bool]:
    def holds() -> bool:
        # Not by what is counted: looks would be timed beside the end of the recovery.
        text = node.get("/api/admin/drain/v1")
        return text is not None and json.loads(text)["is_recovering"] is False

    return holds


def run(
    waiting: int, *, queues: int = QUEUES, pairs: int = 8, messages: int = 8_000
) -> LookingFigures:
    """Return the figures of one spool."""
    queues = min(queues, waiting)
    figures = LookingFigures(waiting, queues)
    folder = Path(tempfile.mkdtemp(prefix="cirrus-bench-"))
    work = Workload("2 KB, connections kept", messages, 2048, keeps_connections=True)
    try:
        spool = folder / "node" / "spool"
        spool.mkdir(parents=True)
        spool_id = asyncio.run(write_spool(spool, waiting, queues))
        with Sink() as sink, NodeProcess(folder / "node", sink.port, ready_limit_s=120) as node:
            what = "the spool is read"
            wait_until(what, _has_recovered(node), limit_s=RECOVERY_LIMIT_S, every_s=0.2)
            looks = looks_of(spool_id, waiting, queues)
            figures.looks = _measure_looks(node, looks)
            _window(node, sink, work)
            for number in range(pairs):
                # Whichever comes first has the smaller spool: they take turns.
                order = (True, False) if number % 2 else (False, True)
                pair = {is_looked: _one(node, sink, work, looks, is_looked) for is_looked in order}
                figures.rates.append((pair[True][0], pair[False][0]))
                figures.cpu_ms.append((pair[True][1], pair[False][1]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return figures


def _one(
    node: NodeProcess, sink: Sink, work: Workload, looks: dict[str, str], is_looked_at: bool
) -> tuple[float, float]:
    if not is_looked_at:
        return _window(node, sink, work)
    with Looker(node, [looks[name] for name in REPEATED]):
        return _window(node, sink, work)
