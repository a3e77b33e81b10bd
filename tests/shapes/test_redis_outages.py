"""Two nodes share limits through a Redis that is away, dumb, slow, or wants another password."""

from __future__ import annotations

import contextlib
import signal

from tests.shapes.cluster import SHARED_LIMITS, arrivals, most_within, script
from tests.shapes.daemons import SHAPE, Node, Sink, wait_until, zone_of
from tests.shapes.redis_hosts import Redis, Relay

pytestmark = [*SHAPE, *SHARED_LIMITS]

RATE_PER_S, BURST, CONNECTIONS = 30, 10, 4
RULES = f"""
[default]
enable_tls = "Disabled"
max_message_rate = "{RATE_PER_S}/s,max_burst={BURST}"
connection_limit = {CONNECTIONS}
"""
ZONE = zone_of([("dest", "mx.dest")], **{"mx.dest": "192.0.2.31"})
PASSWORD, OTHER_PASSWORD = "of-the-shapes", "of-somebody-else"
RELAY_PORT = 6380
#: What tells operators.
SHARED = "redis_throttles_shared"
APART = "Redis cannot be used for shared limits"
TOGETHER = "limits are shared by way of Redis"


class Shape:
    """Two nodes, a Redis behind a relay, a receiving host."""

    def __init__(self, world) -> None:
        self.sink = world.add(Sink, world.add_host("sink", "192.0.2.31/24"))
        host = world.add_host("redis", "192.0.2.41/24")
        self.redis = world.add(Redis, host, "--requirepass", PASSWORD)
        self.relay = Relay(host, RELAY_PORT, self.redis.port)
        text = script([], ZONE, self.relay.url, password=PASSWORD, nodes=2)
        hosts = [world.add_host(f"node-{one}", f"192.0.2.1{one}/24") for one in (1, 2)]
        self.nodes = [world.add(Node, one, text, shaping=RULES) for one in hosts]
        self._sent = 0
        world.start(self.sink, self.redis, *self.nodes)

    def send(self, count):
        """Send messages to each node; return when all have arrived, none of them twice."""
        for node in self.nodes:
            name = node.host.name
            node.send_each(f"{name}.{self._sent + one}@dest.example" for one in range(count))
        self._sent += count
        taken = self.sink.wait_messages(2 * self._sent)
        assert len(taken) == 2 * self._sent
        assert set(self.sink.recipients().values()) == {1}
        for node in self.nodes:
            wait_until("an empty node", lambda one=node: not one.waiting())

    def are_apart(self):
        """Return whether every node says that it keeps limits alone."""
        return all(node.metric(SHARED) == 0 for node in self.nodes)

    def are_together(self):
        return all(node.metric(SHARED) == 1 for node in self.nodes)

    def said(self, text):
        """Return how often each node has said something in its log."""
        return [node.log_text().count(text) for node in self.nodes]


def assert_once_more(before, after):
    """Assert that each node said it again; a busy machine may make two outages of one."""
    assert all(old < new <= old + 2 for old, new in zip(before, after, strict=True)), (
        before,
        after,
    )


@contextlib.contextmanager
def killed(shape):
    shape.redis.kill()
    yield
    shape.redis.start()


@contextlib.contextmanager
def refusing(shape):
    shape.relay.stop()
    yield
    shape.relay.start()


@contextlib.contextmanager
def frozen(shape):
    shape.redis.signal(signal.SIGSTOP)
    yield
    shape.redis.signal(signal.SIGCONT)


@contextlib.contextmanager
def with_another_password(shape):
    change_password(shape, PASSWORD, OTHER_PASSWORD)
    yield
    change_password(shape, OTHER_PASSWORD, PASSWORD)


def change_password(shape, old, new):
    assert "OK" in shape.redis.ask("CONFIG", "SET", "requirepass", new, password=old)
    assert shape.redis.ask("CLIENT", "KILL", "TYPE", "normal", password=new)


def test_each_node_goes_on_with_its_share_while_redis_cannot_be_used_and_returns_by_itself(world):
    shape = Shape(world)
    wait_until("sharing", shape.are_together)
    shape.send(20)

    world.expect_trouble()
    for outage in (killed, refusing, frozen, with_another_password):
        apart, together = shape.said(APART), shape.said(TOGETHER)
        with outage(shape):
            shape.send(40)
            wait_until("the nodes to say so", shape.are_apart)
            assert_once_more(apart, shape.said(APART))
        wait_until("sharing", shape.are_together)
        assert_once_more(together, shape.said(TOGETHER))
        shape.send(10)

    # A node that starts meanwhile does so without it.
    with killed(shape):
        shape.nodes[1].stop()
        shape.nodes[1].start()
        assert shape.nodes[1].metric(SHARED) == 0
        shape.send(20)
    wait_until("sharing", shape.are_together)

    times = arrivals(shape.sink)
    assert most_within(times, 3.0) <= 1.25 * RATE_PER_S * 3 + 2 * BURST
    assert shape.sink.stats()["connections_peak"] <= CONNECTIONS


def test_a_slow_redis_slows_nothing_down_for_good(world):
    shape = Shape(world)
    wait_until("sharing", shape.are_together)

    world.expect_trouble()
    shape.relay.delay_s = 0.5
    shape.send(30)
    shape.relay.delay_s = 0.0

    wait_until("sharing", shape.are_together)
    shape.send(30)
    assert most_within(arrivals(shape.sink), 3.0) <= 1.25 * RATE_PER_S * 3 + 2 * BURST
