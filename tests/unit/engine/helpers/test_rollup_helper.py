"""Domains that share hosts share a way out; what DNS cannot say changes nothing."""

from __future__ import annotations

import logging

import pytest

from engine.script_views import MessageView
from policy.errors import HookFailedError, PolicyLoadError
from tests.fakes.helper_world import HelperWorld, make_message

ZONE = """
$ORIGIN test.
one 60 IN MX 10 mx1.Big.test.
one 60 IN MX 10 mx2.big.test.
one 60 IN MX 20 backup.other.test.
two 60 IN MX 5 mx2.big.test.
two 60 IN MX 5 mx1.big.test.
all 60 IN MX 10 a.eu.big.test.
all 60 IN MX 20 b.eu.big.test.
null 60 IN MX 0 .
mx1.big 60 IN A 192.0.2.1
mx2.big 60 IN A 192.0.2.2
mx2.big 60 IN AAAA 2001:db8::2
lonely 60 IN MX 10 nowhere.big.test.
nowhere.big 60 IN TXT "no address"
"""
IP = "'.big.test': 'big.ip_rollup'"


@pytest.fixture
def world(tmp_path):
    return HelperWorld(tmp_path, [ZONE])


async def reroute(world, call, domain, **meta):
    world.load(f"@on('message_received')\nasync def f(msg):\n    await rollup.{call}\n")
    message = make_message(recipients=(f"b@{domain}",), **meta)

    await world.runtime.fire("message_received", MessageView(message, None, world.clock))
    return message.meta.get("routing_domain")


@pytest.mark.parametrize("suffix", [".big.test", ".big.test.", ".BIG.test"])
async def test_the_best_hosts_decide_about_the_rollup_by_address(world, suffix):
    call = f"reroute_using_ip_rollup(msg, {{'{suffix}': 'big.ip_rollup'}})"

    assert await reroute(world, call, "one.test") == "big.ip_rollup"


async def test_what_is_not_rolled_up_loses_an_earlier_route(world):
    call = "reroute_using_ip_rollup(msg, {'.small.test': 'small.ip_rollup'})"

    assert await reroute(world, call, "one.test", routing_domain="old") is None


async def test_all_hosts_decide_about_a_route_by_suffix(world):
    call = "reroute_based_on_mx_host_suffix(msg, {'.big.test': 'big.test'})"

    assert await reroute(world, call, "all.test") == "big.test"
    assert await reroute(world, call, "one.test") is None


async def test_the_longest_suffix_counts(world):
    call = (
        "reroute_based_on_mx_host_suffix(msg, {'.big.test': 'a', '.eu.big.test': 'b', 'test': 'c'})"
    )

    assert await reroute(world, call, "all.test") == "b"


async def test_a_domain_is_not_routed_to_itself(world):
    call = "reroute_based_on_mx_host_suffix(msg, {'.big.test': 'all.test'})"

    assert await reroute(world, call, "all.test") is None


@pytest.mark.parametrize("domain", ["bad.test", "missing.test", "null.test"])
@pytest.mark.parametrize(
    "call",
    [
        "reroute_using_ip_rollup(msg, {'.big.test': 'x.ip_rollup'})",
        "reroute_based_on_mx_host_suffix(msg, {'.big.test': 'x'})",
    ],
)
async def test_what_dns_cannot_say_leaves_the_message_as_it_is(world, caplog, domain, call):
    with caplog.at_level(logging.WARNING):
        assert await reroute(world, call, domain, routing_domain="kept") == "kept"


@pytest.mark.parametrize(
    "call",
    [
        "reroute_using_ip_rollup(msg, {'.big.test': 'big'})",
        "reroute_using_ip_rollup(msg, list(['.big.test']))",
        "reroute_using_ip_rollup(msg, {'.big.test': 5})",
        "reroute_using_ip_rollup('msg', {})",
        "apply_ip_rollup_to_queue_config('a', 'b.ip_rollup', {}.get('none'))",
    ],
)
async def test_what_does_not_fit_is_an_error(world, call):
    with pytest.raises(HookFailedError):
        await reroute(world, call, "one.test")


async def queue_config(world, domain, routing_domain):
    world.load(
        "@on('get_queue_config')\nasync def f(domain, tenant, campaign, routing_domain):\n"
        "    params = {'max_age': '5m'}\n"
        "    await rollup.apply_ip_rollup_to_queue_config(domain, routing_domain, params)\n"
        "    return mta.make_queue_config(**params)\n"
    )
    return await world.runtime.fire("get_queue_config", domain, None, None, routing_domain)


async def test_domains_whose_best_hosts_have_the_same_addresses_go_the_same_way(world):
    one = await queue_config(world, "one.test", "big.ip_rollup")
    two = await queue_config(world, "two.test", "big.ip_rollup")

    assert one.protocol == two.protocol
    assert [entry.addresses for entry in one.protocol.mx_list] == [
        ("192.0.2.1",),
        ("192.0.2.2",),
        ("2001:db8::2",),
    ]
    assert one.max_age_s == 300.0


@pytest.mark.parametrize("routing_domain", [None, "other.test"])
async def test_a_queue_that_was_not_rolled_up_stays_as_it_is(world, routing_domain):
    config = await queue_config(world, "one.test", routing_domain)

    assert config.protocol.mx_list is None


@pytest.mark.parametrize("domain", ["bad.test", "lonely.test"])
async def test_a_queue_whose_hosts_are_not_known_waits(world, domain):
    with pytest.raises(HookFailedError):
        await queue_config(world, domain, "big.ip_rollup")


def test_it_has_to_be_awaited(world):
    with pytest.raises(PolicyLoadError, match="await"):
        world.load("rollup.reroute_using_ip_rollup(1, {})\n")
