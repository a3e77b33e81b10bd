"""Names of destinations: their addresses, or why there are none."""

from __future__ import annotations

import pytest

from engine.model.errors import ConfigurationError
from engine.route.dns_resolver import DnsResolver
from proxy.errors import ConnectFailedError, ReplyCode
from proxy.resolution import Resolution

ZONE = """\
$ORIGIN x.test.
@ 60 IN SOA ns.x.test. a.x.test. 1 1 1 1 1
both 60 IN A 192.0.2.1
both 60 IN AAAA 2001:db8::1
none 60 IN TXT "nothing here"
"""


@pytest.fixture
def made():
    return []


@pytest.fixture
def resolution(made):
    def make():
        made.append(1)
        return DnsResolver(clock=lambda: 0.0, zones=[ZONE], servfail=["down.test"])

    return Resolution(make)


async def test_a_name_has_addresses_of_both_families(resolution):
    assert await resolution.addresses("both.x.test") == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize("name", ["gone.x.test", "none.x.test", "down.test", "a..b", "x" * 300])
async def test_a_name_without_addresses_is_an_unreachable_host(resolution, name):
    with pytest.raises(ConnectFailedError, match=name) as caught:
        await resolution.addresses(name)

    assert caught.value.reply is ReplyCode.HOST_UNREACHABLE


async def test_the_resolver_is_made_when_it_is_needed_and_again_when_settings_change(
    resolution, made
):
    assert made == []
    await resolution.addresses("both.x.test")
    await resolution.addresses("both.x.test")
    assert made == [1]
    resolution.forget()
    await resolution.addresses("both.x.test")

    assert made == [1, 1]


async def test_a_system_without_name_servers_is_no_defect():
    def fail():
        raise ConfigurationError("no name servers")

    with pytest.raises(ConnectFailedError, match="no name servers"):
        await Resolution(fail).addresses("both.x.test")
