"""Takes a sample of the node every ten seconds, so that a look at it shows the last hour.

Place in flow: a supervised task of ``engine.app``; fills ``engine.admin.history_samples``.

Invariants:
    * Counting queues holds the loop for one slice a turn, and takes a small share of the time: with
      very many queues they are counted less often, and samples in between repeat the last count.
    * A sample that meets a defect is left out; the next one is taken.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from engine.admin.history_samples import (
    SAMPLE_S,
    History,
    State,
    Totals,
    choose_providers,
    make_sample,
)
from engine.base.clock import Clock
from engine.base.memory_guard import MemoryGuard
from engine.base.metrics import Metrics
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.suspensions import SuspensionRegistry
from engine.model.log_record import RecordKind
from engine.queue_metrics import provider_of, provider_of_waiting
from engine.ready.ready_registry import ReadyRegistry
from engine.records.recorder import Recorder
from engine.schedule.pace import Pace
from engine.schedule.scheduled_registry import ScheduledRegistry

log = logging.getLogger("cirrus.node")

#: A count of the queues is followed by so many times its duration without one.
REST_FACTOR = 30
#: Providers that are told apart in a count; there may be as many sites as domains.
PROVIDERS_MAX = 2_000
#: What outgoing connections are counted by.
_SERVICES = ("smtp_client", "script", "maildir", "xfer")


class HistoryNode(Protocol):
    """What samples are taken of."""

    clock: Clock
    metrics: Metrics
    memory: MemoryGuard
    recorder: Recorder
    suspensions: SuspensionRegistry
    bounces: AdminBounceRegistry
    queues: ScheduledRegistry
    ready: ReadyRegistry

    @property
    def dispatching(self) -> Any:
        """Return the outgoing sessions: ``dispatchers``, by their task."""

    @property
    def automation(self) -> Any:
        """Return the automation: ``book``, the decisions in force."""


class QueueCount(NamedTuple):
    """A count of all queues.

    Attributes:
        scheduled: Messages that waited.
        ready: Messages that might go.
        scheduled_queues, ready_queues: How many there were.
        queued: Messages by provider.
        connections: Outgoing sessions by provider.
    """

    scheduled: int
    ready: int
    scheduled_queues: int
    ready_queues: int
    queued: dict[str, int]
    connections: dict[str, int]


class NodeHistory:
    """The sampling of one node.

    Args:
        node: The node.
        history: Where samples go.
        cpu_s: Seconds of CPU that the process used so far.
    """

    def __init__(
        self,
        node: HistoryNode,
        history: History,
        cpu_s: Callable[[], float] = lambda: sum(os.times()[:2]),
    ) -> None:
        self._node = node
        self._history = history
        self._cpu_s = cpu_s
        self._pace = Pace(node.clock.mono)
        self._counted = QueueCount(0, 0, 0, 0, {}, {})
        self._count_from_mono = 0.0
        self._began_mono = node.clock.mono()
        self._before = self._totals()
        node.recorder.tally.take_providers()

    async def run(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Take samples until cancelled.

        Args:
            sleep: Waits for seconds.
        """
        due_mono = self._began_mono
        while True:
            mono = self._node.clock.mono()
            due_mono += SAMPLE_S
            if due_mono <= mono:
                # A machine that slept takes no hundred samples at once.
                due_mono = mono + SAMPLE_S
            await sleep(due_mono - mono)
            try:
                await self.take(self._node.clock.mono() - due_mono)
            except Exception:  # boundary: supervisor
                log.exception("no sample of the node could be taken")

    async def take(self, lag_s: float = 0.0) -> None:
        """Take a sample of the time since the last one.

        Args:
            lag_s: How late it is, seconds.
        """
        await self._count_queues()
        node = self._node
        mono, wall = node.clock.mono(), node.clock.wall()
        before, after = self._before, self._totals()
        seconds, self._began_mono, self._before = mono - self._began_mono, mono, after
        counted = self._counted
        outcomes = node.recorder.tally.take_providers()
        providers = choose_providers(outcomes, counted.queued, counted.connections)
        self._history.add(
            wall, make_sample(wall, seconds, before, after, self._state(lag_s), providers)
        )

    def _totals(self) -> Totals:
        node = self._node
        counts, made = node.recorder.counts, node.metrics.counter("total_connection_count")
        denied = node.metrics.counter("total_connections_denied").labels("esmtp_listener")
        return Totals(
            received=counts[RecordKind.RECEPTION] + counts[RecordKind.XFER_IN],
            delivered=counts[RecordKind.DELIVERY],
            transfailed=counts[RecordKind.TRANSIENT_FAILURE],
            failed=counts[RecordKind.BOUNCE],
            expired=counts[RecordKind.EXPIRATION],
            admin_bounced=counts[RecordKind.ADMIN_BOUNCE],
            rejected=counts[RecordKind.REJECTION],
            connections_in=int(made.labels("esmtp_listener").value),
            connections_out=int(sum(made.labels(name).value for name in _SERVICES)),
            connections_denied=int(denied.value),
            cpu_s=self._cpu_s(),
        )

    def _state(self, lag_s: float) -> State:
        node, counted = self._node, self._counted
        return State(
            scheduled=counted.scheduled,
            ready=counted.ready,
            scheduled_queues=counted.scheduled_queues,
            ready_queues=counted.ready_queues,
            sessions_in=int(node.metrics.gauge("connection_count").labels("esmtp_listener").value),
            sessions_out=len(node.dispatching.dispatchers),
            memory=node.memory.usage,
            lag=round(lag_s, 3),
            decisions=len(node.automation.book),
            suspensions=len(node.suspensions.list()),
            bounces=len(node.bounces.list()),
        )

    async def _count_queues(self) -> None:
        clock = self._node.clock
        began_mono = clock.mono()
        if began_mono < self._count_from_mono:
            return
        self._counted = await self._walk()
        now = clock.mono()
        self._count_from_mono = now + REST_FACTOR * (now - began_mono)

    async def _walk(self) -> QueueCount:
        node, pace = self._node, self._pace
        scheduled = ready = scheduled_queues = ready_queues = 0
        queued: dict[str, int] = {}
        connections: dict[str, int] = {}
        for queue in node.queues:
            if pace.is_spent():
                await pace.wait()
            scheduled_queues += 1
            count = len(queue)
            if count:
                scheduled += count
                _add(queued, provider_of_waiting(queue), count)
        for way in node.ready:
            if pace.is_spent():
                await pace.wait()
            ready_queues += 1
            ready += len(way.messages)
            _add(queued, provider_of(way), len(way.messages))
            _add(connections, provider_of(way), len(way.dispatchers))
        return QueueCount(scheduled, ready, scheduled_queues, ready_queues, queued, connections)


def _add(counts: dict[str, int], name: str, count: int) -> None:
    """Add to a count by name, unless it is one name too many."""
    if count and (name in counts or len(counts) < PROVIDERS_MAX):
        counts[name] = counts.get(name, 0) + count
