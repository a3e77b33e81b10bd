"""Mail leaves by the proxy of its source; one whose proxy is gone is out, others go on."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from tests.fakes.socks_server import SocksServer, socks_server
from tests.samples.running_node import free_ports, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

SOURCES = """
PROXIES = {proxies!r}


@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(
        egress_pool="pool",
        retry_interval="1s",
        protocol={{"smtp": {{"mx_list": ["127.0.0.1:{sink}"]}}}},
    )


@on("get_egress_pool")
def get_egress_pool(name):
    return mta.make_egress_pool(name=name, entries=[{{"name": one}} for one in PROXIES])


@on("get_egress_source")
def get_egress_source(name):
    return mta.make_egress_source(name=name, **PROXIES[name])
"""
OUT = {"trigger": "Immediate", "duration": "1h"}


@contextlib.contextmanager
def running(server_of=socks_server):
    """Run a proxy in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stack = contextlib.AsyncExitStack()

    async def enter():
        return await stack.enter_async_context(server_of())

    proxy: SocksServer = asyncio.run_coroutine_threadsafe(enter(), loop).result(10)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def script(sink, **proxies):
    return SOURCES.format(proxies=proxies, sink=sink.port)


def by(port, address, **options):
    return {
        "socks5_proxy_server": f"127.0.0.1:{port}",
        "socks5_proxy_source_address": address,
        **options,
    }


@pytest.fixture
def make(make_node, sink):
    def build(**proxies):
        node = make_node()
        head, _, _ = node._head.partition('@on("get_queue_config")')
        path = node._head[node._head.index('@on("get_egress_path")') :]
        node._head = head + script(sink, **proxies) + "\n\n" + path
        node.write()
        return node

    return build


def test_each_source_leaves_from_its_address_at_its_proxy(make, sink):
    with running() as one, running() as two:
        node = make(**{"a": by(one.port, "127.0.0.5"), "b": by(two.port, "127.0.0.6")})
        with node.running():
            for number in range(8):
                node.send(str(number), f"u{number}@x.example")
            deliveries = node.wait_records("Delivery", 8)
    seen = {(record["egress_source"], *record["source_address"].values()) for record in deliveries}
    assert seen == {
        ("a", "127.0.0.5", f"127.0.0.1:{one.port}", "socks5"),
        ("b", "127.0.0.6", f"127.0.0.1:{two.port}", "socks5"),
    }
    assert {ask[1] for ask in one.asked if ask[0] == 2} == {"127.0.0.5"}


def test_a_source_whose_proxy_is_gone_is_taken_out_and_others_go_on(make, sink):
    (gone,) = free_ports(1)
    with running() as proxy:
        node = make(
            **{
                "gone": by(gone, "127.0.0.5", suspend_when_proxy_unhealthy=OUT),
                "good": by(proxy.port, "127.0.0.6"),
            }
        )
        with node.running():
            for number in range(10):
                node.send(str(number), f"u{number}@x.example")
            deliveries = node.wait_records("Delivery", 10)
            metrics = node.http("/metrics")[2].decode()
    assert {one["egress_source"] for one in deliveries} == {"good"}
    assert 'egress_source_health_suspended{source="gone",reason="proxy_unhealthy"} 1' in metrics
    assert "gone is taken out" in node.log_text()
    failures = [one for one in node.records("TransientFailure") if one["egress_source"] == "gone"]
    assert all("proxy 127.0.0.1" in one["response"]["content"] for one in failures)


def test_a_proxy_without_the_address_takes_an_unplumbed_source_out(make, sink):
    with running() as bad, running() as good:
        bad.codes = {2: 1}
        node = make(
            **{
                "bad": by(bad.port, "127.0.0.5", suspend_when_unplumbed=OUT),
                "good": by(good.port, "127.0.0.6"),
            }
        )
        with node.running():
            for number in range(6):
                node.send(str(number), f"u{number}@x.example")
            node.wait_records("Delivery", 6)
            metrics = node.http("/metrics")[2].decode()
    assert 'egress_source_health_suspended{source="bad",reason="unplumbed"} 1' in metrics
    assert "does not give the source 127.0.0.5" in node.log_text()


def test_mail_waits_while_every_source_is_out_and_loses_no_attempt(make, sink):
    (gone,) = free_ports(1)
    rule = {"trigger": "Immediate", "duration": "3s"}
    node = make(**{"gone": by(gone, "127.0.0.5", suspend_when_proxy_unhealthy=rule)})
    with node.running():
        node.send("first", "u@x.example")
        wait_until("the source to be out", lambda: "gone is taken out" in node.log_text())
        node.send("second", "v@x.example")
        held = "no source of pool pool is eligible: gone: proxy"
        wait_until("held mail", lambda: any(held in str(one) for one in node.records()))
        records = [one for one in node.records("TransientFailure") if "v@x" in str(one)]
    assert len(records) == 1
    assert records[0]["num_attempts"] == 0
    assert sink.taken == []
