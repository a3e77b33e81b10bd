"""What operators see: listeners, clients, metrics, and whether clients are taken."""

from __future__ import annotations

import contextlib

import aiohttp
import pytest

from engine.model.cidr import CidrSet
from proxy.app import Proxy
from proxy.settings import HttpOptions, ProxySettings, SocksOptions
from tests.fakes.proxy_world import HERE, client_of, destination, eventually, request

pytestmark = pytest.mark.real_time


@contextlib.asynccontextmanager
async def seen(**http):
    """Run a proxy, and yield it with a function that gets a page of it."""
    options = HttpOptions(("127.0.0.1", 0), **http)
    settings = ProxySettings((SocksOptions(("127.0.0.1", 0), access=HERE),), (options,))
    proxy = Proxy(settings, drain_s=0.1)
    await proxy.start()
    ((_, service),) = proxy.services

    async with aiohttp.ClientSession() as session:

        async def get(path):
            async with session.get(f"http://127.0.0.1:{service.port}{path}") as answer:
                is_json = answer.content_type == "application/json"
                return answer.status, await answer.json() if is_json else await answer.text()

        try:
            yield proxy, get
        finally:
            await proxy.stop()


async def test_the_status_shows_listeners_and_what_they_moved():
    async with seen() as (proxy, get), destination() as there, client_of(proxy) as client:
        await client.greet()
        await client.ask(request("127.0.0.1", there.port))
        await client.send(b"EHLO x\r\n")
        server = await there.next()
        await server.read(8)
        server.end()
        client.end()
        await eventually(lambda: not proxy.open)

        status, found = await get("/proxy/status")

    port = proxy.listeners[0].address[1]
    assert status == 200
    assert found.pop("version")
    assert found.pop("uptime_seconds") >= 0
    assert found == {
        "status": "ok",
        "failing": None,
        "connections": 0,
        "listeners": [
            {
                "listen": f"127.0.0.1:{port}",
                "tls": False,
                "connections": 0,
                "max_connections": 32768,
                "accepted": 1,
                "completed": 1,
                "failed": 0,
                "bytes_client_to_dest": 8,
                "bytes_dest_to_client": 0,
            }
        ],
    }


async def test_sessions_show_who_is_connected_where():
    async with seen() as (proxy, get), destination() as there, client_of(proxy) as client:
        await client.greet()
        assert (await get("/proxy/sessions"))[1][0]["destination"] is None
        await client.ask(request("127.0.0.7", 0, 2))
        await client.ask(request("127.0.0.1", there.port))
        await client.send(b"EHLO x\r\n")
        await (await there.next()).read(8)

        status, (found,) = await get("/proxy/sessions")

        assert status == 200
        assert found.pop("age_seconds") >= 0
        assert found == {
            "client": "{}:{}".format(*client.address),
            "listener": "{}:{}".format(*proxy.listeners[0].address),
            "identities": [],
            "source": "127.0.0.7",
            "destination": f"127.0.0.1:{there.port}",
            "is_connected": True,
            "bytes_client_to_dest": 8,
            "bytes_dest_to_client": 0,
        }


async def test_only_so_many_sessions_are_shown_the_oldest_first():
    async with seen() as (proxy, get), contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client_of(proxy)) for _ in range(3)]
        for client in clients:
            await client.greet()
        _, found = await get("/proxy/sessions?limit=2")

        assert [one["client"] for one in found] == [
            "{}:{}".format(*client.address) for client in clients[:2]
        ]
        assert (await get("/proxy/sessions?limit=all"))[0] == 400


async def test_who_is_not_trusted_sees_only_whether_it_lives():
    async with seen(trusted_hosts=CidrSet(["192.0.2.1"])) as (_, get):
        for path in ("/proxy/status", "/proxy/sessions", "/metrics"):
            assert (await get(path))[0] == 403
        assert await get("/api/check-liveness/v1") == (200, "OK")


async def test_metrics_are_there():
    async with seen() as (_, get):
        status, text = await get("/metrics")

        assert status == 200
        assert 'proxy_active_connections{listener="127.0.0.1:0"} 0' in text


async def test_while_it_drains_it_takes_no_clients_and_says_so():
    async with seen() as (proxy, get):
        proxy.is_draining = True

        assert (await get("/api/check-liveness/v1"))[0] == 503
        assert await get("/api/check-alive/v1") == (200, "OK")
        assert (await get("/proxy/status"))[1]["status"] == "draining"
