"""A listener: whom it lets in, how many, and that nothing ends it but its owner."""

from __future__ import annotations

import errno
import socket

import pytest

from engine.model.cidr import CidrSet
from proxy import listener as module
from proxy.access import AccessRules
from proxy.errors import ConfigurationError
from tests.fakes.proxy_world import (
    client_of,
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
        await eventually(lambda: not proxy.listeners[0].sessions)
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

        assert proxy.listeners[0].label == "[::1]:0"
