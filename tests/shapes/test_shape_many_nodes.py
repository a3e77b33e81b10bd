"""Shape 3: three nodes, a sub-cluster of two TSAs, a Redis Cluster of six servers."""

from __future__ import annotations

import pytest

from tests.shapes.cluster import (
    SHARED_LIMITS,
    Load,
    arrivals,
    automation,
    backlog,
    most_within,
    script,
)
from tests.shapes.daemons import SHAPE, Node, Sink, Tsa, wait_until, zone_of
from tests.shapes.redis_hosts import RedisCluster, is_whole

pytestmark = [*SHAPE, *SHARED_LIMITS]

RULES = """
[default]
enable_tls = "Disabled"
max_ready = 10000

[provider.big]
match = [{ MXSuffix = ".big.example" }]
max_message_rate = "40/s"
connection_limit = 6
max_deliveries_per_connection = 50
"""
ZONE = zone_of([("big", "mx.big")], **{"mx.big": "192.0.2.31"})
RATE_PER_S, BURST, CONNECTIONS = 40, 40, 6


@pytest.fixture
def shape(world):
    """Start everything; return client, nodes, TSAs, the cluster and the receiving host."""
    client = world.add_host("client", "192.0.2.1/24")
    sink = world.add(Sink, world.add_host("sink", "192.0.2.31/24"))
    cluster = RedisCluster(
        world, [world.add_host(f"redis-{one}", f"192.0.2.4{one}/24") for one in (1, 2, 3)]
    )
    tsas = [
        world.add(
            Tsa, world.add_host(f"tsa-{one}", f"192.0.2.2{one}/24"), RULES, trust="192.0.2.0/24"
        )
        for one in (1, 2)
    ]
    cluster.start(world)
    text = script([one.url for one in tsas], ZONE, cluster.urls)
    nodes = [
        world.add(Node, world.add_host(f"node-{one}", f"192.0.2.1{one}/24"), text, shaping=RULES)
        for one in (1, 2, 3)
    ]
    world.start(sink, *tsas, *nodes)
    for node in nodes:
        wait_until("a subscription", lambda one=node: automation(one)["subscribed_to"])
    return client, nodes, tsas, cluster, sink


def test_a_tsa_and_a_redis_master_die_under_load_and_nothing_is_lost(world, shape):
    client, nodes, tsas, cluster, sink = shape
    load = Load(client)
    load.begin(
        nodes, "--count", "400", "--rate", "30/s", "--sessions", "2", "--domains", "big.example"
    )

    sink.wait_messages(200)
    world.expect_trouble()
    tsas[0].kill()
    sink.wait_messages(400)
    master = max(cluster.masters(), key=lambda one: int(one.ask("DBSIZE") or 0))
    master.kill()
    sink.wait_messages(800)
    tsas[0].start()
    master.start()
    assert load.end() == 1200

    sink.wait_messages(1200)
    recipients = sink.recipients()
    assert len(recipients) == 1200
    assert set(recipients.values()) == {1}
    times = arrivals(sink)
    for window_s in (5.0, 15.0):
        assert most_within(times, window_s) <= 1.25 * RATE_PER_S * window_s + BURST
    assert sink.stats()["connections_peak"] <= 1.5 * CONNECTIONS

    assert any("Redis cannot" in one.log_text() for one in nodes)
    assert all(one.metric("redis_throttles_shared") == 1 for one in nodes)
    wait_until("the cluster", lambda: all(is_whole(one) for one in cluster.servers))
    wait_until("the feeds", lambda: not any(backlog(one) for one in nodes))
    assert all(automation(one)["subscribed_to"] for one in nodes)
