"""A client in TLS: the same dialogue, the same relay, and the limits of what TLS can say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl

import pytest

from engine.base.tls_files import ServerTls
from proxy.socks5 import FEED_MAX
from proxy.tls_stream import open_tls_stream
from tests.fakes.proxy_world import PATIENCE_S, Peer, connected_pair, eventually

pytestmark = pytest.mark.real_time
BULK = 4 * 1024 * 1024


def client_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.fixture(scope="module")
def server_context():
    return ServerTls("proxy.example").context()


@pytest.fixture
async def ends(server_context):
    """Return a stream and its client."""
    near, far = connected_pair()
    opening = asyncio.get_running_loop().create_task(
        open_tls_stream(near, server_context, timeout_s=5.0)
    )
    client = Peer(
        *await asyncio.open_connection(sock=far, ssl=client_context(), server_hostname="x")
    )
    stream = await opening
    yield stream, client
    client.writer.transport.abort()
    stream.transport.abort()
    await eventually(lambda: near.fileno() < 0)


@contextlib.asynccontextmanager
async def relaying(stream, first=b""):
    near, far = connected_pair()
    relay = stream.make_relay(near)
    running = asyncio.get_running_loop().create_task(relay.run(first))
    server = Peer(*await asyncio.open_connection(sock=far))
    try:
        yield server, relay, running
    finally:
        running.cancel()
        await asyncio.wait([running])
        server.writer.transport.abort()
    await eventually(lambda: near.fileno() < 0)


async def finished(running):
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait([running])
    return running.exception()


async def test_a_dialogue_is_heard_and_answered(ends):
    stream, client = ends
    await client.send(b"\5\1\0")
    assert await stream.receive() == b"\5\1\0"
    await stream.send(b"\5\0")
    assert await client.read(2) == b"\5\0"


async def test_what_came_is_given_in_pieces_a_dialogue_can_take(ends):
    stream, client = ends
    sent = os.urandom(50_000)
    await client.send(sent)
    found = []
    while sum(map(len, found)) < len(sent):
        found.append(await stream.receive())

    assert b"".join(found) == sent
    assert max(map(len, found)) <= FEED_MAX


async def test_the_end_is_nothing(ends):
    stream, client = ends
    client.close()

    assert await stream.receive() == b""


async def test_a_connection_that_breaks_is_an_error(ends):
    stream, client = ends
    client.reset()

    with pytest.raises(OSError, match="reset"):
        while await stream.receive():
            pass


async def test_a_last_word_arrives(ends):
    stream, client = ends
    await stream.send(b"no")
    await stream.finish()

    assert await client.read_rest() == b"no"


async def test_its_relay_moves_and_counts_octets_both_ways(ends):
    stream, client = ends
    await client.send(b"EHLO x\r\n")
    async with relaying(stream, b"early ") as (server, relay, _):
        assert await server.read(14) == b"early EHLO x\r\n"
        await server.send(b"250 ok\r\n")
        assert await client.read(8) == b"250 ok\r\n"
        assert (relay.sent, relay.received) == (14, 8)


async def test_a_destination_that_speaks_first_is_heard(ends):
    stream, client = ends
    near, far = connected_pair()
    far.sendall(b"220 mx\r\n")
    far.shutdown(socket.SHUT_WR)
    running = asyncio.get_running_loop().create_task(stream.make_relay(near).run())

    assert await client.read_rest() == b"220 mx\r\n"
    assert await finished(running) is None
    far.close()


async def test_a_client_that_speaks_before_its_destination_is_there_is_heard(ends, monkeypatch):
    stream, client = ends
    loop = asyncio.get_running_loop()
    create = loop.create_connection

    async def create_late(*args, **options):
        await client.send(b"EHLO x\r\n")
        await asyncio.sleep(0.05)
        return await create(*args, **options)

    monkeypatch.setattr(loop, "create_connection", create_late)
    near, far = connected_pair()
    running = loop.create_task(stream.make_relay(near).run(b"early "))
    found = b""
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < 14:
            found += await loop.sock_recv(far, 100)

    assert found == b"early EHLO x\r\n"
    far.close()
    await finished(running)


async def test_a_client_that_leaves_before_its_destination_is_there_ends_it(ends, monkeypatch):
    stream, client = ends
    loop = asyncio.get_running_loop()
    create = loop.create_connection

    async def create_late(*args, **options):
        client.reset()
        await asyncio.sleep(0.05)
        return await create(*args, **options)

    monkeypatch.setattr(loop, "create_connection", create_late)
    near, far = connected_pair()
    running = loop.create_task(stream.make_relay(near).run())
    await finished(running)

    assert running.done()
    await eventually(lambda: near.fileno() < 0)
    far.close()


async def test_bulk_arrives_whole_both_ways_at_once(ends):
    stream, client = ends
    up, down = os.urandom(BULK), os.urandom(BULK)
    async with relaying(stream) as (server, _, _), asyncio.TaskGroup() as group:
        group.create_task(client.send(up))
        group.create_task(server.send(down))
        at_server = group.create_task(server.read(BULK))
        at_client = group.create_task(client.read(BULK))
    assert at_server.result() == up
    assert at_client.result() == down


async def test_what_a_destination_said_last_arrives_before_the_end(ends):
    stream, client = ends
    async with relaying(stream) as (server, _, running):
        await server.send(b"x" * 100_000)
        server.end()

        assert len(await client.read_rest()) == 100_000
        assert await finished(running) is None


async def test_what_a_client_said_last_arrives_before_the_end(ends):
    stream, client = ends
    async with relaying(stream) as (server, _, running):
        await client.send(b"x" * 100_000)
        client.close()

        assert len(await server.read_rest()) == 100_000
        assert await finished(running) is None


@pytest.mark.slow
async def test_who_does_not_read_is_not_read_for(ends):
    stream, client = ends
    async with relaying(stream) as (_server, relay, _):
        sending = asyncio.get_running_loop().create_task(client.send(bytes(64 * 1024 * 1024)))
        before = -1
        while before != relay.sent:
            before = relay.sent
            await asyncio.sleep(0.1)

        assert relay.sent < 32 * 1024 * 1024
        sending.cancel()
        await asyncio.wait([sending])


async def test_a_destination_that_breaks_off_breaks_the_client_off(ends):
    stream, client = ends
    async with relaying(stream) as (server, _, running):
        server.reset()

        assert isinstance(await finished(running), OSError)
        with pytest.raises(OSError, match="reset|EOF"):
            await client.read(1)


async def test_a_client_that_breaks_off_breaks_the_destination_off(ends):
    stream, client = ends
    async with relaying(stream) as (server, _, running):
        client.reset()

        assert isinstance(await finished(running), OSError)
        with pytest.raises(ConnectionResetError):
            await server.read(1)


async def test_what_is_aborted_is_broken_off_on_both_sides(ends):
    stream, client = ends
    async with relaying(stream) as (server, relay, running):
        await client.send(b"x")
        assert await server.read(1) == b"x"
        relay.abort(TimeoutError("idle"))

        assert str(await finished(running)) == "idle"
        for peer in (client, server):
            with pytest.raises(OSError, match="reset|EOF"):
                await peer.read(1)


async def test_a_client_that_left_meanwhile_gets_no_relay(ends):
    stream, client = ends
    client.close()
    await eventually(lambda: stream._is_over)
    near, far = connected_pair()

    with pytest.raises(ConnectionResetError, match="left"):
        await stream.make_relay(near).run()
    await eventually(lambda: near.fileno() < 0)
    far.close()


@pytest.mark.parametrize("said", [b"\5\1\0", b"GET / HTTP/1.0\r\n\r\n", b""])
async def test_who_speaks_no_tls_gets_no_stream(server_context, said):
    near, far = connected_pair()
    far.sendall(said)
    if not said:
        far.shutdown(socket.SHUT_WR)

    with pytest.raises(OSError):
        await open_tls_stream(near, server_context, timeout_s=0.2)
    await eventually(lambda: near.fileno() < 0)
    far.close()


async def test_a_handshake_that_stalls_is_given_up(server_context):
    near, far = connected_pair()

    async with asyncio.timeout(5.0):
        with pytest.raises(OSError, match="handshake"):
            await open_tls_stream(near, server_context, timeout_s=0.1)
    far.close()
