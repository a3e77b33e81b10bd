"""Replies leave in order, delays hold what follows, and nothing grows without bound."""

from __future__ import annotations

import asyncio
import socket

import pytest

from engine.tools.sink_options import Stage
from engine.tools.sink_wire import MAX_AHEAD, encode_reply
from tests.fakes.sink_dialogue import greeted, talking


@pytest.mark.parametrize(
    ("text", "enhanced", "octets"),
    [
        ("250 2.0.0 ok", True, b"250 2.0.0 ok\r\n"),
        ("250 2.0.0 ok", False, b"250 ok\r\n"),
        ("250 5 apples", False, b"250 5 apples\r\n"),
        ("250 a\nb\nc", True, b"250-a\r\n250-b\r\n250 c\r\n"),
        ("421", True, b"421 \r\n"),
        ("550 \udcff", True, b"550 \xff\r\n"),
    ],
)
def test_a_reply_becomes_lines(text, enhanced, octets):
    assert encode_reply(text, enhanced=enhanced) == octets


def elapsed_from(start: float) -> float:
    return asyncio.get_running_loop().time() - start


async def test_a_delayed_reply_comes_after_its_delay_and_the_next_after_it():
    async with talking({"stage_delays_s": {Stage.MAIL: 20.0}}) as (_, client):
        start = asyncio.get_running_loop().time()
        await client.send(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\n")

        assert [(await client.reply()).code, (await client.reply()).code] == [250, 250]
        assert 20.0 <= elapsed_from(start) < 21.0


async def test_every_reply_can_be_delayed():
    async with talking({"delay_s": 2.0}) as (_, client):
        start = asyncio.get_running_loop().time()
        assert (await client.deliver(b"hi\r\n")).code == 250
        assert 8.0 <= elapsed_from(start) < 9.0


async def test_a_delay_does_not_hold_other_connections():
    async with talking({"stage_delays_s": {Stage.MAIL: 20.0}}) as (sink, client):
        await client.send(b"MAIL FROM:<a@x.test>\r\n")
        start = asyncio.get_running_loop().time()
        other = await greeted(sink)
        assert (await other.command(b"NOOP")).code == 250
        assert elapsed_from(start) < 20.0
        other.close()


async def test_a_reply_that_is_held_still_reaches_a_client_that_half_closed():
    async with talking({"delay_s": 5.0}) as (sink, client):
        await client.send(b"NOOP\r\nNOOP\r\n")
        client.writer.write_eof()
        assert (await client.rest()).count(b"250 ") == 2
        await asyncio.sleep(0.1)
        assert sink.stats.connections_open == 0


async def test_a_dialogue_that_hangs_ends_with_its_client():
    async with talking() as (sink, client):
        await client.command(b"MAIL FROM:<a@x.test>")
        await client.send(b"RCPT TO:<hang@y.test>\r\n")
        await asyncio.sleep(3600)
        assert sink.stats.connections_open == 1

        client.writer.write_eof()
        assert await client.rest() == b""
        await asyncio.sleep(0.1)
        assert sink.stats.connections_open == 0


@pytest.mark.parametrize("local_part", ["421", "drop"])
async def test_a_connection_is_closed_when_a_name_asks_for_it(local_part):
    async with talking() as (sink, client):
        await client.command(b"MAIL FROM:<a@x.test>")
        await client.send(b"RCPT TO:<%s@y.test>\r\nNOOP\r\n" % local_part.encode())
        rest = await client.rest()
        assert (rest.startswith(b"421 "), b"250" in rest) == (local_part == "421", False)
        assert sink.stats.replies.get((Stage.OTHER, "250")) is None


async def test_what_is_sent_ahead_of_a_held_reply_is_bounded():
    async with talking({"stage_delays_s": {Stage.OTHER: 1e6}}) as (sink, client):
        (session,) = sink._sessions
        await client.send(b"NOOP\r\n")
        for _ in range(100):
            client.writer.write(b"NOOP\r\n" * 20_000)
            await asyncio.sleep(0.01)
        assert MAX_AHEAD < len(session._buffer) < MAX_AHEAD + 1_000_000


async def test_a_client_that_reads_no_replies_is_not_read_either():
    async with talking() as (sink, client):
        (session,) = sink._sessions
        ours, its = client.writer.transport, session._transport
        ours.pause_reading()
        for transport in (ours, its):
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 4096)
        for _ in range(10):
            client.writer.write(b"NOOP\r\n" * 10_000)
            await asyncio.sleep(0.01)

        assert ours.get_write_buffer_size() > 400_000
        assert its.get_write_buffer_size() < 400_000
        ours.abort()


async def test_an_idle_client_is_told_so_and_dropped():
    async with talking({"idle_timeout_s": 60.0}) as (sink, client):
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(50)
        assert (await client.command(b"NOOP")).code == 250

        assert (await client.reply()).code == 421
        assert await client.rest() == b""
        assert 110.0 <= elapsed_from(start) < 111.0
        await asyncio.sleep(0.1)
        assert sink.stats.connections_open == 0


async def test_a_client_that_waits_for_us_is_not_idle():
    options = {"idle_timeout_s": 60.0, "stage_delays_s": {Stage.OTHER: 500.0}}
    async with talking(options) as (_, client):
        assert (await client.command(b"NOOP")).code == 250
