"""Clients that stop in the middle of anything, or say one octet now and then: they are ended."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest

from engine.model.proxy_header import format_proxy_header
from engine.receive.smtp_session_auth import HANDSHAKE_S
from tests.fakes.smtp_node import client_tls

TIMEOUT_S = 600.0
#: What a busy machine may add, seconds.
SLACK_S = 30.0
V1 = b"PROXY TCP4 10.0.0.9 192.0.2.25 40000 25\r\n"
V2 = format_proxy_header(("10.0.0.9", 40_000), ("192.0.2.25", 25))
EXTENDED = V2[:15] + bytes([V2[15] + 13]) + V2[16:] + b"\x02\x00\x0amx.example"
DIALOGUE = (
    b"EHLO c.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n."
)
GREETED = b"220 mx.test Cirrus\r\n"
IDLE = b"421 4.3.2 mx.test idle too long\r\n"


def client_hello() -> bytes:
    """Return what a client of TLS says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client_tls().wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


async def stall(node, octets):
    """Return how long a client is waited for that says no more than this, and what it is told."""
    loop = asyncio.get_running_loop()
    client = await node.connect()
    await client.send(octets)
    silent_since_s = loop.time()
    told = await client.rest()
    client.close()
    return loop.time() - silent_since_s, told


async def stall_everywhere(node, octets, first=0):
    """Return the same for a client per beginning of these octets."""
    return await asyncio.gather(*(stall(node, octets[:size]) for size in range(first, len(octets))))


async def drip(node, octets, every_s):
    """Return how long a client lasts that says an octet now and then, and what it is told."""
    loop = asyncio.get_running_loop()
    client = await node.connect()
    began_s = loop.time()
    told = asyncio.ensure_future(client.rest())
    for octet in octets:
        client.writer.write(bytes([octet]))
        await asyncio.wait([told], timeout=every_s)
        if told.done():
            break
    lasted_s = loop.time() - began_s
    client.close()
    return lasted_s, await told


@pytest.mark.parametrize("header", [V1, V2, EXTENDED], ids=["version 1", "version 2", "extended"])
async def test_a_header_that_stops_anywhere_ends_the_connection_without_a_word(start_node, header):
    node = await start_node(require_proxy_protocol=True, client_timeout=TIMEOUT_S)

    ends = await stall_everywhere(node, header)

    assert len(ends) == len(header)
    for lasted_s, told in ends:
        assert told == b""
        assert lasted_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)
    assert not node.listener.sessions


async def test_behind_a_header_every_command_that_stops_is_told_and_ended(start_node):
    node = await start_node(require_proxy_protocol=True, client_timeout=TIMEOUT_S)

    ends = await stall_everywhere(node, V2 + DIALOGUE, first=len(V2))

    assert len(ends) == len(DIALOGUE)
    for lasted_s, told in ends:
        assert told.startswith(GREETED)
        assert told.endswith(IDLE)
        assert lasted_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)
    assert node.taken == []
    assert not node.listener.sessions


@pytest.mark.slow
async def test_a_hello_of_tls_that_stops_anywhere_ends_the_connection_without_a_word(start_node):
    node = await start_node(
        require_proxy_protocol=True, tls_from_first_byte=True, client_timeout=TIMEOUT_S
    )

    ends = await stall_everywhere(node, V2 + client_hello(), first=len(V2))

    for lasted_s, told in ends:
        assert told == b""
        assert lasted_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)
    assert not node.listener.sessions


@pytest.mark.parametrize("tls_from_first_byte", [True, False])
async def test_a_handshake_that_stops_ends_the_connection(start_node, tls_from_first_byte):
    node = await start_node(tls_from_first_byte=tls_from_first_byte, client_timeout=TIMEOUT_S)
    before = b"" if tls_from_first_byte else b"EHLO c.test\r\nSTARTTLS\r\n"
    client = await node.connect()
    await client.send(before)
    if before:
        while b"220 2.0.0" not in await client.reader.readline():
            pass
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    await client.send(client_hello())
    told = await client.rest()

    assert told.startswith(b"\x16\x03")
    assert loop.time() - began_s == pytest.approx(HANDSHAKE_S, abs=10)
    assert not node.listener.sessions


@pytest.mark.parametrize("header", [V1, V2])
async def test_a_header_in_drips_has_one_deadline_for_all_of_it(start_node, header):
    node = await start_node(require_proxy_protocol=True, client_timeout=TIMEOUT_S)

    lasted_s, told = await drip(node, header, TIMEOUT_S / 4)

    assert told == b""
    assert lasted_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)


async def test_a_hello_of_tls_in_drips_has_one_deadline_for_all_of_it(start_node):
    node = await start_node(tls_from_first_byte=True, client_timeout=TIMEOUT_S)

    lasted_s, told = await drip(node, client_hello(), TIMEOUT_S / 4)

    assert told == b""
    assert lasted_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)


@pytest.mark.parametrize("line", [b"NOOP " + b"x" * 900, b"x" * 5000], ids=["short", "endless"])
async def test_a_line_in_drips_ends_when_a_line_has_to(start_node, line):
    node = await start_node(client_timeout=TIMEOUT_S)

    lasted_s, told = await drip(node, line, TIMEOUT_S / 4)

    assert told == GREETED + IDLE
    assert lasted_s <= 2 * TIMEOUT_S + SLACK_S


async def test_an_answer_to_a_challenge_in_drips_ends_when_a_line_has_to(start_node):
    script = "@on('smtp_auth_plain')\ndef auth(authz, authc, password, conn):\n    return True\n"
    node = await start_node(script, client_timeout=TIMEOUT_S)
    client = await node.over_tls()
    await client.command(b"AUTH PLAIN")
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    told = asyncio.ensure_future(client.rest())
    while not told.done() and loop.time() < began_s + 10 * TIMEOUT_S:
        client.writer.write(b"A")
        await asyncio.wait([told], timeout=TIMEOUT_S / 4)

    assert await told == IDLE
    assert loop.time() - began_s <= 2 * TIMEOUT_S + SLACK_S


async def test_commands_that_come_in_parts_but_in_time_go_on(start_node):
    node = await start_node(client_timeout=TIMEOUT_S)
    client = await node.greeted()

    for _ in range(5):
        await asyncio.sleep(450)
        for part in (b"NO", b"O", b"P\r", b"\n"):
            await client.send(part)
            await asyncio.sleep(100)
        assert (await client.reply()).code == 250
