"""What ``init`` says of shared limits, carried out on a node."""

from __future__ import annotations

import asyncio

import pytest

from engine.admin.shared_directives import SharedDirectives
from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.suspensions import SuspensionRegistry
from engine.model.throttle_spec import parse_throttle
from engine.script_declarations import SharedLimitsDeclaration
from engine.shared_limits import SharedLimits
from engine.throttle.shared_lease import NodeLeases
from engine.throttle.shared_limiter import NodeLimiter
from tests.fakes.redis_server import redis_server
from tests.fakes.shared_redis import options_of, take_until_refused

pytestmark = pytest.mark.real_time
SPEC = parse_throttle("4/h")


class Node:
    def __init__(self, name: str) -> None:
        self.node_id = name
        self.clock = Clock()
        self.supervisor = Supervisor()
        self.metrics = Metrics(ENGINE_METRICS)
        self.limiter = NodeLimiter(self.clock.mono)
        self.leases = NodeLeases(self.clock.mono)
        self.bounces = AdminBounceRegistry(self.clock.mono)
        self.suspensions = SuspensionRegistry(self.clock.mono)
        self.shared_directives = SharedDirectives(self)
        self.shared_limits = SharedLimits(self)
        self.shared_limits.bind_metrics()

    def metric(self, name: str) -> list[float]:
        text = "".join(self.metrics.iter_text())
        return [float(line.split()[-1]) for line in text.splitlines() if line.startswith(name)]


@pytest.fixture
async def nodes():
    made = [Node("a"), Node("b")]
    yield made
    for node in made:
        await node.shared_limits.close()
        await node.supervisor.stop()


async def test_nodes_share_as_long_as_the_policy_says_so(tmp_path, nodes):
    one, other = nodes
    assert one.metric("redis_throttles_shared") == []
    with redis_server(tmp_path) as server:
        declared = SharedLimitsDeclaration(options_of(server.url))
        for node in nodes:
            await node.shared_limits.reconcile(declared)
        link = one.shared_limits.link
        assert await take_until_refused(one, "k", SPEC) == 4
        assert await take_until_refused(other, "k", SPEC) == 0
        assert one.metric("redis_throttles_shared") == [1]
        assert one.shared_limits.status().shared

        # The same again changes nothing; no declaration ends it.
        await one.shared_limits.reconcile(declared)
        assert one.shared_limits.link is link
        await one.shared_limits.reconcile(None)
        assert await take_until_refused(one, "k", SPEC) == 4
        assert not one.limiter.is_shared(SPEC)


async def test_a_node_that_stops_gives_back_what_it_holds(tmp_path, nodes):
    one, other = nodes
    with redis_server(tmp_path) as server:
        declared = SharedLimitsDeclaration(options_of(server.url))
        for node in nodes:
            await node.shared_limits.reconcile(declared)

        async def lease(node):
            while isinstance(taken := node.leases.acquire_all([("k", 1)], 60.0), str):
                await asyncio.sleep(0.01)
            return taken

        await lease(one)
        await one.shared_limits.close()
        async with asyncio.timeout(5):
            await lease(other)


async def test_without_a_redis_the_start_goes_on_and_says_so(nodes, caplog):
    one, _ = nodes
    await one.shared_limits.reconcile(
        SharedLimitsDeclaration(options_of("redis://127.0.0.1:1"), nodes=2)
    )

    assert await take_until_refused(one, "k", SPEC) == 2
    assert one.metric("redis_throttles_shared") == [0]
    assert "one of 2" in caplog.text
    assert one.shared_limits.status().trouble
