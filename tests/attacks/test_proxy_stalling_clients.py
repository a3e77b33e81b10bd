"""Clients of the proxy that stop at any octet, or say one now and then: a step has its deadline."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest

from engine.model.cidr import CidrSet
from engine.model.proxy_header import format_proxy_header
from proxy.authentication import Identity
from tests.fakes.proxy_world import (
    client_of,
    credentials,
    eventually,
    metric,
    request,
    running_proxy,
)
from tests.fakes.smtp_node import client_tls

TIMEOUT_S = 600.0
#: What a busy machine may add, seconds.
SLACK_S = 30.0
V1 = b"PROXY TCP4 127.0.0.5 127.0.0.6 4711 1080\r\n"
V2 = format_proxy_header(("127.0.0.5", 4711), ("127.0.0.6", 1080))
BEHIND_BALANCER = {"proxy_protocol_from": CidrSet(["127.0.0.0/8"])}
BIND = request("127.0.0.7", 0, 2)


async def let_in(name, _password, _ends):
    return Identity(frozenset({name}))


async def stall(proxy, octets, connect=None):
    """Return how long a client is waited for that says no more than this, and what it is told."""
    loop = asyncio.get_running_loop()
    async with client_of(proxy) as client:
        if connect is not None:
            await connect(client)
        await client.send(octets)
        silent_since_s = loop.time()
        told = await see_end(client)
        return loop.time() - silent_since_s, told


async def see_end(client):
    """Return everything up to the end, however late that is."""
    async with asyncio.timeout(3600):
        with contextlib.suppress(ConnectionError):
            return await client.reader.read()
    return b""


@pytest.mark.parametrize("header", [b"", V1, V2], ids=["none", "version 1", "version 2"])
@pytest.mark.parametrize("has_password", [False, True])
async def test_a_dialogue_that_stops_anywhere_ends_at_its_deadline(header, has_password):
    options = BEHIND_BALANCER if header else {}
    dialogue = b"\5\1\2" + credentials("node", "secret") if has_password else b"\5\1\0"
    steps = (b"\5\2", b"\1\0") if has_password else (b"\5\0",)
    dialogue += BIND + request("127.0.0.1", 9)
    async with running_proxy(timeout_s=TIMEOUT_S, **options) as proxy:
        if has_password:
            proxy.authentication.ask_script = let_in

        ends = await asyncio.gather(
            *(stall(proxy, (header + dialogue)[:size]) for size in range(len(header + dialogue)))
        )

        assert proxy.open == 0
        assert metric(proxy, "proxy_requests_refused_total", "Stalled") == len(ends)
    bound = b"\5\0\0\1\x7f\0\0\7\0\0"
    replies = {b"".join(steps[:count]) for count in range(len(steps) + 1)}
    assert {told for _, told in ends} == replies | {b"".join(steps) + bound}
    for lasted_s, _ in ends:
        assert lasted_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)


def client_hello() -> bytes:
    """Return what a client of TLS says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client_tls().wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


@pytest.mark.slow
@pytest.mark.parametrize("header", [b"", V2], ids=["none", "version 2"])
async def test_a_handshake_that_stops_anywhere_ends_at_its_deadline(header):
    options = BEHIND_BALANCER if header else {}
    hello = client_hello()
    async with running_proxy(timeout_s=TIMEOUT_S, use_tls=True, **options) as proxy:
        ends = await asyncio.gather(
            *(stall(proxy, header + hello[:size]) for size in range(len(hello) + 1))
        )

        await eventually(lambda: proxy.open == 0)
    for lasted_s, told in ends:
        # The whole hello is answered; then it is the client's turn again.
        assert told[:2] in (b"", b"\x16\x03")
        assert lasted_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)


async def test_a_dialogue_in_tls_that_stops_anywhere_ends_at_its_deadline():
    dialogue = b"\5\1\0" + BIND + request("127.0.0.1", 9)
    async with running_proxy(timeout_s=TIMEOUT_S, use_tls=True) as proxy:

        async def connect(client):
            await client.writer.start_tls(client_tls())

        ends = await asyncio.gather(
            *(stall(proxy, dialogue[:size], connect) for size in range(len(dialogue)))
        )

        await eventually(lambda: proxy.open == 0)
    for lasted_s, _ in ends:
        assert lasted_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)


@pytest.mark.parametrize("octets", [b"\5\xff" + bytes(255), V1], ids=["greeting", "header"])
async def test_a_step_in_drips_has_one_deadline_for_all_of_it(octets):
    options = BEHIND_BALANCER if octets == V1 else {}
    loop = asyncio.get_running_loop()
    async with (
        running_proxy(timeout_s=TIMEOUT_S, **options) as proxy,
        client_of(proxy) as client,
    ):
        began_s = loop.time()
        told = asyncio.ensure_future(see_end(client))
        for octet in octets:
            client.writer.write(bytes([octet]))
            await asyncio.wait([told], timeout=TIMEOUT_S / 4)
            if told.done():
                break

        assert await told == b""
        assert loop.time() - began_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)
