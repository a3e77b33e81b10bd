"""Routes and connection plans."""

import random

import pytest

from engine.model.egress import make_egress_path, make_egress_source
from engine.model.errors import DnsFailureError, RouteNotFoundError
from engine.model.queue_config import MxListEntry
from engine.route.dns_resolver import DnsResolver
from engine.route.mx_plan import CANDIDATES_MAX, Candidate, plan_connections, resolve_route

ZONE = """
$ORIGIN example.com.
@ MX 10 mx1
@ MX 20 mx2
@ MX 20 mx3
mx1 A 127.0.0.1
mx1 AAAA ::1
mx2 A 127.0.0.2
mx3 A 127.0.0.3
null MX 0 .
plain A 127.0.0.4
half MX 10 bad.test.
half MX 20 mx2
gonehost MX 10 nowhere
gonehost MX 20 mx2
allbad MX 10 bad.test.
nohosts MX 10 nowhere
empty MX 10 noaddress
noaddress TXT "x"
"""
OPEN = make_egress_path(prohibited_hosts=[])


@pytest.fixture
def resolver():
    return DnsResolver(clock=lambda: 0.0, zones=[ZONE], servfail=["bad.test"])


async def plan(resolver, domain, path=OPEN, source=None, mx_list=None, seed=1):
    route = await resolve_route(resolver, domain, mx_list)
    return await plan_connections(
        resolver, route, path=path, source=source, rng=random.Random(seed)
    )


def addresses(found):
    return [candidate.address for candidate in found.candidates]


async def test_a_route_is_named_by_its_hosts(resolver):
    route = await resolve_route(resolver, "example.com")

    assert route.site_name == "(mx1|mx2|mx3).example.com"
    assert [(host.pref, host.name) for host in route.hosts] == [
        (10, "mx1.example.com"),
        (20, "mx2.example.com"),
        (20, "mx3.example.com"),
    ]
    assert route.domain == "example.com"


async def test_a_port_belongs_to_the_name_of_the_site(resolver):
    route = await resolve_route(resolver, "plain.example.com:2525")

    assert route.site_name == "plain.example.com:2525"
    assert route.hosts[0].port == 2525


async def test_a_null_mx_keeps_the_name_of_the_domain(resolver):
    route = await resolve_route(resolver, "null.example.com")

    assert route.is_null
    assert route.site_name == "null.example.com"


@pytest.mark.parametrize(
    ("domain", "site", "address", "port"),
    [
        ("[127.0.0.1]", "[127.0.0.1]", "127.0.0.1", 25),
        ("[127.0.0.1]:2525", "[127.0.0.1]:2525", "127.0.0.1", 2525),
        ("[IPv6:::1]", "[IPv6:::1]", "::1", 25),
        ("[::1]:2525", "[::1]:2525", "::1", 2525),
    ],
)
async def test_a_literal_needs_no_dns(resolver, domain, site, address, port):
    route = await resolve_route(resolver, domain)
    found = await plan(resolver, domain)

    assert route.site_name == site
    assert [(each.address, each.port) for each in found.candidates] == [(address, port)]


async def test_a_list_takes_the_place_of_the_mx_and_keeps_its_order(resolver):
    names = ["mx3.example.com", "mx1.example.com:26", "[127.0.0.9]:27"]
    route = await resolve_route(resolver, "whatever.test", names)

    assert route.site_name == "mx_list:mx3.example.com,mx1.example.com:26,[127.0.0.9]:27"
    for seed in range(5):
        found = await plan(resolver, "whatever.test", mx_list=names, seed=seed)
        assert [each.port for each in found.candidates] == [25, 26, 26, 27]
        assert addresses(found)[0] == "127.0.0.3"


async def test_addresses_given_in_a_list_are_not_looked_up(resolver):
    entry = MxListEntry("no.such.host", 26, ("127.0.0.7", "127.0.0.8"))
    found = await plan(resolver, "d", mx_list=[entry])

    assert found.candidates == (
        Candidate("no.such.host", "127.0.0.7", 26),
        Candidate("no.such.host", "127.0.0.8", 26),
    )


@pytest.mark.parametrize("domain", ["gone.example.com", "a..b", "[x]", "a:99999", "é" * 300])
async def test_what_leads_nowhere_is_a_temporary_error(resolver, domain):
    with pytest.raises(RouteNotFoundError):
        await resolve_route(resolver, domain)


