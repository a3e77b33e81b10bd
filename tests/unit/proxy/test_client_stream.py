"""The client's side as octets: what came, what goes, and a last word that arrives."""

from __future__ import annotations

import asyncio

import pytest

from proxy import client_stream
from proxy.client_stream import SocketStream
from proxy.pipe_pool import PipePool
from proxy.socks5 import FEED_MAX
from tests.fakes.proxy_world import connected_pair

pytestmark = pytest.mark.real_time


@pytest.fixture
async def ends():
    near, far = connected_pair()
    yield SocketStream(near, PipePool(0)), far
    near.close()
    far.close()


async def test_what_came_is_given_in_pieces_a_dialogue_can_take(ends):
    stream, far = ends
    far.sendall(bytes(FEED_MAX + 10))

    assert [len(await stream.receive()) for _ in range(2)] == [FEED_MAX, 10]


async def test_the_end_is_nothing(ends):
    stream, far = ends
    far.close()

    assert await stream.receive() == b""


async def test_what_is_sent_arrives(ends):
    stream, far = ends
    await stream.send(b"\5\0")

    assert await asyncio.get_running_loop().sock_recv(far, 10) == b"\5\0"


async def test_a_client_that_talks_on_is_heard_out_before_the_close(ends):
    stream, far = ends
    far.sendall(bytes(30_000))
    await stream.send(b"no")
    finishing = asyncio.get_running_loop().create_task(stream.finish())
    loop = asyncio.get_running_loop()

    assert await loop.sock_recv(far, 10) == b"no"
    assert await loop.sock_recv(far, 10) == b""
    far.close()
    await asyncio.wait([finishing], timeout=5)
    assert finishing.done()


async def test_but_not_for_ever(ends, monkeypatch):
    monkeypatch.setattr(client_stream, "LINGER_S", 0.05)
    stream, _far = ends

    async with asyncio.timeout(5):
        await stream.finish()
    stream.close()

    assert stream.sock.fileno() < 0


async def test_its_relay_moves_octets_to_a_destination(ends):
    stream, far = ends
    server, there = connected_pair()
    relay = stream.make_relay(server)
    running = asyncio.get_running_loop().create_task(relay.run(b"first "))
    far.sendall(b"second")
    loop = asyncio.get_running_loop()
    found = b""
    while len(found) < 12:
        found += await loop.sock_recv(there, 100)

    assert found == b"first second"
    far.close()
    there.close()
    await asyncio.wait([running])
    stream.close()
