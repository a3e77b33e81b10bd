"""Shape 1: one node with one TSA, each on a host of its own, a client and a receiving host."""

from __future__ import annotations

import time

import pytest

from tests.shapes.daemons import SHAPE, Node, Sink, Tsa, send_traffic, wait_until, zone_of

pytestmark = SHAPE

SCRIPT = '''\
import mta
from helpers import shaping
from mta import on

shaping.setup(["shaping.toml"], publish=[{tsa!r}], subscribe=[{tsa!r}])


@on("init")
def init():
    mta.define_spool(path="spool")
    mta.configure_local_logs(log_dir="logs", max_segment_duration="1s")
    mta.start_esmtp_listener(listen="0.0.0.0:2525", relay_hosts=["127.0.0.1", "192.0.2.0/24"])
    mta.start_http_listener(listen="127.0.0.1:8000")
    mta.dns.configure_test_resolver(zones=["""{zone}"""])


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(retry_interval="1s", max_retry_interval="1s")
'''
RULES = """
[default]
enable_tls = "Disabled"

[provider.slow]
match = [{ MXSuffix = ".slow.example" }]
max_message_rate = "200/s"

[[provider.slow.automation]]
regex = "slow down"
action = { SetConfig = { name = "max_message_rate", value = "5/s,max_burst=1" } }
duration = "1h"
"""
SLOW_DOWN = """
[["slow.example"]]
when = "rcpt"
reply = "451 4.7.28 slow down"
"""
ZONE = zone_of(
    [("slow", "mx.slow"), ("fast", "mx.fast")],
    **{"mx.slow": "192.0.2.31", "mx.fast": "2001:db8::31 192.0.2.31"},
)


@pytest.fixture
def shape(world):
    """Start a node, a TSA and a receiving host; return them, and the host of a client."""
    client = world.add_host("client", "192.0.2.1/24")
    tsa = world.add(Tsa, world.add_host("tsa", "192.0.2.21/24"), RULES, trust="192.0.2.0/24")
    sink = world.add(Sink, world.add_host("sink", "192.0.2.31/24", "2001:db8::31/64"))
    node = world.add(
        Node,
        world.add_host("node", "192.0.2.11/24", "2001:db8::11/64"),
        SCRIPT.format(tsa=tsa.url, zone=ZONE),
        shaping=RULES,
    )
    world.start(sink, tsa, node)
    wait_until("a subscription", lambda: automation(node)["subscribed_to"])
    return client, node, tsa, sink


def automation(node):
    return node.json("/api/admin/automation/v1")


def rate(node):
    """Return the rate in force for slow.example."""
    states = node.json("/api/admin/ready-q-states/v1")["states_by_ready_queue"]
    (found,) = [one["path_config"] for name, one in states.items() if "slow" in name]
    return found["max_message_rate"]


def arrivals(sink, name):
    """Return when mail for recipients of a name arrived, in order."""
    return sorted(one["at"] for one in sink.messages() if one["recipients"][0].startswith(name))


def keeps_to_five_a_second(times):
    """Return whether no six messages are within a second, but for what a second's end cuts."""
    return all(later - first > 0.9 for first, later in zip(times, times[5:], strict=False))


def test_mail_flows_and_a_deferral_is_obeyed_over_a_restart_of_the_tsa(world, shape):
    client, node, tsa, sink = shape

    # Mail flows, from the client over the node to the receiving host.
    arguments = ("--count", "200", "--sessions", "4", "--domains", "fast.example")
    send_traffic(client, "192.0.2.11:2525", *arguments)
    taken = sink.wait_messages(200)
    assert {one["client"] for one in taken} <= {"192.0.2.11", "2001:db8::11"}
    assert len(sink.recipients()) == 200

    # The receiving host defers, the TSA decides, the node obeys.
    sink.answer(SLOW_DOWN)
    node.send("first@slow.example")
    began = time.monotonic()
    wait_until("the decision", lambda: rate(node) == "5/s,max_burst=1", within_s=5)
    assert time.monotonic() - began < 5
    (decision,) = tsa.decisions()
    assert decision["count"] >= 1
    sink.answer()
    for number in range(20):
        node.send(f"second-{number}@slow.example")
    sink.wait_messages(221)
    assert keeps_to_five_a_second(arrivals(sink, "second"))

    # Without the TSA mail flows at the rate decided; records wait for it.
    world.expect_trouble()
    tsa.stop()
    wait_until("the loss", lambda: automation(node)["trouble"])
    for number in range(10):
        node.send(f"third-{number}@slow.example")
    sink.wait_messages(231)
    assert keeps_to_five_a_second(arrivals(sink, "third"))
    assert node.metric("tsa_reachable") == 0

    # It comes back with what it had decided, and gets the records that it missed.
    tsa.start()
    wait_until("the return", lambda: automation(node)["subscribed_to"])
    assert [one["id"] for one in tsa.decisions()] == [decision["id"]]
    wait_until("the backlog", lambda: automation(node)["feeds"][0]["backlog_octets"] == 0)
    assert rate(node) == "5/s,max_burst=1"
    assert node.metric("tsa_reachable") == 1
    assert set(sink.recipients().values()) == {1}
