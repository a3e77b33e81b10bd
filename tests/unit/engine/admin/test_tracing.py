"""Watching SMTP sessions over websockets: filters, frames, slow readers, bad ones."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from engine.admin import tracing
from engine.admin.tracing import (
    CLIENT_PATH,
    SERVER_PATH,
    ClientFilter,
    ServerFilter,
    client_wants,
    server_wants,
    show_event,
)
from engine.base import trace_hub
from engine.base.trace_hub import TraceEvent
from tests.fakes.admin_world import operating

pytestmark = pytest.mark.real_time


def event(kind="Read", value=b"NOOP\r\n", is_content=False, **meta):
    return TraceEvent(meta, kind, value, 7.0, is_content)


async def until(what):
    async with asyncio.timeout(10):
        while not what():
            await asyncio.sleep(0.01)


async def receive(socket):
    message = await socket.receive(timeout=10)
    return json.loads(message.data)


# -- filters and frames


@pytest.mark.parametrize(
    ("wanted", "meta", "is_wanted"),
    [
        ({}, {"received_from": "192.0.2.1:4000"}, True),
        ({"source_addr": ["192.0.2.0/24"]}, {"received_from": "192.0.2.1:4000"}, True),
        ({"source_addr": ["192.0.2.0/24"]}, {"received_from": "[2001:db8::1]:4000"}, False),
        ({"source_addr": ["2001:db8::/32"]}, {"received_from": "[2001:db8::1]:4000"}, True),
        ({"source_addr": ["192.0.2.0/24"]}, {}, True),
    ],
)
def test_incoming_sessions_are_chosen_by_client(wanted, meta, is_wanted):
    assert server_wants(ServerFilter(**wanted))(meta) is is_wanted


@pytest.mark.parametrize(
    ("wanted", "meta", "is_wanted"),
    [
        ({"domain": ["a.test", "b.test"]}, {"domain": "b.test"}, True),
        ({"domain": ["a.test"]}, {"domain": "b.test"}, False),
        ({"domain": ["a.test"]}, {"tenant": "t"}, True),
        ({"domain": ["a.test"], "tenant": ["t"]}, {"domain": "a.test", "tenant": "u"}, False),
        ({"rcpt_to": ["x@a.test"]}, {"rcpt_to": ["x@a.test", "y@a.test"]}, True),
        ({"rcpt_to": ["z@a.test"]}, {"rcpt_to": ["x@a.test", "y@a.test"]}, False),
        ({"mx_addr": ["192.0.2.0/24"]}, {"mx_addr": "192.0.2.7"}, True),
        ({"mx_addr": ["192.0.2.0/24"]}, {"mx_addr": "198.51.100.7"}, False),
        ({"source_addr": ["192.0.2.9"]}, {}, True),
        ({"domain": []}, {"domain": "b.test"}, True),
    ],
)
def test_outgoing_sessions_are_chosen_by_what_is_known_of_them(wanted, meta, is_wanted):
    assert client_wants(ClientFilter(**wanted))(meta) is is_wanted


@pytest.mark.parametrize(
    ("given", "is_terse", "payload"),
    [
        (event("Connected", None), False, "Connected"),
        (event(), False, {"Read": "NOOP\r\n"}),
        (event(value=b"\xff"), False, {"Read": "\ufffd"}),
        (event(value=b"x" * 200, is_content=True), False, {"Read": "x" * 200}),
        (
            event(value=b"x" * 200, is_content=True),
            True,
            {"AbbreviatedRead": {"snippet": "x" * 80, "len": 200}},
        ),
        (event("Write", "EHLO\r\n"), True, {"Write": "EHLO\r\n"}),
    ],
)
def test_a_frame_says_what_happened(given, is_terse, payload):
    shown = json.loads(show_event(given, is_terse=is_terse))

    assert shown == {"conn_meta": {}, "payload": payload, "when": "1970-01-01T00:00:07.000000Z"}


# -- sockets


async def test_who_watches_sees_events_and_is_in_the_audit(tmp_path):
    async with operating(tmp_path) as operator:
        hub = operator.world.tracing.server
        async with operator.session.ws_connect(operator.base + SERVER_PATH) as socket:
            await socket.send_str('{"source_addr": ["192.0.2.0/24"], "terse": true}')
            await until(lambda: hub.is_on)
            hub.publish(event(received_from="198.51.100.1:1"))
            hub.publish(event("Connected", None, received_from="192.0.2.1:1"))

            shown = await receive(socket)

        await until(lambda: not hub.is_on)
        assert shown["payload"] == "Connected"
        assert shown["conn_meta"] == {"received_from": "192.0.2.1:1"}
        (entry,) = operator.world.audited()
        assert (entry.act, entry.origin) == ("trace-smtp-server", "127.0.0.1")
        assert entry.arguments["source_addr"] == ["192.0.2.0/24"]


async def test_outgoing_sessions_are_watched_by_their_own_path(tmp_path):
    async with operating(tmp_path) as operator:
        hub = operator.world.tracing.client
        async with operator.session.ws_connect(operator.base + CLIENT_PATH) as socket:
            await socket.send_str('{"domain": ["a.test"]}')
            await until(lambda: hub.is_on)
            hub.publish(event("MessageObtained", None, domain="b.test"))
            hub.publish(event("MessageObtained", None, domain="a.test"))

            assert (await receive(socket))["conn_meta"] == {"domain": "a.test"}


async def test_a_reader_that_does_not_keep_up_misses_events_and_holds_up_nobody(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(trace_hub, "EVENTS_MAX", 50)
    async with operating(tmp_path) as operator:
        hub = operator.world.tracing.server
        async with operator.session.ws_connect(operator.base + SERVER_PATH) as socket:
            await socket.send_str("{}")
            await until(lambda: hub.is_on)
            for number in range(200):
                hub.publish(event(number=number))
            seen = [await receive(socket) for _ in range(51)]
            hub.publish(event(number=200))
            after = await receive(socket)

    assert [one["conn_meta"]["number"] for one in seen[:50]] == list(range(50))
    assert seen[50]["payload"]["Diagnostic"]["level"] == "ERROR"
    assert "150 events were missed" in seen[50]["payload"]["Diagnostic"]["message"]
    assert after["conn_meta"]["number"] == 200


async def test_a_reader_that_reads_nothing_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "SEND_S", 0.2)
    async with operating(tmp_path) as operator:
        hub = operator.world.tracing.server
        host, port = operator.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(
            f"GET {SERVER_PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        # A masked text frame: "{}".
        writer.write(bytes([0x81, 0x82, 0, 0, 0, 0]) + b"{}")
        await until(lambda: hub.is_on)
        reader._transport.pause_reading()
        async with asyncio.timeout(20):
            while hub.is_on:
                hub.publish(event(value=b"x" * 500_000, is_content=True))
                await asyncio.sleep(0.01)
        writer.close()


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        ("{", "truncated"),
        ('{"colour": "red"}', "colour"),
        ('{"source_addr": ["here"]}', "not a network"),
        ('{"source_addr": "192.0.2.0/24"}', "array"),
        (b"{}", "as text"),
        ("[" * 100_000, ""),
    ],
)
async def test_what_is_no_filter_is_answered_and_the_socket_closed(tmp_path, frame, complaint):
    async with operating(tmp_path) as operator:
        async with operator.session.ws_connect(operator.base + SERVER_PATH) as socket:
            send = socket.send_bytes if isinstance(frame, bytes) else socket.send_str
            await send(frame)
            message = await socket.receive(timeout=10)
            if complaint:
                assert complaint in json.loads(message.data)["error"].lower()
                message = await socket.receive(timeout=10)
            assert message.type in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSING,
                aiohttp.WSMsgType.CLOSED,
            )
        assert not operator.world.tracing.server.is_on
        assert operator.world.audited() == []


async def test_who_says_nothing_or_leaves_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "FIRST_S", 0.1)
    async with operating(tmp_path) as operator:
        async with operator.session.ws_connect(operator.base + SERVER_PATH) as socket:
            assert "no filter" in (await receive(socket))["error"]
        async with operator.session.ws_connect(operator.base + SERVER_PATH):
            pass
        assert not operator.world.tracing.server.is_on


async def test_no_more_watch_than_there_are_places_and_nobody_without_rights(tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "READERS_MAX", 1)
    async with operating(tmp_path) as operator:
        async with operator.session.ws_connect(operator.base + SERVER_PATH) as socket:
            await socket.send_str("{}")
            await until(lambda: operator.world.tracing.server.is_on)
            assert (await operator("GET", SERVER_PATH))[0] == 503
    async with operating(tmp_path, trusted_hosts=[]) as operator:
        assert (await operator("GET", SERVER_PATH))[0] == 403
    async with operating(tmp_path) as operator:
        assert (await operator("GET", SERVER_PATH))[0] == 400


async def test_a_listener_that_stops_closes_the_sockets(tmp_path):
    async with operating(tmp_path) as operator:
        async with operator.session.ws_connect(operator.base + SERVER_PATH) as socket:
            await socket.send_str("{}")
            await until(lambda: operator.world.tracing.server.is_on)
            began = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as group:
                group.create_task(operator.service.stop(10.0))
                message = await socket.receive(timeout=10)

            assert message.type is aiohttp.WSMsgType.CLOSE
            assert asyncio.get_running_loop().time() - began < 5
