"""A listener: whom it lets in, how many, and that nothing ends it but its owner."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import pytest

from engine.model.cidr import CidrSet
from engine.model.proxy_header import format_proxy_header
from proxy import listener as module
from proxy.access import AccessRules
from proxy.errors import ConfigurationError
from tests.fakes.proxy_world import (
    Peer,
    client_of,
    connected_pair,
    destination,
    eventually,
    metric,
    request,
    running_proxy,
)

pytestmark = pytest.mark.real_time


async def test_clients_of_other_networks_are_closed_without_a_word():
    access = AccessRules(clients=CidrSet(["192.0.2.0/24"]))
    async with running_proxy(access=access) as proxy, client_of(proxy) as client:
        assert await client.read_rest() == b""

        assert metric(proxy, "proxy_connections_denied_total", "network") == 1
        assert metric(proxy, "proxy_connections_accepted_total") == 0


async def test_one_client_more_than_there_may_be_is_closed_and_later_there_is_room():
    async with running_proxy(max_connections=1) as proxy:
        async with client_of(proxy) as first:
            await first.greet()
            async with client_of(proxy) as second:
                assert await second.read_rest() == b""
            assert metric(proxy, "proxy_connections_denied_total", "limit") == 1
        await eventually(lambda: not proxy.listeners[0].clients)
        async with client_of(proxy) as third:
            await third.greet()


async def test_an_error_while_accepting_pauses_and_does_not_end_it(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_S", 0.05)
    async with running_proxy() as proxy:
        listener = proxy.listeners[0]
        real, failures = listener._socket, [errno.EMFILE, errno.ENFILE, errno.ENOBUFS]

        class Failing:
            def accept(self):
                if failures:
                    raise OSError(failures.pop(), "")
                return real.accept()

            def __getattr__(self, name):
                return getattr(real, name)

        listener._socket = Failing()
        async with client_of(proxy) as client:
            await client.greet()

        assert metric(proxy, "proxy_accept_errors_total") == 3
        listener._socket = real


async def test_a_client_that_left_before_it_was_accepted_is_no_error():
    async with running_proxy() as proxy:
        async with client_of(proxy) as client:
            client.reset()
        async with client_of(proxy) as client:
            await client.greet()

        assert metric(proxy, "proxy_accept_errors_total") == 0


async def test_open_sessions_are_counted_and_so_are_destinations():
    async with running_proxy() as proxy, destination() as there:
        async with client_of(proxy) as client:
            await client.greet()
            await client.ask(request("127.0.0.1", there.port))

            assert metric(proxy, "proxy_active_connections") == 1
            assert metric(proxy, "proxy_outbound_connections_total", "127.0.0.1") == 1
        server = await there.next()
        server.close()
        await eventually(lambda: metric(proxy, "proxy_active_connections") == 0)


async def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        host, port = taken.getsockname()
        with pytest.raises(ConfigurationError, match=f"{host}:{port}: Address already in use"):
            async with running_proxy(listen=(host, port)):
                pass


async def test_it_listens_on_ipv6_too():
    async with running_proxy(listen=("::1", 0)) as proxy, client_of(proxy) as client:
        await client.greet()

        assert proxy.listeners[0].counts.label == "[::1]:0"


async def test_a_client_that_is_given_up_before_its_turn_is_closed():
    async with running_proxy() as proxy:
        near, far = connected_pair()
        listener = proxy.listeners[0]
        listener._admit(near, far.getsockname())
        listener.end_dialogues()

        assert await asyncio.get_running_loop().sock_recv(far, 1) == b""
        assert proxy.open == 0
        far.close()


async def test_several_may_share_a_port_that_they_agree_to_share():
    async with running_proxy(reuse_port=True) as first:
        address = first.listeners[0].address
        async with running_proxy(reuse_port=True, listen=address) as second:
            for _ in range(200):
                async with client_of(first) as client:
                    await client.greet()
                if all(metric(one, "proxy_connections_accepted_total") for one in (first, second)):
                    break

            assert metric(first, "proxy_connections_accepted_total") > 0
            assert metric(second, "proxy_connections_accepted_total") > 0


# -- time


@pytest.mark.slow
async def test_a_connection_on_which_nothing_passes_is_broken_off(monkeypatch):
    monkeypatch.setattr(module, "SWEEP_S", 0.02)
    async with (
        running_proxy(idle_timeout_s=0.3) as proxy,
        destination() as there,
        client_of(proxy) as client,
    ):
        await client.greet()
        await client.ask(request("127.0.0.1", there.port))
        server = await there.next()
        for _ in range(20):
            await server.send(b".")
            assert await client.read(1) == b"."
            await asyncio.sleep(0.03)

        with pytest.raises(ConnectionResetError):
            await client.read(1)
        with pytest.raises(ConnectionResetError):
            await server.read(1)
        await eventually(lambda: metric(proxy, "proxy_connections_failed_total") == 1)


async def test_octets_are_counted_while_a_connection_is_open(monkeypatch):
    monkeypatch.setattr(module, "SWEEP_S", 0.02)
    async with running_proxy() as proxy, destination() as there, client_of(proxy) as client:
        await client.greet()
        await client.ask(request("127.0.0.1", there.port))
        server = await there.next()
        await client.send(b"EHLO x\r\n")
        await server.send(b"250 ok, all of it\r\n")

        await eventually(lambda: metric(proxy, "proxy_bytes_client_to_dest_total") == 8)
        await eventually(lambda: metric(proxy, "proxy_bytes_dest_to_client_total") == 19)


# -- clients of one address


async def test_one_address_has_only_so_many_connections():
    async with running_proxy(max_connections_per_client=1) as proxy, client_of(proxy) as first:
        await first.greet()
        async with client_of(proxy) as second:
            assert await second.read_rest() == b""
        async with client_of(proxy, local_addr=("127.0.0.2", 0)) as other:
            await other.greet()

        assert metric(proxy, "proxy_connections_denied_total", "client_limit") == 1
        first.close()
        await eventually(lambda: not proxy.listeners[0]._by_host.keys() & {"127.0.0.1"})
        async with client_of(proxy) as third:
            await third.greet()


# -- balancers

BALANCER = {"proxy_protocol_from": CidrSet(["127.0.0.2"])}
FROM_BALANCER = {"local_addr": ("127.0.0.2", 0)}


async def test_the_client_behind_a_balancer_is_the_one_that_counts():
    header = format_proxy_header(("127.0.0.5", 4711), ("127.0.0.6", 1080))
    async with (
        running_proxy(**BALANCER) as proxy,
        client_of(proxy, **FROM_BALANCER) as client,
    ):
        await client.send(header + b"\5\1\0")
        assert await client.read(2) == b"\5\0"
        (found,) = proxy.clients()

        assert (found.ends.peer, found.ends.local) == (("127.0.0.5", 4711), ("127.0.0.6", 1080))


@pytest.mark.parametrize("source", ["192.0.2.9", "::1"])
async def test_a_client_that_may_not_enter_does_not_by_way_of_a_balancer(source):
    target = "192.0.2.1" if "." in source else "2001:db8::1"
    access = AccessRules(clients=CidrSet(["127.0.0.1"]))
    async with (
        running_proxy(**BALANCER, access=access) as proxy,
        client_of(proxy, **FROM_BALANCER) as client,
    ):
        await client.send(format_proxy_header((source, 4711), (target, 1080)) + b"\5\1\0")

        assert await client.see_end() == b""
        assert metric(proxy, "proxy_connections_denied_total", "network") == 1


async def test_what_a_balancer_says_of_itself_counts_as_its_own():
    async with (
        running_proxy(**BALANCER) as proxy,
        client_of(proxy, **FROM_BALANCER) as client,
    ):
        await client.send(b"PROXY UNKNOWN\r\n\5\1\0")
        assert await client.read(2) == b"\5\0"
        (found,) = proxy.clients()

        assert found.ends.peer == client.address


@pytest.mark.parametrize("said", [b"\5\1\0", b"PROXY TCP4", b""])
async def test_a_balancer_without_a_header_is_left(said):
    async with (
        running_proxy(**BALANCER, timeout_s=0.2) as proxy,
        client_of(proxy, **FROM_BALANCER) as client,
    ):
        await client.send(said)

        assert await client.see_end() == b""


async def test_who_is_no_balancer_cannot_say_who_it_is():
    header = format_proxy_header(("127.0.0.5", 4711), ("127.0.0.6", 1080))
    async with running_proxy(**BALANCER) as proxy, client_of(proxy) as client:
        await client.send(header + b"\5\1\0")

        assert await client.see_end() == b""


# -- TLS


async def test_a_client_in_tls_reaches_its_destination_behind_a_balancer_too():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with running_proxy(use_tls=True, **BALANCER) as proxy, destination() as there:
        sock = socket.socket()
        sock.bind(("127.0.0.2", 0))
        sock.connect(proxy.listeners[0].address)
        sock.sendall(format_proxy_header(("127.0.0.5", 4711), ("127.0.0.6", 1080)))
        opened = await asyncio.open_connection(sock=sock, ssl=context, server_hostname="x")
        client = Peer(*opened)
        await client.greet()
        assert (await client.ask(request("127.0.0.1", there.port)))[0] == 0
        server = await there.next()
        await client.send(b"EHLO x\r\n")
        assert await server.read(8) == b"EHLO x\r\n"
        client.writer.transport.abort()


@pytest.mark.parametrize("said", [b"\5\1\0" * 10, b""])
async def test_who_speaks_no_tls_is_counted(said):
    async with running_proxy(use_tls=True, timeout_s=0.3) as proxy, client_of(proxy) as client:
        await client.send(said)
        await client.see_end()

        await eventually(lambda: metric(proxy, "proxy_tls_handshake_failures_total") == 1)
        assert metric(proxy, "proxy_connections_failed_total") == 1


# -- what operators are told


async def test_what_is_refused_is_in_the_log_with_who_and_where(caplog):
    async with running_proxy() as proxy, client_of(proxy) as client:
        await client.greet()
        await client.ask(request("127.0.0.7", 0, 2))
        await client.ask(request("198.51.100.9", 25))
        await client.read_rest()
        client.close()

        refused = "proxy_requests_refused_total"
        await eventually(lambda: metric(proxy, refused, "AccessDenied") == 1)
    assert (
        "127.0.0.1: from 127.0.0.7 to 198.51.100.9:25: no rule allows this destination"
        in caplog.text
    )


async def test_a_destination_that_cannot_be_reached_is_no_line(caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with running_proxy() as proxy, client_of(proxy) as client:
            await client.greet()
            await client.ask(request("127.0.0.1", taken.getsockname()[1]))
            await client.read_rest()
            client.close()

            refused = "proxy_requests_refused_total"
            await eventually(lambda: metric(proxy, refused, "ConnectFailed") == 1)
    assert "127.0.0.1: " not in caplog.text
