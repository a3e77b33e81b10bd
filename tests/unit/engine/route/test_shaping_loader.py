"""Shaping with its sites looked up: bounded, in order, and never losing what was known."""

from __future__ import annotations

import asyncio

import pytest

from engine.base.shaping_source import parse_shaping
from engine.model.shaping_finding import CHECK_OPTIONS
from engine.route import shaping_loader
from engine.route.dns_resolver import DnsResolver
from engine.route.shaping_loader import ShapingLoader

ZONE = """\
$ORIGIN test.
@ 60 IN SOA ns hostmaster 1 60 60 60 60
one 60 IN MX 10 mx.big
two 60 IN MX 10 mx.big
nomx 60 IN A 192.0.2.9
null 60 IN MX 0 .
mx.big 60 IN A 192.0.2.1
"""


async def inline(work):
    return work()


def resolver(*servfail):
    loop = asyncio.get_running_loop()
    return DnsResolver(clock=loop.time, zones=[ZONE], servfail=servfail or None)


def loader(dns):
    return ShapingLoader(dns, CHECK_OPTIONS, offload=inline)


def layer(text, name="rules.toml"):
    return parse_shaping(text.encode(), name)


def sections(*domains, option="max_ready", value=5):
    return "".join(f'["{domain}"]\n{option} = {value}\n' for domain in domains)


async def test_sections_land_in_the_site_of_their_domain():
    load = await loader(resolver()).load([layer(sections("one.test", "nomx.test"))])

    assert set(load.shaping.sites) == {"mx.big.test", "nomx.test"}
    assert (load.findings, load.has_errors) == ((), False)


async def test_what_has_no_site_is_left_out_with_a_line_and_the_rest_stays():
    text = sections("gone.test", "one.test", "null.test", "fail.test")

    load = await loader(resolver("fail.test")).load([layer(text)])

    assert set(load.shaping.sites) == {"mx.big.test"}
    assert [(one.line, one.severity) for one in load.findings] == [
        (1, "warning"),
        (5, "warning"),
        (7, "warning"),
    ]
    assert not load.has_errors


async def test_without_a_resolver_nothing_is_said_of_sites():
    text = '[default]\nmax_ready = 1\n["a.test"]\nmx_rollup = false\n' + sections("one.test")

    load = await loader(None).load([layer(text)])

    assert (load.shaping.sites, load.findings) == ({}, ())
    assert set(load.shaping.domains) == {"a.test"}


async def test_layers_merge_in_the_order_given(tmp_path):
    for name, value in (("a", 1), ("b", 2)):
        (tmp_path / f"{name}.toml").write_text(f"[default]\nmax_ready = {value}\n")
    a, b = str(tmp_path / "a.toml"), str(tmp_path / "b.toml")
    overlay = layer("[default]\nmax_ready = 3\n", "overlay")
    one = loader(resolver())

    async def max_ready(*sources):
        shaping = (await one.load(sources)).shaping
        return shaping.resolve("x.test", "ip-1", "x.test").options()["max_ready"]

    assert [await max_ready(a, b), await max_ready(b, a), await max_ready(b, a, overlay)] == [
        2,
        1,
        3,
    ]


async def test_findings_come_by_file_in_the_order_given_and_by_line_each_once(tmp_path):
    files = []
    for name in ("b", "a"):
        path = tmp_path / f"{name}.toml"
        path.write_text("[default]\nmax_redy = 1\n\n\n" + sections("one.test", option="bad"))
        files.append(str(path))

    # The same file twice is the same findings.
    load = await loader(resolver()).load([*files, files[0]])

    places = [(one.file.rpartition("/")[2], one.line) for one in load.findings]
    assert places == [("b.toml", 2), ("b.toml", 6), ("a.toml", 2), ("a.toml", 6)]
    assert load.has_errors


async def test_a_load_never_fails(tmp_path):
    load = await loader(resolver()).load(["/nowhere.toml", str(tmp_path), layer("[default]\n")])

    assert load.has_errors
    assert len(load.findings) == 2
    assert load.shaping.default is not None


async def test_a_domain_whose_look_up_fails_keeps_its_site():
    one = loader(resolver())
    rules = layer(sections("one.test"))
    before = await one.load([rules])
    one.resolver = resolver("one.test")

    after = await one.load([rules])

    assert after.shaping.hash == before.shaping.hash
    assert after.findings == ()


async def test_a_site_is_forgotten_when_no_file_names_its_domain():
    one = loader(resolver())
    await one.load([layer(sections("one.test"))])
    await one.load([layer(sections("two.test"))])
    one.resolver = resolver("one.test")

    load = await one.load([layer(sections("one.test"))])

    assert load.shaping.sites == {}


class SlowResolver:
    """Takes its time for each domain, and counts how many wait at once."""

    def __init__(self, delay_s, inner):
        self.delay_s, self.inner = delay_s, inner
        self.present = self.most = 0

    async def resolve_mx(self, domain):
        self.present += 1
        self.most = max(self.most, self.present)
        try:
            await asyncio.sleep(self.delay_s)
            return await self.inner.resolve_mx(domain)
        finally:
            self.present -= 1

    def __getattr__(self, name):
        return getattr(self.inner, name)


def many(count):
    return layer(sections(*(f"d{number}.test" for number in range(count))))


async def test_only_so_many_domains_are_looked_up_at_once():
    slow = SlowResolver(0.01, resolver())

    await loader(slow).load([many(200)])

    assert slow.most == shaping_loader.LOOKUPS_MAX


async def test_all_look_ups_together_take_no_longer_than_their_bound():
    slow = SlowResolver(1000.0, resolver())
    begun = asyncio.get_running_loop().time()

    load = await loader(slow).load([many(200)])

    assert asyncio.get_running_loop().time() - begun == pytest.approx(shaping_loader.LOOKUPS_S, 0.1)
    assert len(load.findings) == 200
    assert "no time was left" in load.findings[0].message
    assert slow.present == 0
