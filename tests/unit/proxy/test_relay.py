"""Octets both ways between two sockets: all of them, in order, and the end passed on."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct

import pytest

from proxy.pipe_pool import PipePool
from proxy.relay import SocketRelay
from tests.fakes.proxy_world import PATIENCE_S, connected_pair, eventually

pytestmark = pytest.mark.real_time
#: Moved by the kernel, copied here, and copied where pipes have run out.
WAYS = {"splice": 8, "copy": 0}
BULK = 8 * 1024 * 1024


class Ends:
    """A relay, and both of its far ends."""

    def __init__(self, pipes, buffer_octets=None):
        self.client, client = connected_pair(buffer_octets)
        server, self.server = connected_pair(buffer_octets)
        self.pipes = pipes
        self.near = (client, server)
        self.relay = SocketRelay(client, server, pipes)
        self.loop = asyncio.get_running_loop()

    async def send(self, sock, data):
        await self.loop.sock_sendall(sock, data)

    async def read(self, sock, size):
        found = bytearray()
        async with asyncio.timeout(PATIENCE_S):
            while len(found) < size and (data := await self.loop.sock_recv(sock, 65536)):
                found += data
        return bytes(found)


@contextlib.asynccontextmanager
async def relaying(limit, *, first=b"", buffer_octets=None):
    ends = Ends(PipePool(limit), buffer_octets)
    running = asyncio.get_running_loop().create_task(ends.relay.run(first))
    ends.running = running
    try:
        yield ends
    finally:
        running.cancel()
        await asyncio.wait([running])
        ends.client.close()
        ends.server.close()
        ends.pipes.close()
    assert all(sock.fileno() < 0 for sock in ends.near)
    assert ends.pipes._made == 0


@pytest.fixture(params=WAYS.values(), ids=list(WAYS))
def limit(request):
    return request.param


async def finished(ends):
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait([ends.running])
    return ends.running.exception()


async def test_octets_pass_both_ways_and_are_counted(limit):
    async with relaying(limit, first=b"EHLO ") as ends:
        await ends.send(ends.client, b"client\r\n")
        assert await ends.read(ends.server, 13) == b"EHLO client\r\n"
        await ends.send(ends.server, b"250 ok\r\n")
        assert await ends.read(ends.client, 8) == b"250 ok\r\n"

        assert (ends.relay.sent, ends.relay.received) == (13, 8)


async def test_the_end_of_one_way_leaves_the_other_open(limit):
    async with relaying(limit) as ends:
        await ends.send(ends.client, b"QUIT\r\n")
        ends.client.shutdown(socket.SHUT_WR)
        assert await ends.read(ends.server, 100) == b"QUIT\r\n"

        await ends.send(ends.server, b"221 bye\r\n")
        assert await ends.read(ends.client, 9) == b"221 bye\r\n"
        assert not ends.running.done()

        ends.server.shutdown(socket.SHUT_WR)
        assert await ends.read(ends.client, 100) == b""
        assert await finished(ends) is None


async def test_the_destination_may_end_first(limit):
    async with relaying(limit) as ends:
        ends.server.shutdown(socket.SHUT_WR)
        assert await ends.read(ends.client, 100) == b""
        await ends.send(ends.client, b"still here")
        assert await ends.read(ends.server, 10) == b"still here"
        ends.client.shutdown(socket.SHUT_WR)

        assert await finished(ends) is None


async def test_bulk_arrives_whole_and_in_order_both_ways_at_once(limit):
    up, down = os.urandom(BULK), os.urandom(BULK)
    async with relaying(limit, buffer_octets=32768) as ends:

        async def say(sock, data):
            await ends.send(sock, data)
            sock.shutdown(socket.SHUT_WR)

        async with asyncio.TaskGroup() as group:
            group.create_task(say(ends.client, up))
            group.create_task(say(ends.server, down))
            at_server = group.create_task(ends.read(ends.server, BULK + 1))
            at_client = group.create_task(ends.read(ends.client, BULK + 1))

        assert at_server.result() == up
        assert at_client.result() == down
        assert await finished(ends) is None
        assert (ends.relay.sent, ends.relay.received) == (BULK, BULK)


async def test_who_does_not_read_is_not_read_for(limit):
    async with relaying(limit, buffer_octets=16384) as ends:
        sent = 0
        # Until nothing has moved for a while: every buffer on the way is full.
        for _ in range(10):
            with contextlib.suppress(BlockingIOError):
                while True:
                    sent += ends.client.send(bytes(65536))
            await asyncio.sleep(0.02)
        assert sent < 4 * 1024 * 1024
        held = ends.relay.sent

        assert len(await ends.read(ends.server, sent)) == sent
        assert held < sent or limit == 0
        await ends.send(ends.client, b"x")
        assert await ends.read(ends.server, 1) == b"x"


async def test_a_destination_that_breaks_off_breaks_the_client_off(limit):
    async with relaying(limit) as ends:
        reset(ends.server)

        error = await finished(ends)

        assert error.errno == errno.ECONNRESET
        with pytest.raises(ConnectionResetError):
            await ends.read(ends.client, 1)


async def test_a_client_that_breaks_off_breaks_the_destination_off(limit):
    async with relaying(limit) as ends:
        await ends.send(ends.client, b"DATA\r\n")
        assert await ends.read(ends.server, 6) == b"DATA\r\n"
        reset(ends.client)

        assert isinstance(await finished(ends), OSError)
        with pytest.raises(ConnectionResetError):
            await ends.read(ends.server, 1)


async def test_a_side_that_vanishes_while_octets_wait_for_it_is_noticed(limit):
    async with relaying(limit, buffer_octets=16384) as ends:
        for _ in range(5):
            with contextlib.suppress(BlockingIOError):
                while True:
                    ends.client.send(bytes(65536))
            await asyncio.sleep(0.01)
        reset(ends.server)

        assert isinstance(await finished(ends), OSError)
        with pytest.raises(OSError, match="reset|pipe"):
            while True:
                await ends.send(ends.client, bytes(65536))


async def test_what_is_aborted_is_broken_off_on_both_sides(limit):
    async with relaying(limit) as ends:
        await ends.send(ends.client, b"x")
        assert await ends.read(ends.server, 1) == b"x"
        ends.relay.abort(TimeoutError("idle"))
        ends.relay.abort(TimeoutError("again"))

        assert str(await finished(ends)) == "idle"
        for sock in (ends.client, ends.server):
            with pytest.raises(ConnectionResetError):
                await ends.read(sock, 1)


async def test_first_octets_for_a_destination_that_is_gone_end_it(limit):
    ends = Ends(PipePool(limit))
    reset(ends.server)
    await eventually(lambda: ends.near[1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    with pytest.raises(OSError, match="pipe|reset"):
        await ends.relay.run(b"x" * 100)
    assert all(sock.fileno() < 0 for sock in ends.near)
    ends.client.close()


async def test_when_pipes_run_out_octets_are_copied():
    pipes = PipePool(1)
    taken = pipes.take()
    ends = Ends(pipes)
    running = asyncio.get_running_loop().create_task(ends.relay.run())
    await ends.send(ends.client, b"without a pipe")
    assert await ends.read(ends.server, 14) == b"without a pipe"
    pipes.give(taken)
    await ends.send(ends.client, b"with one")
    assert await ends.read(ends.server, 8) == b"with one"
    ends.client.close()
    ends.server.close()
    await asyncio.wait([running])
    pipes.close()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EPERM])
async def test_where_the_system_does_not_move_octets_they_are_copied(monkeypatch, number, caplog):
    def refuse(*_args, **_more):
        raise OSError(number, "")

    monkeypatch.setattr(os, "splice", refuse)
    async with relaying(8) as ends:
        for _ in range(3):
            await ends.send(ends.client, b"EHLO x\r\n")
            assert await ends.read(ends.server, 8) == b"EHLO x\r\n"

    assert caplog.text.count("octets are copied") == 1


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
