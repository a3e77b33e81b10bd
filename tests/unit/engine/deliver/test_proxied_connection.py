"""Connections through proxies: the source that was asked for, and whose trouble it is."""

from __future__ import annotations

import asyncio

import pytest

from engine.deliver.connector import open_connection
from engine.deliver.local_socket import ProxySourceError, ProxyTroubleError, SourceUnplumbedError
from engine.model.egress import make_egress_source
from engine.model.errors import ConnectFailedError, PeerTimeoutError, RouteNotFoundError
from engine.route.mx_plan import Candidate
from tests.fakes.scripted_peer import scripted_peer
from tests.fakes.socks_server import socks_server

pytestmark = pytest.mark.real_time


async def connect(peer_port, resolve=None, *, timeout_s=5.0, address="127.0.0.1", **options):
    async def as_it_is(host):
        return (host,)

    source = make_egress_source(name="s", **options)
    return await open_connection(
        Candidate("mx.test", address, peer_port),
        source,
        asyncio.Protocol,
        timeout_s,
        resolve or as_it_is,
    )


@pytest.fixture
async def proxy():
    async with socks_server() as made:
        yield made


@pytest.fixture
async def peer():
    async with scripted_peer() as made:
        yield made


def by(proxy, **options):
    return {"socks5_proxy_server": f"127.0.0.1:{proxy.port}", **options}


async def test_a_source_of_the_proxy_is_what_the_host_sees(proxy, peer):
    link = await connect(peer.port, **by(proxy, socks5_proxy_source_address="127.0.0.5"))
    assert proxy.asked == [(2, "127.0.0.5", 0), (1, "127.0.0.1", peer.port)]
    assert link.source_address.address == "127.0.0.5"
    assert link.source_address.protocol == "socks5"
    assert link.source_address.server == f"127.0.0.1:{proxy.port}"
    link.transport.abort()


async def test_without_a_source_any_proxy_will_do(proxy, peer):
    link = await connect(peer.port, **by(proxy))
    assert proxy.asked == [(1, "127.0.0.1", peer.port)]
    assert link.source_address.address == "127.0.0.1"
    link.transport.abort()


async def test_user_and_password_are_given_to_a_proxy_that_asks(proxy, peer, tmp_path):
    proxy.credentials = ("me", "secret")
    (tmp_path / "password").write_text("secret\n")
    for password in ({"key_data": "secret"}, str(tmp_path / "password")):
        options = {"socks5_proxy_username": "me", "socks5_proxy_password": password}
        (await connect(peer.port, **by(proxy, **options))).transport.abort()
    assert proxy.users == [("me", "secret")] * 2


async def test_a_password_that_cannot_be_read_is_trouble_with_the_proxy(proxy, peer):
    proxy.credentials = ("me", "secret")
    options = {"socks5_proxy_username": "me", "socks5_proxy_password": "/none"}
    with pytest.raises(ProxyTroubleError, match="cannot be read"):
        await connect(peer.port, **by(proxy, **options))


async def test_a_source_that_the_proxy_does_not_have_is_told_apart(proxy, peer):
    proxy.codes = {2: 1}
    with pytest.raises(ProxySourceError, match=r"does not give the source 192\.0\.2\.7"):
        await connect(peer.port, **by(proxy, socks5_proxy_source_address="192.0.2.7"))


async def test_a_host_that_refuses_is_not_the_fault_of_the_proxy(proxy, peer):
    proxy.codes = {1: 5}
    with pytest.raises(ConnectFailedError, match=r"^connection failed: ECONNREFUSED$") as caught:
        await connect(peer.port, **by(proxy))
    assert not isinstance(caught.value, ProxyTroubleError)


async def test_a_proxy_that_is_not_there_is_named(peer):
    with pytest.raises(ProxyTroubleError, match=r"proxy 127\.0\.0\.1:1: Connection refused"):
        await connect(peer.port, socks5_proxy_server="127.0.0.1:1")


async def test_a_proxy_that_speaks_something_else_is_named(proxy, peer):
    proxy.greeting = b"HTTP/1.0 400 Bad Request\r\n\r\n"
    with pytest.raises(ProxyTroubleError, match="does not speak SOCKS5"):
        await connect(peer.port, **by(proxy))
    proxy.greeting = b""
    with pytest.raises(ProxyTroubleError, match="closed the connection"):
        await connect(peer.port, **by(proxy))


@pytest.mark.parametrize("stage", ["greeting", "bind", "connect"])
async def test_a_proxy_that_falls_silent_ends_at_the_deadline(proxy, peer, stage):
    proxy.silent_at = stage
    options = by(proxy, socks5_proxy_source_address="127.0.0.5")
    kind = PeerTimeoutError if stage == "connect" else ProxyTroubleError
    with pytest.raises(kind):
        await connect(peer.port, timeout_s=0.3, **options)


async def test_every_address_of_the_proxy_is_tried(proxy, peer):
    async def resolve(host):
        assert host == "proxy.test"
        return ("127.0.0.77", "127.0.0.1")

    server = f"proxy.test:{proxy.port}"
    link = await connect(peer.port, resolve, socks5_proxy_server=server)
    assert link.source_address.server == server
    link.transport.abort()


async def test_a_name_that_is_not_there_is_trouble_with_the_proxy(peer):
    async def resolve(host):
        raise RouteNotFoundError(f"the host {host} does not exist")

    with pytest.raises(ProxyTroubleError, match=r"proxy\.test:1080: the host proxy\.test does not"):
        await connect(peer.port, resolve, socks5_proxy_server="proxy.test:1080")


async def test_addresses_of_another_family_than_the_own_are_left_out(peer):
    async def resolve(_host):
        return ("::1",)

    with pytest.raises(ProxyTroubleError, match="no address that can be reached"):
        await connect(
            peer.port, resolve, socks5_proxy_server="p.test:1", source_address="127.0.0.1"
        )


async def test_an_own_address_that_is_not_here_is_no_trouble_with_the_proxy(proxy, peer):
    with pytest.raises(SourceUnplumbedError):
        await connect(peer.port, **by(proxy, source_address="192.0.2.99"))


async def test_haproxy_is_told_source_and_host_in_the_header():
    got = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        got.set_result(await reader.readexactly(28))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = await connect(
        2525,
        address="192.0.2.1",
        ha_proxy_server=f"127.0.0.1:{port}",
        ha_proxy_source_address="10.0.0.7",
    )
    assert await got == (
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x0a\x00\x00\x07\xc0\x00\x02\x01\x00\x00\x09\xdd"
    )
    assert link.source_address.address == "10.0.0.7:0"
    assert link.source_address.protocol == "haproxy"
    link.transport.abort()
    server.close()
