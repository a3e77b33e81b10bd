"""Hosts that break off, refuse, vanish and come back get every message in the end."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.fakes.loopback_sink import LoopbackSink
from tests.fakes.node_process import submit, wait_until
from tests.samples.running_node import free_ports

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


class FlakySink(LoopbackSink):
    """Breaks off some dialogues somewhere, before it took anything."""

    rng = random.Random(5)

    async def _content(self, reader):
        content = await super()._content(reader)
        if self.rng.random() < 0.2:
            raise ConnectionError("breaks off after the dot, without having taken it")
        return content

    async def _converse(self, reader, writer):
        if self.rng.random() < 0.1:
            writer.write(b"421 4.3.2 not now\r\n")
            return
        if self.rng.random() < 0.1:
            return
        if self.rng.random() < 0.1:
            writer.write(b"this is no reply\r\n")
            return
        await super()._converse(reader, writer)


def test_a_host_that_breaks_off_at_random_gets_everything_once(make_node):
    with FlakySink().listening() as host:
        rng = FlakySink.rng

        def judge(stage, address):
            if rng.random() < 0.1:
                return "421 4.7.0 too busy" if stage == "rcpt" else "451 4.3.0 hiccup"
            return None

        host.judge = judge
        node = make_node(
            sink=host.port,
            queue="retry_interval='200ms', max_retry_interval='400ms', max_age='10m'",
            path="connection_limit=4, consecutive_connection_failures_before_delay=20",
        )
        with node.running():
            with node.client() as client:
                for index in range(120):
                    submit(client, f"m{index}", f"u{index}@d{index % 3}.test")
            wait_until("everything", lambda: len(host.subjects()) == 120)
            node.wait_records("Delivery", 120)

    assert set(host.subjects().values()) == {1}
    summary = node.summary()
    assert (summary["Reception"], summary["Delivery"]) == (120, 120)
    assert summary["Bounce"] == summary["Expiration"] == 0
    assert "Traceback" not in node.log_text()


def test_a_host_that_was_away_gets_its_mail_when_it_is_back(make_node):
    (port,) = free_ports(1)
    host = LoopbackSink()
    host.port = port
    node = make_node(
        sink=port,
        queue="retry_interval='500ms', max_retry_interval='1s'",
        path="consecutive_connection_failures_before_delay=3",
    )

    with node.running():
        with node.client() as client:
            for index in range(40):
                submit(client, f"m{index}", f"u{index}@y.test")
        node.wait_records("TransientFailure", 40)
        with host.listening():
            wait_until("everything", lambda: len(host.taken) == 40)
            node.wait_records("Delivery", 40)

    assert set(host.subjects().values()) == {1}
    refused = node.records("TransientFailure")[0]["response"]
    assert refused["code"] == 451
    assert "127.0.0.1" in refused["content"]


def test_a_narrow_way_out_loses_nothing(make_node, sink):
    """Ready queues of one message, one connection, a rate: everything waits its turn."""
    node = make_node(
        path="connection_limit=1, max_ready=1, max_deliveries_per_connection=3, "
        "max_message_rate='60/s'"
    )

    with node.running():
        with node.client() as client:
            for index in range(100):
                submit(client, f"m{index}", f"u{index}@d{index % 20}.test")
        wait_until("everything", lambda: len(sink.taken) >= 100)
        node.wait_records("Delivery", 100)

    assert sink.subjects() == {f"m{index}": 1 for index in range(100)}
    assert sink.connections >= 33


def test_a_silent_host_is_given_up_at_its_timeout(make_node):
    class SilentSink(LoopbackSink):
        async def _converse(self, reader, writer):
            await asyncio.sleep(30)

    with SilentSink().listening() as host:
        node = make_node(sink=host.port, path="banner_timeout='1s'", queue="retry_interval='1h'")
        with node.running():
            node.send("x")
            (record,) = node.wait_records("TransientFailure", 1)

    assert record["response"]["code"] == 451
