"""The node's state as metrics: what waits, what goes, what the machine has left."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from engine import node_metrics
from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.memory_guard import MemoryGuard
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.model.queue_name import parse_queue_name
from engine.node_metrics import NodeMetrics
from engine.route.dns_resolver import DnsCounts
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.timer_wheel import Waiting


def waiting(name: str, count: int) -> ScheduledQueue:
    queue = ScheduledQueue(name, parse_queue_name(name), 0.0)
    for number in range(count):
        queue.add(Waiting(bytes([number]) * 16, 0.0, queue))
    return queue


def ready(name: str, site: str, pools: list[str], provider: str | None = None) -> Any:
    return SimpleNamespace(
        name=name,
        site_name=site,
        path=SimpleNamespace(provider_name=provider),
        last_pool="p",
        messages=[SimpleNamespace(pool=pool, data=b"x") for pool in pools],
        dispatchers={1: 1, 2: 2},
    )


@pytest.fixture
def node() -> Any:
    clock = Clock()
    guard = SimpleNamespace(
        path="/spool", free_bytes=25, total_bytes=100, free_inodes=5, total_inodes=0
    )
    sink = SimpleNamespace(
        name="dir-x", writer=SimpleNamespace(write_errors=3, disks={"/log": guard})
    )
    made = SimpleNamespace(
        gate=lambda: "cannot store mail now",
        clock=clock,
        metrics=Metrics(ENGINE_METRICS),
        memory=MemoryGuard({"CIRRUS_MEMORY_HARD_LIMIT": str(1 << 30)}),
        supervisor=Supervisor(),
        queues=[waiting("c1:t1@a.test", 2), waiting("t1@b.test", 3), waiting("a.test", 0)],
        ready=[
            ready("s->site@smtp_client", "site", ["p", "p", "q"]),
            ready("s->x@script:send", "x", ["p"], "big"),
            ready("s->m@maildir:/mail/{{ user }}@{{ domain }}", "m", [], "md"),
        ],
        disk_store=SimpleNamespace(
            path="/spool",
            background_errors=1,
            trouble=lambda: "full",
            measures=SimpleNamespace(
                property=lambda name: 9 if name == "rocks_spool_cache_total" else None
            ),
        ),
        disk_guards=[guard],
        runtime=SimpleNamespace(regex_fallback_uses=lambda: 4),
        source_health=SimpleNamespace(
            out=lambda: [("ip-1", "unplumbed")],
            suspensions={("ip-1", "unplumbed"): 2},
            failures={("ip-1", "Unplumbed"): 4},
            proxy_failures=5,
        ),
        dispatching=SimpleNamespace(
            dispatchers={1: SimpleNamespace(pool="p"), 2: SimpleNamespace(pool=None)}
        ),
        declared=SimpleNamespace(
            log_sinks={"x": sink}, hooks={"h": (None, SimpleNamespace(backlogged=6), None)}
        ),
        resolver=SimpleNamespace(snapshot=lambda: {"cached": 7}),
        dns_counts=DnsCounts(hit=5, miss=2, mx_ok=1),
    )
    NodeMetrics(made).bind()
    return made


def series(node: Any, name: str) -> dict[str, str]:
    lines = "".join(node.metrics.iter_text()).splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith((name + "{", name + " "))]
    return {labels.removeprefix(name): value for labels, _, value in found}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scheduled_count", {'{queue="c1:t1@a.test"}': "2", '{queue="t1@b.test"}': "3"}),
        ("node_takes_mail", {"": "0"}),
        ("rocks_spool_cache_total", {'{path="/spool"}': "9"}),
        ("rocks_spool_write_stopped", {}),
        ("scheduled_count_total", {"": "5"}),
        ("scheduled_queue_count", {"": "3"}),
        ("scheduled_by_domain", {'{domain="a.test"}': "2", '{domain="b.test"}': "3"}),
        ("scheduled_by_tenant", {'{tenant="t1"}': "5"}),
        ("scheduled_by_tenant_campaign", {'{tenant="t1",campaign="c1"}': "2"}),
        (
            "ready_count",
            {
                '{service="smtp_client"}': "3",
                '{service="smtp_client:s->site@smtp_client"}': "3",
                '{service="script"}': "1",
                '{service="script:s->x@script:send"}': "1",
                '{service="maildir"}': "0",
            },
        ),
        (
            "connection_count_by_provider",
            {'{provider="site"}': "2", '{provider="big"}': "2", '{provider="md"}': "2"},
        ),
        (
            "connection_count",
            {
                '{service="smtp_client"}': "2",
                '{service="smtp_client:s->site@smtp_client"}': "2",
                '{service="script"}': "2",
                '{service="script:s->x@script:send"}': "2",
                '{service="maildir"}': "2",
                '{service="maildir:s->m@maildir:/mail/{{ user }}@{{ domain }}"}': "2",
            },
        ),
        (
            "queued_count_by_provider_and_pool",
            {
                '{provider="a.test",pool="unspecified"}': "2",
                '{provider="b.test",pool="unspecified"}': "3",
                '{provider="site",pool="p"}': "2",
                '{provider="site",pool="q"}': "1",
                '{provider="big",pool="p"}': "1",
            },
        ),
        (
            "connection_count_by_provider_and_pool",
            {
                '{provider="site",pool="p"}': "2",
                '{provider="big",pool="p"}': "2",
                '{provider="md",pool="p"}': "2",
            },
        ),
        ("message_count", {"": "9"}),
        ("message_meta_resident_count", {"": "4"}),
        ("message_data_resident_count", {"": "4"}),
        ("disk_free_percent", {'{name="/spool"}': "25"}),
        ("disk_free_inodes_percent", {}),
        ("rocks_spool_load_shed_active", {'{path="/spool"}': "1"}),
        ("log_write_errors_total", {'{logger="dir-x"}': "3"}),
        ("log_hook_backlog_count", {'{logger="hook-h"}': "6"}),
        ("lruttl_lookup_count", {'{cache_name="dns_resolver"}': "7"}),
        ("dns_mx_resolve_status_ok", {"": "1"}),
        ("egress_source_health_suspended", {'{source="ip-1",reason="unplumbed"}': "1"}),
        ("egress_source_health_suspensions_total", {'{source="ip-1",reason="unplumbed"}': "2"}),
        (
            "egress_source_connection_failures_total",
            {'{source="ip-1",kind="Unplumbed"}': "4"},
        ),
        ("proxy_connection_failures", {"": "5"}),
        ("memory_limit", {"": str(int((1 << 30) * 0.75))}),
    ],
)
def test_state_is_shown_as_it_is_now(node, name, expected):
    assert series(node, name) == expected


@pytest.mark.parametrize("whose", ["process", "system"])
def test_the_cpu_use_is_a_share_of_the_cores(node, whose):
    (whole,) = series(node, f"{whose}_cpu_usage_sum").values()
    (share,) = series(node, f"{whose}_cpu_usage_normalized").values()

    assert float(whole) >= float(share) >= 0


def test_the_machine_is_at_work_where_its_time_without_idling_grows(node, monkeypatch, tmp_path):
    stat, now = tmp_path / "stat", [100.0]
    ticks = os.sysconf("SC_CLK_TCK")
    monkeypatch.setattr(node_metrics, "_STAT", stat)
    stat.write_text(f"cpu  {ticks} 0 0 7 7 0 0 0 0 0\ncpu0 0 0 0 0\n")
    node.clock = SimpleNamespace(mono=lambda: now[0])
    NodeMetrics(node).bind()

    stat.write_text(f"cpu  {ticks * 2} 0 {ticks} 900 900 0 0 {ticks} 0 0\n")
    now[0] += 2.0

    assert series(node, "system_cpu_usage_sum") == {"": "150"}


def test_a_machine_that_does_not_say_shows_no_use(node, monkeypatch, tmp_path):
    monkeypatch.setattr(node_metrics, "_STAT", tmp_path / "none")
    NodeMetrics(node).bind()

    assert series(node, "system_cpu_usage_sum") == {"": "0"}
