"""The way out: from the source that was asked for, and with a reason when there is none."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from proxy import outbound
from proxy.errors import ConnectFailedError, ReplyCode, SourceUnavailableError
from proxy.outbound import bind_source, connect, keep_alive
from proxy.settings import KeepAlive
from tests.fakes.proxy_world import destination

pytestmark = pytest.mark.real_time


async def test_it_leaves_from_the_source_that_was_bound():
    async with destination() as there:
        bound = bind_source("127.0.0.7")
        sock = await connect("127.0.0.1", there.port, bound=bound, timeout_s=5.0)
        await there.next()

        assert sock is bound
        assert there.came_from == [sock.getsockname()]
        assert sock.getsockname()[0] == "127.0.0.7"
        sock.close()


async def test_one_port_of_a_source_serves_several_destinations():
    async with destination() as first, destination() as second:
        source = bind_source("127.0.0.7")
        assert source.getsockname()[1] == 0
        sock = await connect("127.0.0.1", first.port, bound=source, timeout_s=5.0)
        again = socket.socket()
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other = bind_source("127.0.0.7")
        more = await connect("127.0.0.1", second.port, bound=other, timeout_s=5.0)

        assert sock.getsockname()[1] > 0
        assert more.getsockname()[1] > 0
        for each in (sock, more, again):
            each.close()


async def test_without_a_source_the_system_chooses():
    async with destination() as there:
        sock = await connect("127.0.0.1", there.port, bound=None, timeout_s=5.0)

        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not sock.getblocking()
        sock.close()


@pytest.mark.parametrize("source", ["192.0.2.7", "2001:db8::7"])
def test_a_source_of_another_host_is_named(source):
    with pytest.raises(SourceUnavailableError, match=f"cannot leave from {source}: "):
        bind_source(source)


def test_without_descriptors_there_is_no_source(monkeypatch):
    def refuse(*_args):
        raise OSError(errno.EMFILE, "")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(SourceUnavailableError, match="no socket: Too many open files"):
        bind_source("127.0.0.1")


async def test_source_and_destination_are_of_one_family():
    bound = bind_source("::1")

    with pytest.raises(ConnectFailedError, match="Address family") as caught:
        await connect("127.0.0.1", 25, bound=bound, timeout_s=5.0)

    assert caught.value.reply is ReplyCode.GENERAL_FAILURE
    assert bound.fileno() < 0


async def test_a_port_where_nobody_listens_is_said_to_refuse():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        bound = bind_source("127.0.0.7")
        with pytest.raises(ConnectFailedError, match="Connection refused") as caught:
            await connect("127.0.0.1", taken.getsockname()[1], bound=bound, timeout_s=5.0)

    assert caught.value.reply is ReplyCode.CONNECTION_REFUSED
    assert bound.fileno() < 0


@pytest.mark.parametrize(
    ("number", "reply"),
    [
        (errno.ENETUNREACH, ReplyCode.NETWORK_UNREACHABLE),
        (errno.EHOSTUNREACH, ReplyCode.HOST_UNREACHABLE),
        (errno.ETIMEDOUT, ReplyCode.TIMED_OUT),
        (errno.EPERM, ReplyCode.GENERAL_FAILURE),
    ],
)
async def test_what_the_system_says_becomes_the_reply(monkeypatch, number, reply):
    async def fail(*_args):
        raise OSError(number, "")

    monkeypatch.setattr(outbound, "_connect", fail)
    with pytest.raises(ConnectFailedError) as caught:
        await connect("127.0.0.1", 25, bound=None, timeout_s=5.0)

    assert caught.value.reply is reply


@pytest.fixture
async def deaf(monkeypatch):
    """Have every destination be one that does not answer."""

    def connect(_sock, _address):
        raise BlockingIOError(errno.EINPROGRESS, "")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(asyncio.get_running_loop(), "add_writer", lambda *_: None)


async def test_a_destination_that_does_not_answer_is_given_up(deaf):
    bound = bind_source("127.0.0.7")

    with pytest.raises(ConnectFailedError, match="no answer within 0 s") as caught:
        await connect("127.0.0.1", 25, bound=bound, timeout_s=0.01)

    assert caught.value.reply is ReplyCode.TIMED_OUT
    assert bound.fileno() < 0


async def test_a_session_that_is_cancelled_leaves_no_socket(deaf):
    bound = bind_source("127.0.0.7")
    work = connect("127.0.0.1", 25, bound=bound, timeout_s=5.0)
    waiting = asyncio.get_running_loop().create_task(work)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert bound.fileno() < 0


def test_silent_connections_are_probed_as_configured():
    with socket.socket() as sock:
        keep_alive(sock, KeepAlive(time_s=100, interval_s=10, retries=2))

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [sock.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [100, 10, 2]


def test_or_not_at_all():
    with socket.socket() as sock:
        keep_alive(sock, KeepAlive(enabled=False))

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def test_probing_a_connection_that_is_gone_is_no_error():
    sock = socket.socket()
    sock.close()

    keep_alive(sock, KeepAlive())

    assert sock.fileno() < 0
