"""The resolver: cache, single flight, MX and addresses."""

import asyncio

import dns.name
import pytest

from engine.model.egress import IpLookupStrategy
from engine.model.errors import DnsFailureError, RouteNotFoundError
from engine.route.dns_backend import AnswerKind, DnsAnswer, ZoneBackend
from engine.route.dns_resolver import DnsResolver, MxAnswer
from engine.route.resolver_options import ResolverOptions

ZONE = """
$ORIGIN example.com.
@ 600 MX 20 b.mx
@ 600 MX 10 A.MX
@ 600 MX 30 a.mx
a.mx A 127.0.0.1
a.mx AAAA ::1
b.mx A 127.0.0.2
plain A 127.0.0.3
alias CNAME plain
null MX 0 .
"""


class Time:
    now = 0.0

    def __call__(self):
        return self.now


class CountingBackend:
    """Answers from the zone after a while, and counts what it was asked."""

    def __init__(self, delay_s=0.01, failing=()):
        self.zones = ZoneBackend([ZONE], failing)
        self.delay_s = delay_s
        self.asked = []
        self.most = self.present = 0

    async def ask(self, name, rdtype):
        self.asked.append((name.to_text(), rdtype))
        self.present += 1
        self.most = max(self.most, self.present)
        try:
            await asyncio.sleep(self.delay_s)
            return await self.zones.ask(name, rdtype)
        finally:
            self.present -= 1


@pytest.fixture
def time():
    return Time()


def make(time, backend=None, **kw):
    resolver = DnsResolver(clock=time, zones=[ZONE], servfail=["bad.test"], **kw)
    if backend is not None:
        resolver._backend = backend
    return resolver


async def test_lists_mx_hosts_by_preference_and_each_once(time):
    answer = await make(time).resolve_mx("example.com")

    assert answer.hosts == ((10, "a.mx.example.com"), (20, "b.mx.example.com"))
    assert not answer.is_null
    assert not answer.is_implicit


async def test_a_domain_without_mx_is_its_own_host(time):
    resolver = make(time)

    assert await resolver.resolve_mx("plain.example.com") == MxAnswer(
        ((1, "plain.example.com"),), is_implicit=True
    )
    assert (await resolver.resolve_mx("alias.example.com")).hosts == ((1, "plain.example.com"),)


async def test_a_null_mx_is_no_hosts(time):
    assert await make(time).resolve_mx("null.example.com") == MxAnswer((), is_null=True)


@pytest.mark.parametrize(
    "name", ["gone.example.com", "a..b", "x" * 70 + ".com", "☃" * 200, "", "."]
)
async def test_what_does_not_exist_is_a_temporary_error(time, name):
    with pytest.raises(RouteNotFoundError) as caught:
        await make(time).resolve_mx(name)

    assert caught.value.temporary


async def test_what_fails_is_a_temporary_error(time):
    resolver = make(time)

    for _ in range(2):
        with pytest.raises(DnsFailureError):
            await resolver.resolve_mx("bad.test")


@pytest.mark.parametrize(
    ("strategy", "addresses"),
    [
        (IpLookupStrategy.IPV4_AND_IPV6, ("127.0.0.1", "::1")),
        (IpLookupStrategy.IPV4_ONLY, ("127.0.0.1",)),
        (IpLookupStrategy.IPV6_ONLY, ("::1",)),
        (IpLookupStrategy.IPV6_THEN_IPV4, ("::1",)),
        (IpLookupStrategy.IPV4_THEN_IPV6, ("127.0.0.1",)),
    ],
)
async def test_looks_up_the_wanted_families(time, strategy, addresses):
    assert await make(time).resolve_addresses("a.mx.example.com", strategy) == addresses


async def test_falls_back_to_the_other_family(time):
    found = await make(time).resolve_addresses("b.mx.example.com", IpLookupStrategy.IPV6_THEN_IPV4)

    assert found == ("127.0.0.2",)


async def test_an_address_is_its_own_answer(time):
    resolver = make(time)

    assert await resolver.resolve_addresses("127.0.0.1") == ("127.0.0.1",)
    assert await resolver.resolve_addresses("::1") == ("::1",)
    assert await resolver.resolve_addresses("127.0.0.1", IpLookupStrategy.IPV6_ONLY) == ()


