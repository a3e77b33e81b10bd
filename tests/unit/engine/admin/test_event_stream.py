"""Watching events over websockets: slow readers, bad ones, too many, and the end."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from engine.admin import event_stream
from engine.admin.event_stream import watch
from engine.admin.tracing import SERVER_PATH, SERVER_SESSIONS, ServerFilter
from engine.base import event_hub
from engine.base.event_hub import TooManyReadersError
from tests.fakes.admin_world import ANN, admin_world, operating
from tests.fakes.stream_reader import event, receive, until

pytestmark = pytest.mark.real_time


async def test_a_reader_that_does_not_keep_up_misses_events_and_holds_up_nobody(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(event_hub, "EVENTS_MAX", 50)
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
    monkeypatch.setattr(event_stream, "SEND_S", 0.2)
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
    monkeypatch.setattr(event_stream, "FIRST_S", 0.1)
    async with operating(tmp_path) as operator:
        async with operator.session.ws_connect(operator.base + SERVER_PATH) as socket:
            assert "no filter" in (await receive(socket))["error"]
        async with operator.session.ws_connect(operator.base + SERVER_PATH):
            pass
        assert not operator.world.tracing.server.is_on


async def test_no_more_watch_than_there_are_places_and_nobody_without_rights(tmp_path, monkeypatch):
    monkeypatch.setattr(event_stream, "READERS_MAX", 1)
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


async def test_who_comes_too_late_for_the_last_place_is_told(tmp_path, monkeypatch):
    async with operating(tmp_path) as operator:
        async with operator.session.ws_connect(operator.base + SERVER_PATH) as socket:
            monkeypatch.setattr(event_hub, "READERS_MAX", 0)
            await socket.send_str("{}")

            assert await receive(socket) == {"error": "too many watch already"}


async def test_a_console_watches_by_the_same_door_and_is_in_the_audit(tmp_path, monkeypatch):
    async with admin_world(tmp_path) as world:
        subscription = watch(world, SERVER_SESSIONS, ANN, ServerFilter(terse=True))
        world.tracing.server.publish(event())

        assert (await subscription.next()).kind == "Read"
        (entry,) = world.audited()
        assert (entry.act, entry.identity, entry.origin) == (
            "trace-smtp-server",
            "ann",
            "192.0.2.1",
        )
        monkeypatch.setattr(event_hub, "READERS_MAX", 1)
        with pytest.raises(TooManyReadersError):
            watch(world, SERVER_SESSIONS, ANN, ServerFilter())
        assert len(world.audited()) == 1
