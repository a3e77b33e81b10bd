"""Shape 4: three nodes with one script behind two proxies that hold four source addresses.

Nodes have no way out of their own: what arrives came through a proxy.
"""

from __future__ import annotations

from collections import Counter

from tests.shapes.daemons import SHAPE, Node, Proxy, Sink, wait_until, zone_of
from tests.shapes.others import (
    HAPROXY,
    Haproxy,
    needs,
)

pytestmark = SHAPE

PROXIES = {
    "proxy-1": ("192.0.2.21", "198.51.100.11", "2001:db8::12"),
    "proxy-2": ("192.0.2.22", "198.51.100.23", "2001:db8::24"),
}
#: Of each source: its proxy and its address there.
SOURCES = {
    "ip-1": ("proxy-1", "198.51.100.11"),
    "ip-2": ("proxy-1", "2001:db8::12"),
    "ip-3": ("proxy-2", "198.51.100.23"),
    "ip-4": ("proxy-2", "2001:db8::24"),
}
SOURCE_OF = {address: source for source, (_, address) in SOURCES.items()}
NODES = {f"node-{number}": f"192.0.2.1{number}" for number in (1, 2, 3)}
#: How long a source whose proxy is gone is out, seconds.
OUT_S = 4
SCRIPT = '''\
import mta
from mta import on

SOURCES = {sources!r}
ZONE = """{zone}"""


@on("init")
def init():
    mta.define_spool(path="spool")
    mta.configure_local_logs(log_dir="logs", max_segment_duration="1s")
    mta.start_esmtp_listener(listen="127.0.0.1:2525", relay_hosts=["127.0.0.1"])
    mta.start_http_listener(listen="127.0.0.1:8000")
    mta.dns.configure_test_resolver(zones=[ZONE])


@on("message_received")
def message_received(msg):
    msg.set_meta("tenant", msg.get_first_named_header_value("X-Source") or "all")


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(egress_pool=tenant, retry_interval="1s", max_retry_interval="1s")


@on("get_egress_pool")
def get_egress_pool(name):
    entries = list(SOURCES) if name == "all" else [name]
    return mta.make_egress_pool(name=name, entries=[{{"name": one}} for one in entries])


@on("get_egress_source")
def get_egress_source(name):
    if name not in SOURCES:
        return None
    rule = {{"trigger": "Immediate", "duration": "{out_s}s"}}
    return mta.make_egress_source(
        name=name,
        ehlo_domain=name + ".example",
        suspend_when_proxy_unhealthy=rule,
        suspend_when_unplumbed=rule,
        **SOURCES[name]
    )


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    return mta.make_egress_path(enable_tls="Disabled", connect_timeout="3s", {path})
'''
ZONE = zone_of(
    [("dest", "mx.dest")],
    **{"mx.dest": "198.51.100.31 2001:db8::31"},
    **{name: addresses[0] for name, addresses in PROXIES.items()},
)


#: A host that is gone says nothing: without these a session under way would wait for minutes.
IMPATIENT = ", ".join(f'{one}_timeout="3s"' for one in ("mail_from", "rcpt_to", "data", "rset"))


def socks5(proxy, address):
    return {"socks5_proxy_server": f"{proxy}.example:1080", "socks5_proxy_source_address": address}


def haproxy(proxy, address):
    return {"ha_proxy_server": f"{proxy}.example:1080", "ha_proxy_source_address": address}


def ours(world, host):
    return world.add(Proxy, host, "--allow-client", "192.0.2.0/24")


def theirs(world, host):
    return world.add(Haproxy, host)


class Shape:
    """The nodes, their proxies and the receiving host."""

    def __init__(self, world, options=socks5, make_proxy=ours, path="") -> None:
        self.world = world
        self.sink = world.add(Sink, world.add_host("sink", "198.51.100.31/24", "2001:db8::31/64"))
        self.proxies = {}
        for name, (inner, *outer) in PROXIES.items():
            lengths = [f"{one}/64" if ":" in one else f"{one}/24" for one in outer]
            self.proxies[name] = make_proxy(world, world.add_host(name, f"{inner}/24", *lengths))
        sources = {name: options(*where) for name, where in SOURCES.items()}
        script = SCRIPT.format(sources=sources, zone=ZONE, out_s=OUT_S, path=path)
        self.nodes = [
            world.add(Node, world.add_host(name, f"{address}/24"), script)
            for name, address in NODES.items()
        ]
        world.start(self.sink, *self.proxies.values(), *self.nodes)
        self._sent = 0

    def send(self, node, source, count):
        """Send messages by a source, or by the pool of "all"; return their recipients."""
        first, self._sent = self._sent, self._sent + count
        recipients = [
            f"{source}.{node.host.name}.{number}@dest.example"
            for number in range(first, self._sent)
        ]
        node.send_each(recipients, f"X-Source: {source}\r\n")
        return recipients

    def send_by_all(self, count):
        """Send messages by the pool of all sources from each node; return their recipients."""
        return [one for node in self.nodes for one in self.send(node, "all", count)]

    def wait_for(self, recipients):
        """Wait until mail for all of them has arrived; return from which source each came."""
        wanted = set(recipients)

        def arrived():
            found = {one["recipients"][0]: one["client"] for one in self.sink.messages()}
            return found if wanted <= found.keys() else None

        clients = wait_until("the mail", arrived)
        return {one: SOURCE_OF[clients[one]] for one in recipients}

    def taken_out(self):
        """Return how often any node has taken a source out, by source and reason."""
        found = Counter()
        for node in self.nodes:
            for series, value in node.metrics().items():
                name, _, labels = series.partition("{")
                if name == "egress_source_health_suspensions_total":
                    source, reason = (one.partition('"')[2][:-1] for one in labels[:-1].split(","))
                    found[source, reason] += int(value)
        return found

    def is_any_out(self):
        """Return whether any node has taken a source out at present."""
        return any(node.metric("egress_source_health_suspended") for node in self.nodes)