async def test_a_list_of_nonsense_is_a_temporary_error(resolver):
    with pytest.raises(RouteNotFoundError):
        await resolve_route(resolver, "d", ["a b"])


async def test_preferred_hosts_come_first_and_equals_are_shuffled(resolver):
    orders = set()
    for seed in range(20):
        found = addresses(await plan(resolver, "example.com", seed=seed))
        assert set(found[:2]) == {"127.0.0.1", "::1"}
        orders.add(tuple(found[2:]))

    assert orders == {("127.0.0.2", "127.0.0.3"), ("127.0.0.3", "127.0.0.2")}


async def test_the_source_decides_the_family(resolver):
    v4 = make_egress_source(name="s", source_address="127.0.0.1")
    v6 = make_egress_source(name="s", source_address="::1")

    assert "::1" not in addresses(await plan(resolver, "example.com", source=v4))
    assert addresses(await plan(resolver, "example.com", source=v6)) == ["::1"]
    assert (await plan(resolver, "plain.example.com", source=v6)).empty


async def test_the_path_decides_the_families_looked_up(resolver):
    path = make_egress_path(prohibited_hosts=[], ip_lookup_strategy="Ipv6Only")

    assert addresses(await plan(resolver, "example.com", path)) == ["::1"]


@pytest.mark.parametrize(
    ("source_port", "domain", "port"),
    [
        (None, "plain.example.com", 26),
        (None, "plain.example.com:27", 27),
        (28, "plain.example.com:27", 28),
    ],
)
async def test_the_source_port_beats_the_hosts_port_beats_the_paths(
    resolver, source_port, domain, port
):
    path = make_egress_path(prohibited_hosts=[], smtp_port=26)
    source = make_egress_source(name="s", remote_port=source_port)

    assert (await plan(resolver, domain, path, source)).candidates[0].port == port


async def test_a_prohibited_address_is_never_a_candidate(resolver):
    found = await plan(resolver, "example.com", make_egress_path())

    assert found.prohibited
    assert found.candidates == ()
    assert not found.empty


@pytest.mark.parametrize("domain", ["[127.0.0.1]", "[::ffff:127.0.0.1]", "[::]", "[0.0.0.0]"])
async def test_no_spelling_of_this_host_is_allowed_by_default(resolver, domain):
    assert (await plan(resolver, domain, make_egress_path())).prohibited


async def test_skipped_addresses_leave_the_others(resolver):
    path = make_egress_path(prohibited_hosts=[], skip_hosts=["127.0.0.1", "::1", "127.0.0.2"])

    assert addresses(await plan(resolver, "example.com", path)) == ["127.0.0.3"]
    assert (await plan(resolver, "half.example.com", path)).skipped_all


async def test_hosts_that_cannot_be_resolved_are_left_out(resolver):
    assert addresses(await plan(resolver, "half.example.com")) == ["127.0.0.2"]
    assert addresses(await plan(resolver, "gonehost.example.com")) == ["127.0.0.2"]


async def test_when_nobody_can_say_the_plan_fails_for_now(resolver):
    with pytest.raises(DnsFailureError):
        await plan(resolver, "allbad.example.com")


@pytest.mark.parametrize("domain", ["nohosts.example.com", "empty.example.com"])
async def test_no_address_at_all_is_an_empty_plan(resolver, domain):
    found = await plan(resolver, domain)

    assert found.empty
    assert found.candidates == ()


async def test_a_domain_cannot_have_us_try_for_ever():
    hosts = "".join(f"@ MX {n} h{n}\n" for n in range(500))
    addresses_ = "".join(f"h{n} A 127.0.{n % 250}.{k}\n" for n in range(500) for k in range(4))
    many = DnsResolver(clock=lambda: 0.0, zones=[f"$ORIGIN many.test.\n{hosts}{addresses_}"])

    found = await plan(many, "many.test")

    assert len(found.candidates) == CANDIDATES_MAX
    assert found.candidates[0].host_name == "h0.many.test"
    assert many.snapshot()["cached"] < 100


async def test_a_listed_site_is_named_as_the_operator_wrote_it(resolver):
    names = ["127.0.0.1:2525", "MX.Example.", "[IPv6:::1]", {"name": "mx", "addr": "127.0.0.1:26"}]

    route = await resolve_route(resolver, "whatever.test", names)

    assert route.site_name == "mx_list:127.0.0.1:2525,MX.Example.,[IPv6:::1],mx:26"
