"""The node's state as metrics, read when they are asked for.

Place in flow: ``engine.app`` binds it once; ``/metrics`` asks.

Invariants: nothing is counted twice or kept here; a series lives as long as what it counts.
What is known of queues is in ``queue_metrics``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from engine.base.clock import Clock
from engine.base.disk_guard import DiskGuard
from engine.base.lifecycle import Supervisor
from engine.base.memory_guard import MemoryGuard
from engine.base.metrics import Labels, Metrics
from engine.control.source_health import SourceHealth
from engine.queue_metrics import QUEUE_METRICS, walk_queues
from engine.ready.ready_registry import ReadyRegistry
from engine.route.dns_resolver import DnsCounts, DnsResolver
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.spool.disk_store import DiskStore
from engine.spool.store_measures import PROPERTIES
from policy.runtime import PolicyRuntime

_STAT = Path("/proc/stat")
_CPU_NAMES = {
    "process": ("process_cpu_usage_sum", "process_cpu_usage_normalized"),
    "system": ("system_cpu_usage_sum", "system_cpu_usage_normalized"),
}

Samples = Iterable[tuple[Labels, float]]


class NodeState(Protocol):
    """What there is to see of a node."""

    clock: Clock
    metrics: Metrics
    memory: MemoryGuard
    supervisor: Supervisor
    queues: ScheduledRegistry
    ready: ReadyRegistry
    source_health: SourceHealth
    disk_store: DiskStore
    disk_guards: list[DiskGuard]
    runtime: PolicyRuntime
    declared: Any
    dns_counts: DnsCounts

    @property
    def resolver(self) -> DnsResolver:
        """Return the resolver in use."""

    def gate(self) -> str | None:
        """Return why no mail is taken now, or None."""


class NodeMetrics:
    """Gauges and counters over the state of a node."""

    def __init__(self, node: NodeState) -> None:
        self._node = node
        self._cpu = _CpuUse(node.clock.mono, _own_cpu_s)
        self._machine = _CpuUse(node.clock.mono, _machine_cpu_s)

    def bind(self) -> None:
        """Have the node's metrics ask here."""
        node, gauge, counter = self._node, self._node.metrics.gauge, self._node.metrics.counter
        self._node.metrics.set_walk(QUEUE_METRICS, lambda: walk_queues(node.queues, node.ready))
        self._bind_machine()
        gauge("node_takes_mail").set_collect(lambda: [((), float(node.gate() is None))])
        counter("task_defects_total").set_collect(lambda: [((), node.supervisor.defects)])
        counter("log_write_errors_total").set_collect(self._log_errors)
        counter("log_hook_backlog_count").set_collect(self._hook_backlogs)
        counter("regex_fallback_total").set_collect(
            lambda: [(("script",), node.runtime.regex_fallback_uses())]
        )
        health = node.source_health
        counter("egress_source_connection_failures_total").set_collect(
            lambda: list(health.failures.items())
        )
        gauge("egress_source_health_suspended").set_collect(lambda: [(k, 1) for k in health.out()])
        counter("egress_source_health_suspensions_total").set_collect(
            lambda: list(health.suspensions.items())
        )
        counter("proxy_connection_failures").set_collect(lambda: [((), health.proxy_failures)])
        self._bind_dns()
        self._bind_store()

    def _bind_dns(self) -> None:
        counts, counter = self._node.dns_counts, self._node.metrics.counter
        name = ("dns_resolver",)
        size = self._node.metrics.gauge("lruttl_cache_size")
        size.set_collect(lambda: [(name, self._node.resolver.snapshot()["cached"])])
        counter("lruttl_lookup_count").set_collect(lambda: [(name, counts.hit + counts.miss)])
        counter("lruttl_hit_count").set_collect(lambda: [(name, counts.hit)])
        counter("lruttl_miss_count").set_collect(lambda: [(name, counts.miss)])
        counter("lruttl_evict_count").set_collect(lambda: [(name, counts.evict)])
        counter("dns_mx_resolve_status_ok").set_collect(lambda: [((), counts.mx_ok)])
        counter("dns_mx_resolve_status_fail").set_collect(lambda: [((), counts.mx_failed)])
        counter("dns_mx_resolve_cache_hit").set_collect(lambda: [((), counts.mx_hit)])
        counter("dns_mx_resolve_cache_miss").set_collect(lambda: [((), counts.mx_miss)])
        under_way = self._node.metrics.gauge("dns_mx_resolve_in_progress")
        under_way.set_collect(lambda: [((), counts.mx_under_way)])

    def _bind_machine(self) -> None:
        node, gauge, counter = self._node, self._node.metrics.gauge, self._node.metrics.counter
        memory = node.memory
        gauge("memory_usage").set_collect(lambda: [((), memory.usage)])
        gauge("memory_limit").set_collect(lambda: [((), memory.soft)])
        gauge("memory_low_thresh").set_collect(lambda: [((), memory.low)])
        counter("memory_low_count").set_collect(lambda: [((), memory.low_count)])
        counter("memory_over_limit_count").set_collect(lambda: [((), memory.over_count)])
        self._bind_cpu("process", self._cpu)
        self._bind_cpu("system", self._machine)
        gauge("disk_free_bytes").set_collect(lambda: self._disks("free_bytes"))
        gauge("disk_free_inodes").set_collect(lambda: self._disks("free_inodes"))
        gauge("disk_free_percent").set_collect(lambda: self._shares("free_bytes", "total_bytes"))
        gauge("disk_free_inodes_percent").set_collect(
            lambda: self._shares("free_inodes", "total_inodes")
        )
        path = str(node.disk_store.path)
        gauge("rocks_spool_background_errors").set_collect(
            lambda: [((path,), node.disk_store.background_errors)]
        )
        gauge("rocks_spool_load_shed_active").set_collect(
            lambda: [((path,), float(node.disk_store.trouble() is not None))]
        )

    def _bind_store(self) -> None:
        store, metrics = self._node.disk_store, self._node.metrics
        path, measures = (str(store.path),), store.measures

        def bind(name: str) -> None:
            def ask() -> Samples:
                value = measures.property(name)
                return [] if value is None else [(path, value)]

            metrics.gauge(name).set_collect(ask)

        for name in PROPERTIES:
            bind(name)
        measures.note_body = metrics.histogram("message_data_load_latency").labels().observe
        measures.note_envelope = metrics.histogram("message_meta_load_latency").labels().observe

    def _bind_cpu(self, whose: str, use: _CpuUse) -> None:
        gauge, cores = self._node.metrics.gauge, os.cpu_count() or 1
        total, share = _CPU_NAMES[whose]
        gauge(total).set_collect(lambda: [((), use.percent())])
        gauge(share).set_collect(lambda: [((), use.percent() / cores)])

    # -- machine and helpers ------------------------------------------------------------------

    def _guards(self) -> Iterator[DiskGuard]:
        yield from self._node.disk_guards
        for sink in self._node.declared.log_sinks.values():
            yield from list(sink.writer.disks.values())

    def _disks(self, name: str) -> Samples:
        return {(str(guard.path),): getattr(guard, name) for guard in self._guards()}.items()

    def _shares(self, part: str, whole: str) -> Samples:
        for guard in self._guards():
            total = getattr(guard, whole)
            if total:
                yield (str(guard.path),), 100.0 * getattr(guard, part) / total

    def _hook_backlogs(self) -> Samples:
        hooks = self._node.declared.hooks.items()
        return [((f"hook-{name}",), sink.backlogged) for name, (_, sink, _) in hooks]

    def _log_errors(self) -> Samples:
        sinks = self._node.declared.log_sinks.values()
        return [((sink.name,), sink.writer.write_errors) for sink in sinks]


class _CpuUse:
    """CPU use since it was last asked for, at most once a second."""

    def __init__(self, mono: Callable[[], float], read_s: Callable[[], float]) -> None:
        self._mono = mono
        self._read_s = read_s
        self._at_mono, self._used_s = mono(), read_s()
        self._percent = 0.0

    def percent(self) -> float:
        """Return the use of one core, in percent."""
        now, used_s = self._mono(), self._read_s()
        if now - self._at_mono >= 1.0:
            self._percent = 100.0 * (used_s - self._used_s) / (now - self._at_mono)
            self._at_mono, self._used_s = now, used_s
        return self._percent


def _own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system


def _machine_cpu_s() -> float:
    """Return how long the CPUs of the machine worked, seconds; 0 where nobody says."""
    try:
        with _STAT.open() as file:
            ticks = [int(word) for word in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0.0
    # Of these: user, nice, system, idle, iowait, irq, softirq, steal.
    return (sum(ticks) - sum(ticks[3:5])) / os.sysconf("SC_CLK_TCK")