def assert_each_source_leaves_from_its_address(shape):
    """Assert that it does from whichever node, whether it was named or chosen from a pool."""
    named = [one for node in shape.nodes for name in SOURCES for one in shape.send(node, name, 3)]
    came_by = shape.wait_for(named)
    assert {one: one.partition(".")[0] for one in named} == came_by
    for message in shape.sink.messages():
        assert message["ehlo"] == f"{SOURCE_OF[message['client']]}.example"

    shared = shape.wait_for(shape.send_by_all(20))
    for node in shape.nodes:
        counts = Counter(name for to, name in shared.items() if f".{node.host.name}." in to)
        assert counts == dict.fromkeys(SOURCES, 5)


def assert_a_lost_proxy_takes_its_sources_out_until_it_is_back(shape, lose, bring_back):
    """Assert that others go on meanwhile, that nothing is lost, and that it is used again."""
    before = shape.taken_out()
    lose()
    came_by = shape.wait_for(shape.send_by_all(10))
    assert set(came_by.values()) == {"ip-3", "ip-4"}
    taken_out = set(shape.taken_out() - before)
    assert taken_out == {("ip-1", "proxy_unhealthy"), ("ip-2", "proxy_unhealthy")}
    node = shape.nodes[0]
    held = shape.send(node, "ip-1", 1)
    wait_until("held mail", lambda: is_held(node, held))
    assert "ip-1 is taken out" in node.log_text()

    bring_back()
    assert set(shape.wait_for(held).values()) == {"ip-1"}
    wait_until("the end of it", lambda: not shape.is_any_out())
    came_by = shape.wait_for(shape.send_by_all(8))
    assert set(came_by.values()) == set(SOURCES)
    assert set(shape.sink.recipients().values()) == {1}


def is_held(node, recipients):
    """Return whether there is a record of each that it waits for its source."""
    records = node.records("TransientFailure")
    return all(
        any(one in each["recipient"] and "eligible" in str(each["response"]) for each in records)
        for one in recipients
    )


def test_mail_leaves_from_the_right_address_whichever_node_sends_and_a_lost_proxy_is_left_out(
    world,
):
    shape = Shape(world)

    assert_each_source_leaves_from_its_address(shape)
    for node in shape.nodes:
        for record in node.records("Delivery"):
            proxy, address = SOURCES[record["egress_source"]]
            assert record["source_address"] == {
                "address": address,
                "server": f"{proxy}.example:1080",
                "protocol": "socks5",
            }
    lost = shape.proxies["proxy-1"]
    assert_a_lost_proxy_takes_its_sources_out_until_it_is_back(shape, lost.kill, lost.start)

    # An address that its proxy has lost.
    proxy = shape.proxies["proxy-2"]
    before = shape.taken_out()
    proxy.host.remove_address("198.51.100.23")
    came_by = shape.wait_for(shape.send_by_all(8))
    assert "ip-3" not in came_by.values()
    assert set(shape.taken_out() - before) == {("ip-3", "unplumbed")}
    proxy.host.add_addresses("198.51.100.23/24")
    wait_until("the end of it", lambda: not shape.is_any_out())
    assert set(shape.wait_for(shape.send_by_all(8)).values()) == set(SOURCES)


@needs(HAPROXY)
def test_the_same_with_haproxy_whose_host_is_lost_in_the_place_of_our_proxy(world):
    shape = Shape(world, haproxy, theirs, IMPATIENT)

    assert_each_source_leaves_from_its_address(shape)
    for node in shape.nodes:
        for record in node.records("Delivery"):
            proxy, address = SOURCES[record["egress_source"]]
            shown = f"[{address}]" if ":" in address else address
            assert record["source_address"] == {
                "address": f"{shown}:0",
                "server": f"{proxy}.example:1080",
                "protocol": "haproxy",
            }

    # The whole host is gone this time: nothing refuses, nothing answers.
    def plug(*, is_plugged):
        world.network.set_cable(shape.proxies["proxy-1"].host, is_plugged=is_plugged)

    assert_a_lost_proxy_takes_its_sources_out_until_it_is_back(
        shape, lambda: plug(is_plugged=False), lambda: plug(is_plugged=True)
    )
