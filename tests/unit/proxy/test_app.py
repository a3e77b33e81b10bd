"""The proxy as a whole, in this process: what it brings up, follows, keeps and lets finish."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

import aiohttp
import pytest

from engine.model.cidr import CidrSet
from proxy import app as module
from proxy import user_file
from proxy.access import AccessRules
from proxy.app import Proxy
from proxy.errors import ConfigurationError
from proxy.settings import HttpOptions, ProxySettings, SocksOptions
from proxy.user_file import PasswordHash
from tests.fakes.proxy_world import (
    HERE,
    client_of,
    credentials,
    destination,
    eventually,
    metric,
    request,
    running_proxy,
)
from tests.samples.running_node import free_ports

pytestmark = pytest.mark.real_time
ANYWHERE = SocksOptions(("127.0.0.1", 0), access=HERE)
SCRIPT = """\
import mta.proxy
from mta import on


@on("proxy_init")
def proxy_init():
    mta.proxy.start_proxy_listener(listen="127.0.0.1:0", allow_destinations=["127.0.0.1:*"])
"""
AUTH = """

@on("proxy_auth")
def proxy_auth(user, password, conn):
    return password == "secret"
"""


class World:
    """A folder with a script, and proxies that run on it."""

    def __init__(self, folder):
        self.policy = folder / "policy.py"

    @contextlib.asynccontextmanager
    async def running(self, script=SCRIPT, *, drain_s=0.1):
        self.policy.write_text(script)
        proxy = Proxy(script=self.policy, drain_s=drain_s)
        await proxy.start()
        try:
            yield proxy
        finally:
            await proxy.stop()
        assert proxy.supervisor.defects == proxy.sessions.defects == 0

    async def edit(self, proxy, *changes):
        """Change the script, and have the proxy look."""
        text = self.policy.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.policy.write_text(text)
        await proxy.reload()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


async def connected(client, there):
    """Return the destination's end of a client's connection."""
    await client.greet()
    assert (await client.ask(request("127.0.0.1", there.port)))[0] == 0
    return await there.next()


# -- start and end


async def test_it_listens_wherever_it_is_told_and_ends_in_good_order():
    hosts = ("127.0.0.1", "::1")
    listeners = tuple(SocksOptions((host, 0), access=HERE) for host in hosts)
    proxy = Proxy(ProxySettings(listeners), drain_s=0.1)
    await proxy.start()

    assert [one.address[0] for one in proxy.listeners] == list(hosts)
    async with client_of(proxy) as client:
        await client.greet()
        await proxy.stop()
        assert await client.read_rest() == b""
    assert len(proxy.supervisor) == len(proxy.sessions) == 0


async def test_connections_may_finish_while_it_drains_and_dialogues_may_not():
    async with destination() as there, contextlib.AsyncExitStack() as stack:
        proxy = Proxy(ProxySettings((ANYWHERE,)), drain_s=10.0)
        await proxy.start()
        talking, asking = [await stack.enter_async_context(client_of(proxy)) for _ in range(2)]
        server = await connected(talking, there)
        await asking.greet()
        stopping = asyncio.get_running_loop().create_task(proxy.stop())

        assert await asking.read_rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await stack.enter_async_context(client_of(proxy))
        await server.send(b"250 ok\r\n")
        assert await talking.read(8) == b"250 ok\r\n"
        assert not stopping.done()
        server.end()
        talking.end()
        async with asyncio.timeout(5):
            await stopping


async def test_what_does_not_finish_in_time_is_broken_off():
    async with destination() as there, running_proxy() as proxy, client_of(proxy) as client:
        server = await connected(client, there)
        await proxy.stop()

        for peer in (client, server):
            with pytest.raises(ConnectionResetError):
                await peer.read(1)


async def test_a_port_in_use_ends_the_start_and_leaves_nothing_open():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = ProxySettings(
            (ANYWHERE, SocksOptions(taken.getsockname(), access=HERE)),
            (HttpOptions(taken.getsockname()),),
        )
        proxy = Proxy(settings)
        with pytest.raises(ConfigurationError, match=r"cannot listen on .*; cannot listen on "):
            await proxy.start()

        (listener,) = proxy.listeners
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*listener.address)


async def test_a_certificate_that_is_not_there_ends_the_start_with_its_reason():
    tls = {"use_tls": True, "tls_certificate": "/nowhere/tls.pem"}
    for settings in (
        ProxySettings((SocksOptions(("127.0.0.1", 0), **tls),)),
        ProxySettings((ANYWHERE,), (HttpOptions(("127.0.0.1", 0), **tls),)),
    ):
        with pytest.raises(ConfigurationError, match=r"cannot speak TLS on .*/nowhere/tls\.pem"):
            await Proxy(settings).start()


async def test_operators_can_be_answered_in_tls():
    options = HttpOptions(("127.0.0.1", 0), use_tls=True)
    proxy = Proxy(ProxySettings((ANYWHERE,), (options,)), drain_s=0.0)
    await proxy.start()
    ((_, service),) = proxy.services
    url = f"https://127.0.0.1:{service.port}/proxy/status"
    async with aiohttp.ClientSession() as session, session.get(url, ssl=False) as answer:
        assert answer.status == 200
    await proxy.stop()


# -- changes


async def test_changed_rules_hold_for_new_clients_and_connections_go_on(world):
    async with world.running() as proxy, destination() as there, client_of(proxy) as before:
        server = await connected(before, there)
        address = proxy.listeners[0].address
        await world.edit(proxy, ('"127.0.0.1:*"', '"127.0.0.2"'))

        assert proxy.listeners[0].address == address
        async with client_of(proxy) as after:
            await after.greet()
            assert (await after.ask(request("127.0.0.1", there.port)))[0] == 2
        await before.send(b"x")
        assert await server.read(1) == b"x"


async def test_a_listener_that_is_declared_no_more_closes_and_its_clients_go_on(world):
    line = "    mta.proxy.start_proxy_listener("
    more = f'{line}listen="127.0.0.2:0")\n{line}'
    async with world.running() as proxy, destination() as there, client_of(proxy) as client:
        server = await connected(client, there)
        first = proxy.listeners[0]
        await world.edit(proxy, (line, more))
        assert [one.address[0] for one in proxy.listeners] == ["127.0.0.2", "127.0.0.1"]
        await world.edit(proxy, (f'{line}listen="127.0.0.1:0"', f'{line}listen="127.0.0.3:0"'))

        assert [one.address[0] for one in proxy.listeners] == ["127.0.0.2", "127.0.0.3"]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*first.address)
        assert proxy.open == 1
        await server.send(b"x")
        assert await client.read(1) == b"x"
        client.close()
        server.close()
        await eventually(lambda: proxy.open == 0)
        await proxy.refresh()
        assert proxy._leaving == []


async def test_every_address_can_take_the_place_of_one(world):
    (port,) = free_ports(1)
    async with world.running(SCRIPT.replace("127.0.0.1:0", f"127.0.0.1:{port}")) as proxy:
        await world.edit(proxy, (f"127.0.0.1:{port}", f"0.0.0.0:{port}"))

        assert proxy.failing is None
        assert [one.address for one in proxy.listeners] == [("0.0.0.0", port)]


async def test_a_script_with_a_mistake_is_not_taken_and_later_it_is(world, caplog):
    async with world.running() as proxy:
        await world.edit(proxy, ("listen=", "lisen="))
        assert "policy rejected, the running one stays" in caplog.text
        async with client_of(proxy) as client:
            await client.greet()
        await world.edit(proxy, ("lisen=", "max_connections=5, listen="))

        assert proxy.listeners[0].options.max_connections == 5


async def test_a_listener_that_cannot_be_had_leaves_the_others_and_is_tried_again(world, caplog):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = "    mta.proxy.start_proxy_listener("
        async with world.running() as proxy:
            await world.edit(proxy, (line, f'{line}listen="127.0.0.1:{port}")\n{line}'))
            await proxy.refresh()

            assert f"cannot listen on 127.0.0.1:{port}" in proxy.failing
            assert caplog.text.count("Address already in use") == 1
            assert metric(proxy, "proxy_policy_failing") == 1
            async with client_of(proxy) as client:
                await client.greet()
            taken.close()
            await proxy.refresh()
            assert proxy.failing is None
            assert metric(proxy, "proxy_policy_failing") == 0
            assert port in [one.address[1] for one in proxy.listeners]


async def test_a_certificate_that_cannot_be_had_keeps_the_options_as_they_were(world):
    async with world.running() as proxy:
        await world.edit(proxy, ("listen=", 'use_tls=True, tls_certificate="gone.pem", listen='))

        assert "gone.pem" in proxy.failing
        async with client_of(proxy) as client:
            await client.greet()


async def test_tls_can_be_switched_on(world):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with world.running() as proxy, destination() as there:
        await world.edit(proxy, ("listen=", "use_tls=True, listen="))
        async with client_of(proxy, ssl=context) as client:
            server = await connected(client, there)
            await client.send(b"EHLO x\r\n")
            assert await server.read(8) == b"EHLO x\r\n"


async def test_passwords_can_be_judged_by_a_script_as_soon_as_it_does(world):
    async with world.running() as proxy:
        async with client_of(proxy) as client:
            await client.greet()
        world.policy.write_text(SCRIPT + AUTH)
        await proxy.reload()
        async with client_of(proxy) as client:
            await client.send(b"\5\1\0")
            assert await client.read(2) == b"\5\xff"
        for password, answer in (("secret", b"\1\0"), ("wrong", b"\1\1")):
            async with client_of(proxy) as client:
                await client.send(b"\5\2\0\2" + credentials("node", password))
                assert await client.read(4) == b"\5\2" + answer


async def test_users_of_a_file_are_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(user_file, "_COST_LOG2", 4)
    users = tmp_path / "users"
    users.write_text(f"node:{PasswordHash.make(b'secret')}\n")

    async def enter(proxy, name):
        async with client_of(proxy) as client:
            await client.send(b"\5\1\2" + credentials(name, "secret"))
            return (await client.read(4))[3]

    async with running_proxy(users_file=users) as proxy:
        assert [await enter(proxy, name) for name in ("node", "more")] == [0, 1]
        users.write_text(f"more:{PasswordHash.make(b'secret')}\n")
        await proxy.refresh()
        assert [await enter(proxy, name) for name in ("node", "more")] == [1, 0]
        users.write_text("more\n")
        await proxy.refresh()
        assert await enter(proxy, "more") == 0
        assert proxy.failing == f"{users}:1: a line is name:hash or name:hash:groups"


async def test_a_file_of_users_that_is_not_there_ends_the_start(tmp_path):
    with pytest.raises(ConfigurationError, match="users: .*gone: No such file"):
        async with running_proxy(users_file=tmp_path / "gone"):
            pass


@pytest.mark.slow
async def test_changes_are_found_without_being_told(world, monkeypatch):
    monkeypatch.setattr(module, "REFRESH_S", 0.02)
    async with world.running() as proxy:
        world.policy.write_text(SCRIPT.replace("listen=", "max_connections=7, listen="))

        await eventually(lambda: proxy.listeners[0].options.max_connections == 7)


async def test_a_defect_while_looking_for_changes_does_not_end_the_looking(monkeypatch, caplog):
    monkeypatch.setattr(module, "REFRESH_S", 0.01)
    async with running_proxy() as proxy:
        looked = []

        def fail(**_):
            looked.append(1)
            raise ZeroDivisionError

        monkeypatch.setattr(proxy.authentication, "refresh", fail)
        await eventually(lambda: len(looked) > 1)

    assert "looking for changes met a defect" in caplog.text


async def test_http_listeners_come_and_go_with_the_script(world):
    line = "    mta.proxy.start_proxy_listener("
    http = '    mta.proxy.start_http_listener(listen="127.0.0.1:0")\n'
    async with world.running() as proxy:
        await world.edit(proxy, (line, http + line))
        ((_, service),) = proxy.services
        port = service.port
        await world.edit(proxy, (http, ""))

        assert proxy.services == []
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


# -- names


async def test_destinations_can_be_named_where_that_is_allowed(world):
    zone = "$ORIGIN x.test.\\nmx 60 IN A 127.0.0.1\\nmx 60 IN A 127.0.0.9\\nother 60 IN A 127.0.0.9"
    script = SCRIPT.replace("listen=", "resolve_names=True, listen=") + (
        f'    mta.dns.configure_test_resolver(zones=["{zone}"])\n'
    )
    async with world.running(script) as proxy, destination() as there:
        for name, code in (("mx.x.test", 0), ("other.x.test", 2), ("gone.x.test", 4)):
            async with client_of(proxy) as client:
                await client.greet()
                assert (await client.ask(request(name, there.port)))[0] == code
        assert len(there.came_from) == 1


async def test_every_address_of_a_name_is_tried(world):
    zone = "$ORIGIN x.test.\\nmx 60 IN A 127.0.0.1\\nmx 60 IN A 127.0.0.9"
    script = SCRIPT.replace("listen=", "resolve_names=True, listen=")
    script = script.replace('"127.0.0.1:*"', '"127.0.0.0/8:*"') + (
        f'    mta.dns.configure_test_resolver(zones=["{zone}"])\n'
    )
    async with world.running(script) as proxy, destination("127.0.0.9") as there:
        async with client_of(proxy) as client:
            await client.greet()
            await client.ask(request("127.0.0.7", 0, 2))
            assert (await client.ask(request("mx.x.test", there.port)))[:2] == (0, "127.0.0.7")
        assert [host for host, _ in there.came_from] == ["127.0.0.7"]


async def test_who_may_not_enter_is_told_to_the_operator(caplog):
    access = AccessRules(clients=CidrSet(["192.0.2.0/24"]))
    async with running_proxy(access=access) as proxy:
        for _ in range(3):
            async with client_of(proxy) as client:
                await client.read_rest()

    assert caplog.text.count("in no network that clients are allowed from") == 1
