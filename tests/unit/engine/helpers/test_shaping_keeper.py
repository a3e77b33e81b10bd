"""Shaping kept up to date: sites, overlays, days; what has errors changes nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from datetime import UTC, datetime

import pytest

from engine.base.lifecycle import Supervisor
from engine.base.shaping_source import parse_shaping
from engine.control.shaping_overrides import ShapingOverrides
from engine.helpers.shaping_keeper import ShapingKeeper, ShapingPart, ShapingPorts
from engine.helpers.shaping_options import parse_shaping_options
from engine.model.shaping import Shaping
from engine.route.dns_resolver import DnsResolver

ZONES = [
    "$ORIGIN one.example.\n@ 60 MX 10 mx.shared.test.\n",
    "$ORIGIN two.example.\n@ 60 MX 10 mx.shared.test.\n",
    "$ORIGIN shared.test.\nmx 60 A 127.0.0.1\n",
]
SITE = "mx.shared.test"
BASE = """
[default]
connection_limit = 10

["one.example"]
connection_limit = 5
"""
OVERLAY = """
["one.example".sources."ip-1"]
max_message_rate = "2/s"
"""


class World:
    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.supervisor = Supervisor()
        self.overrides = ShapingOverrides()
        self.wall_at = datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp() - loop.time()
        self.rules: list[Shaping] = []
        self.refreshed = 0
        self.loads: list[str] = []
        self.hosts: dict[str, tuple[str, ...]] = {}
        self.resolver = DnsResolver(clock=loop.time, zones=ZONES, servfail=["bad.test"])
        self.ports = ShapingPorts(
            wall=lambda: self.wall_at + loop.time(),
            mono=loop.time,
            start=self.supervisor.start,
            resolver=lambda: self.resolver,
            overrides=self.overrides,
            mx_hosts=self.hosts.get,
            rules_changed=self.rules.append,
            paths_changed=self._count,
            count_load=self.loads.append,
        )
        self.keeper = ShapingKeeper(self.ports)

    def _count(self) -> None:
        self.refreshed += 1

    def part(self, text=BASE, **options) -> ShapingPart:
        read, _ = parse_shaping_options(options)
        sources = [parse_shaping(text.encode(), "base.toml")]
        made = ShapingPart(read, sources, Shaping())
        load, is_all = self.keeper.loader.recall(self.keeper.layered(made))
        made.shaping = load.shaping
        if is_all:
            made.settle()
        return made

    def path(self, part, domain="two.example", source="ip-1"):
        return self.keeper.make_path(part, domain, source, SITE)

    def overlay(self, text=OVERLAY) -> None:
        layer = parse_shaping(text.encode(), "overlay.toml", is_remote=True)
        self.overrides.replace("http://tsa", text.encode(), layer)


@pytest.fixture
async def world():
    made = World()
    yield made
    await made.supervisor.stop()


async def settle(world, part):
    world.keeper.begin(part)
    await asyncio.sleep(1)


async def test_where_nothing_runs_beside_the_mail_a_load_is_asked_for(world):
    keeper = ShapingKeeper(dataclasses.replace(world.ports, start=None))
    part = world.part()
    keeper.begin(part)
    await asyncio.sleep(120)
    assert not part.is_complete

    await keeper.load_now()

    assert keeper.make_path(part, "two.example", "ip-1", SITE).connection_limit.limit == 5


async def test_without_shaping_there_is_nothing_to_load(world):
    world.keeper.begin(None)
    await world.keeper.load_now()
    assert world.loads == []


async def test_a_section_counts_for_the_whole_site_of_its_domain(world):
    part = world.part()
    assert not part.is_complete
    await settle(world, part)
    assert part.is_complete
    assert world.path(part, "two.example").connection_limit.limit == 5


async def test_without_sites_and_urls_a_part_answers_at_once(world):
    assert world.part("[default]\nconnection_limit = 3\n").is_complete


async def test_what_is_known_of_sites_answers_for_the_next_epoch_at_once(world):
    await settle(world, world.part())
    part = world.part(BASE.replace("limit = 5", "limit = 6"))
    assert part.is_complete
    assert world.path(part).connection_limit.limit == 6


async def test_an_overlay_reaches_the_paths_at_once(world):
    part = world.part()
    await settle(world, part)
    world.overlay()
    await asyncio.sleep(0.01)
    assert str(world.path(part).max_message_rate) == "2/s"
    assert world.path(part, source="ip-2").max_message_rate is None
    assert world.refreshed == 1
    world.overrides.clear()
    await asyncio.sleep(0.01)
    assert world.path(part).max_message_rate is None
    assert world.refreshed == 2


async def test_an_overlay_that_says_the_same_moves_no_path(world):
    await settle(world, world.part())
    world.overlay()
    await asyncio.sleep(0.01)
    world.overlay("# expires a little later\n" + OVERLAY)
    await asyncio.sleep(0.01)
    assert world.refreshed == 1


async def test_a_switched_off_automation_has_no_overlay(world):
    part = world.part(automation=False)
    await settle(world, part)
    world.overlay()
    await asyncio.sleep(0.01)
    assert world.path(part).max_message_rate is None


async def test_the_rules_in_force_are_told(world):
    rule = '\n[[default.automation]]\nregex = "x"\naction = "Suspend"\nduration = "1h"\n'
    await settle(world, world.part(BASE + rule))
    assert len(world.rules[-1].all_rules()) == 1
    world.keeper.begin(None)
    assert world.rules[-1].all_rules() == []


async def test_what_waits_for_an_older_epoch_is_let_go(world):
    old, new = world.part(), world.part()
    world.keeper.begin(old)
    world.keeper.begin(new)
    await asyncio.wait_for(old.loaded.wait(), 1)


async def test_a_warm_up_goes_on_after_midnight(world):
    text = (
        '[warmup."ip-1"]\nstart = "2026-05-01"\n'
        "schedule = [{ day = 1, connection_limit = 1 }, { day = 2, connection_limit = 2 }]\n"
    )
    # No load at midnight: only the day has changed.
    part = world.part(text, cache_ttl="10h")
    await settle(world, part)
    assert world.path(part).connection_limit.limit == 1
    await asyncio.sleep(12 * 3600 - 60)
    assert world.refreshed == 0
    await asyncio.sleep(70)
    assert world.refreshed == 1
    assert world.path(part).connection_limit.limit == 2


async def test_what_has_errors_leaves_the_last_good_one(world, caplog):
    part = world.part(load_validation_options={"null_mx": "Error"}, cache_ttl="1s")
    await settle(world, part)
    null = ["$ORIGIN one.example.\n@ 60 MX 0 .\n", *ZONES[1:]]
    loop = asyncio.get_running_loop()
    world.resolver = DnsResolver(clock=loop.time, zones=null, servfail=[])
    with caplog.at_level(logging.ERROR, "cirrus.shaping"):
        await asyncio.sleep(5)
    assert world.path(part).connection_limit.limit == 5
    assert world.keeper.failing is not None
    assert world.loads == ["loaded", "rejected"]
    assert sum("the last good one stays" in one.message for one in caplog.records) == 1


async def test_providers_are_found_by_the_hosts_of_the_site(world):
    text = '[provider.p]\nmatch = [{ MXSuffix = ".shared.test" }]\nconnection_limit = 2\n'
    part = world.part(text)
    await settle(world, part)
    assert world.path(part).connection_limit.limit == 32
    world.hosts[SITE] = (SITE,)
    assert world.path(part).connection_limit.limit == 2


async def test_a_defect_in_a_load_costs_no_mail(world, monkeypatch):
    part = world.part()
    monkeypatch.setattr(
        world.keeper.loader, "load", lambda _sources: (_ for _ in ()).throw(RuntimeError("x"))
    )
    await settle(world, part)
    assert part.is_complete
    assert world.path(part).connection_limit.limit == 10
