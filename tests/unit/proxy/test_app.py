"""The proxy as a whole, in this process."""

from __future__ import annotations

import pytest

from proxy.app import Proxy
from proxy.settings import ProxySettings, SocksOptions
from tests.fakes.proxy_world import HERE, client_of

pytestmark = pytest.mark.real_time


async def test_it_listens_wherever_it_is_told_and_ends_in_good_order():
    hosts = ("127.0.0.1", "::1")
    listeners = tuple(SocksOptions((host, 0), access=HERE) for host in hosts)
    proxy = Proxy(ProxySettings(listeners))
    await proxy.start()

    assert [one.address[0] for one in proxy.listeners] == list(hosts)
    async with client_of(proxy) as client:
        await client.greet()
        await proxy.stop()
        assert await client.read_rest() == b""
    assert len(proxy.supervisor) == 0
