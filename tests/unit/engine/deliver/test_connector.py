"""Connections, and why there is none."""

import asyncio
import errno
import socket

import pytest

from engine.deliver.connector import open_connection
from engine.deliver.local_socket import UNPLUMBED, LocalResourceError
from engine.model.egress import make_egress_source
from engine.model.errors import ConnectFailedError, PeerTimeoutError
from engine.route.mx_plan import Candidate
from tests.fakes.scripted_peer import scripted_peer


async def _nobody(host):
    raise AssertionError(f"{host} was looked up")


async def connect(address, port, *, local=None, timeout_s=5.0):
    source = make_egress_source(name="s", **({"source_address": local} if local else {}))
    return await open_connection(
        Candidate("mx.test", address, port), source, asyncio.Protocol, timeout_s, _nobody
    )


async def failure_of(monkeypatch, number, **options):
    """Return what a connection attempt that ends with this error number raises."""

    def refuse(*_args):
        raise OSError(number, "refused by the test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(ConnectFailedError) as caught:
        await connect("127.0.0.1", 25, **options)
    return caught.value


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_connects_from_the_address_of_the_source(host):
    async with scripted_peer(host=host) as peer:
        transport, _, _ = await connect(host, peer.port, local=host)
        assert transport.get_extra_info("sockname")[0] == host
        link = transport.get_extra_info("socket")
        assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.abort()


async def test_two_connections_of_a_source_may_share_a_port():
    async with scripted_peer() as one, scripted_peer() as two:
        first, _, _ = await connect("127.0.0.1", one.port, local="127.0.0.3")
        link = first.get_extra_info("socket")
        assert link.getsockopt(socket.IPPROTO_IP, 24) == 1
        second, _, _ = await connect("127.0.0.1", two.port, local="127.0.0.3")
        first.abort()
        second.abort()


async def test_a_refused_connection_says_so():
    with pytest.raises(ConnectFailedError, match="ECONNREFUSED"):
        await connect("127.0.0.1", 1)


async def test_an_address_that_is_not_on_this_machine_says_so():
    with pytest.raises(ConnectFailedError, match=UNPLUMBED) as caught:
        await connect("127.0.0.1", 25, local="192.0.2.1")

    assert not isinstance(caught.value, LocalResourceError)


async def test_families_that_do_not_fit_fail():
    with pytest.raises(ConnectFailedError, match="family"):
        await connect("127.0.0.1", 25, local="::1")


@pytest.mark.parametrize("address", ["mx.test", "", "127.0.0.1.9", "a\x00b"])
async def test_a_name_is_never_looked_up(address):
    with pytest.raises(ConnectFailedError):
        await connect(address, 25)


@pytest.mark.parametrize(
    "number",
    [errno.EACCES, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ECONNRESET, errno.EPERM],
)
async def test_what_the_network_says_is_a_failed_host(monkeypatch, number):
    error = await failure_of(monkeypatch, number)

    assert errno.errorcode[number] in str(error)
    assert not isinstance(error, LocalResourceError)


async def test_a_connection_that_the_kernel_gave_up_is_a_failed_host(monkeypatch):
    assert "ETIMEDOUT" in str(await failure_of(monkeypatch, errno.ETIMEDOUT))


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL]
)
@pytest.mark.parametrize("local", [None, "127.0.0.1"])
async def test_what_this_machine_lacks_is_told_apart(monkeypatch, number, local):
    error = await failure_of(monkeypatch, number, local=local)

    assert isinstance(error, LocalResourceError)


async def test_running_out_of_descriptors_is_told_apart(monkeypatch):
    def refuse(*_args):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(LocalResourceError, match="EMFILE"):
        await connect("127.0.0.1", 25)


def silence(monkeypatch):
    """Have connections never come about."""

    def pending(*_args):
        raise BlockingIOError(errno.EINPROGRESS, "in progress")

    monkeypatch.setattr(socket.socket, "connect", pending)
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "add_writer", lambda *_args: None)
    return loop


async def test_a_silent_network_ends_at_its_time(monkeypatch):
    loop = silence(monkeypatch)
    started = loop.time()
    with pytest.raises(PeerTimeoutError, match="no connection within 30 s"):
        await connect("127.0.0.1", 25, timeout_s=30)

    assert loop.time() - started < 31


async def test_a_socket_that_is_not_handed_over_is_closed(monkeypatch):
    made = []
    real = socket.socket

    def make(*args):
        made.append(real(*args))
        return made[-1]

    silence(monkeypatch)
    monkeypatch.setattr(socket, "socket", make)
    task = asyncio.ensure_future(connect("127.0.0.1", 25))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])

    assert [link.fileno() for link in made] == [-1]


async def test_a_host_that_answers_late_is_connected(monkeypatch):
    real = socket.socket.connect

    def late(link, target):
        real(link, target)
        raise BlockingIOError(errno.EINPROGRESS, "in progress")

    monkeypatch.setattr(socket.socket, "connect", late)
    async with scripted_peer() as peer:
        transport, _, _ = await connect("127.0.0.1", peer.port)
        transport.abort()


async def test_a_host_that_refuses_late_says_so(monkeypatch):
    def late(link, _target):
        raise BlockingIOError(errno.EINPROGRESS, "in progress")

    monkeypatch.setattr(socket.socket, "connect", late)
    monkeypatch.setattr(socket.socket, "getsockopt", lambda *_args: errno.ECONNREFUSED)
    with pytest.raises(ConnectFailedError, match="ECONNREFUSED"):
        await connect("127.0.0.1", 25)
