"""Shape 2: two nodes, a TSA beside each to which both publish, and limits shared through Redis."""

from __future__ import annotations

import pytest

from tests.shapes.cluster import (
    SHARED_LIMITS,
    Load,
    arrivals,
    automation,
    backlog,
    most_within,
    rates,
    script,
)
from tests.shapes.daemons import SHAPE, Node, Sink, Tsa, wait_until, zone_of
from tests.shapes.redis_hosts import Redis

pytestmark = [*SHAPE, *SHARED_LIMITS]

RULES = """
[default]
enable_tls = "Disabled"
max_ready = 10000

[provider.big]
match = [{ MXSuffix = ".big.example" }]
max_message_rate = "100/s"
connection_limit = 12
max_deliveries_per_connection = 100

[provider.tight]
match = [{ MXSuffix = ".tight.example" }]
connection_limit = 1

[provider.slow]
match = [{ MXSuffix = ".slow.example" }]
max_message_rate = "200/s"

[[provider.slow.automation]]
regex = "slow down"
action = { SetConfig = { name = "max_message_rate", value = "7/s" } }
duration = "1h"
"""
SLOW = ("a.slow", "b.slow", "c.slow")
ZONE = zone_of(
    [(name, f"mx.{name}") for name in ("big", "tight", *SLOW)],
    **{f"mx.{name}": "192.0.2.31" for name in ("big", *SLOW)},
    **{"mx.tight": "192.0.2.32"},
)
#: What the rate above lets go at once, and what nodes may have taken ahead of time.
BURST = 100
AHEAD = 20


class Shape:
    """Two nodes, two TSAs, a Redis, two receiving hosts and the host of clients."""

    def __init__(self, world) -> None:
        # A rate is judged by the clock.
        world.is_urgent = True
        self.client = world.add_host("client", "192.0.2.1/24")
        self.sink = world.add(Sink, world.add_host("sink", "192.0.2.31/24"))
        self.tight = world.add(Sink, world.add_host("tight", "192.0.2.32/24"))
        self.redis = world.add(Redis, world.add_host("redis", "192.0.2.41/24"))
        hosts = [world.add_host(f"node-{one}", f"192.0.2.1{one}/24") for one in (1, 2)]
        self.tsas = [world.add(Tsa, one, RULES, trust="192.0.2.0/24") for one in hosts]
        text = script([one.url for one in self.tsas], ZONE, self.redis.url)
        self.nodes = [world.add(Node, one, text, shaping=RULES) for one in hosts]
        world.start(self.sink, self.tight, self.redis, *self.tsas, *self.nodes)
        for node in self.nodes:
            wait_until("a subscription", lambda one=node: automation(one)["subscribed_to"])


@pytest.fixture
def shape(world):
    return Shape(world)


def is_limited(node):
    """Return whether any ready queue of a node waits for a connection."""
    states = node.json("/api/admin/ready-q-states/v1")["states_by_ready_queue"]
    return any(one["connection_limited"] for one in states.values())


def test_two_nodes_keep_one_rate_and_one_limit_and_a_killed_one_frees_its_share(shape):
    first, second = shape.nodes
    # One node holds the only connection that a host may have: it is never answered.
    first.send("hang-data@tight.example")
    wait_until("the connection", lambda: shape.tight.stats()["connections_open"] == 1)
    second.send("waits@tight.example")
    wait_until("the limit", lambda: is_limited(second))

    # Meanwhile both send to another host as fast as they may.
    load = Load(shape.client)
    load.begin(shape.nodes, "--count", "1900", "--sessions", "4", "--domains", "big.example")
    assert load.end() == 3800
    sink = shape.sink
    (began, *_) = arrivals(sink)
    wait_until("33 seconds", lambda: arrivals(sink)[-1] > began + 33.5, within_s=60)
    times = arrivals(sink)
    steady = [one for one in times if began + 3 <= one < began + 33]
    assert 0.95 * 3000 <= len(steady) <= 1.05 * 3000
    for window_s in (1.0, 5.0, 20.0):
        assert most_within(times, window_s) <= BURST + 100 * window_s + AHEAD
    taken = sink.messages()
    shares = [sum(one["client"] == node.host.address for one in taken) for node in shape.nodes]
    assert min(shares) > 0.2 * sum(shares)
    assert 2 <= sink.stats()["connections_peak"] <= 12
    assert set(sink.recipients().values()) == {1}

    # By now its lease would have run out, had it not been renewed.
    assert shape.tight.stats()["connections"] == 1
    first.kill()
    shape.tight.wait_messages(1, within_s=60)
    assert shape.tight.recipients() == {"waits@tight.example": 1}


def test_a_decision_of_either_tsa_reaches_both_nodes(world, shape):
    first, second = shape.nodes
    for node in shape.nodes:
        for name in SLOW:
            node.send(f"{node.host.name}@{name}.example")
    shape.sink.wait_messages(2 * len(SLOW))
    rule = '[["{}.example"]]\nwhen = "rcpt"\nreply = "451 4.7.28 slow down"\n'
    shape.sink.answer("".join(rule.format(name) for name in SLOW))

    # Both TSAs hear of it and decide the same.
    first.send("deferred@a.slow.example")
    assert_both_obey(shape, "a.slow")
    wait_until("both decisions", lambda: all(len(one.decisions()) == 1 for one in shape.tsas))
    assert len({one.decisions()[0]["id"] for one in shape.tsas}) == 1

    # One is enough, whichever it is and whichever node was deferred; the other hears of it later.
    world.expect_trouble()
    for number, (lost, node, name) in enumerate(
        [(shape.tsas[0], second, "b.slow"), (shape.tsas[1], first, "c.slow")], 2
    ):
        lost.kill()
        node.send(f"deferred@{name}.example")
        assert_both_obey(shape, name)
        lost.start()
        wait_for_decisions(lost, number)
        wait_until("the feeds", lambda: not any(backlog(one) for one in shape.nodes))


def assert_both_obey(shape, name):
    """Assert that both nodes take the rate that the rule sets."""
    for node in shape.nodes:
        wait_until(f"the rate of {name}", lambda one=node: rates(one, name) == {"7/s"})


def wait_for_decisions(tsa, count):
    wait_until(f"{count} decisions", lambda: len(tsa.decisions()) == count)