async def test_a_host_that_is_gone_is_a_temporary_error(time):
    with pytest.raises(RouteNotFoundError):
        await make(time).resolve_addresses("gone.example.com")
    with pytest.raises(DnsFailureError):
        await make(time).resolve_addresses("bad.test")


async def test_keeps_an_answer_for_its_ttl(time):
    backend = CountingBackend()
    resolver = make(time, backend)
    await resolver.resolve_mx("example.com")
    time.now = 599
    await resolver.resolve_mx("example.com")
    assert len(backend.asked) == 1

    time.now = 601
    await resolver.resolve_mx("example.com")
    assert len(backend.asked) == 2


async def test_keeps_absence_and_failure_for_a_bounded_time(time):
    backend = CountingBackend(failing=["bad.test"])
    resolver = make(time, backend)
    for _ in range(3):
        with pytest.raises(RouteNotFoundError):
            await resolver.resolve_mx("gone.example.com")
        with pytest.raises(DnsFailureError):
            await resolver.resolve_mx("bad.test")
    assert len(backend.asked) == 2

    time.now = 31
    with pytest.raises(DnsFailureError):
        await resolver.resolve_mx("bad.test")
    time.now = 301
    with pytest.raises(RouteNotFoundError):
        await resolver.resolve_mx("gone.example.com")
    assert len(backend.asked) == 4


async def test_many_who_ask_at_once_ask_once(time):
    backend = CountingBackend()
    resolver = make(time, backend)

    answers = await asyncio.gather(*(resolver.resolve_mx("example.com") for _ in range(50)))

    assert len(backend.asked) == 1
    assert len(set(answers)) == 1
    assert resolver.snapshot() == {"cached": 1, "under_way": 0}


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others(time):
    backend = CountingBackend(delay_s=0.5)
    resolver = make(time, backend, options=ResolverOptions(timeout_s=5))
    first = asyncio.ensure_future(resolver.resolve_mx("example.com"))
    await asyncio.sleep(0.1)
    second = asyncio.ensure_future(resolver.resolve_mx("example.com"))
    await asyncio.sleep(0.1)
    first.cancel()

    assert (await second).hosts
    assert first.cancelled()


async def test_a_follower_who_gives_up_does_not_stop_the_one_who_asks(time):
    resolver = make(time, CountingBackend(delay_s=0.5))
    first = asyncio.ensure_future(resolver.resolve_mx("example.com"))
    await asyncio.sleep(0.1)
    second = asyncio.ensure_future(resolver.resolve_mx("example.com"))
    await asyncio.sleep(0.1)
    second.cancel()

    assert (await first).hosts


async def test_silence_ends_in_a_failure(time):
    resolver = make(time, CountingBackend(delay_s=1000), options=ResolverOptions(timeout_s=5))

    with pytest.raises(DnsFailureError, match="in time"):
        await resolver.resolve_mx("example.com")


async def test_only_so_many_questions_are_under_way(time):
    backend = CountingBackend()
    resolver = make(time, backend, options=ResolverOptions(concurrency=3))

    await asyncio.gather(*(resolver.lookup(f"n{number}.example.com", "A") for number in range(20)))

    assert backend.most == 3


async def test_the_cache_can_be_dropped(time):
    backend = CountingBackend()
    resolver = make(time, backend)
    await resolver.resolve_mx("example.com")
    resolver.forget()
    await resolver.resolve_mx("example.com")

    assert len(backend.asked) == 2


async def test_an_answer_of_no_ttl_serves_those_who_wait(time):
    class Fleeting(CountingBackend):
        async def ask(self, name, rdtype):
            await super().ask(dns.name.from_text("plain.example.com"), rdtype)
            return DnsAnswer(AnswerKind.FOUND, name, (), 0.0)

    backend = Fleeting()
    resolver = make(time, backend)
    await asyncio.gather(*(resolver.lookup("plain.example.com", "A") for _ in range(5)))

    assert len(backend.asked) == 1
