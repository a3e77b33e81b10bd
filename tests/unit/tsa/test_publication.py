"""Decisions as others see them: snapshot, then changes; documents that say the same as frames."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.base.clock import Clock
from engine.base.shaping_source import parse_shaping
from engine.model.decision import Decision, DecisionKind, DecisionScope, frame_of, parse_frame
from engine.model.shaping_finding import LoadOptions
from engine.model.shaping_merge import SiteRoute, merge_layers
from tests.fakes.tsa_world import NOON
from tsa import publication as module
from tsa.publication import Publication, describe, format_overlay, held_days


def decision(kind=DecisionKind.BOUNCE, *, lasts_s=600.0, **more):
    scope = more.pop("scope", None) or DecisionScope(domain="a.test")
    facts = {
        "kind": kind,
        "scope": scope,
        "rule_hash": "abc-0",
        "reason": "automation rule: gone",
        "expires_at": NOON + lasts_s,
        "rule": "default",
        "place": "rules.toml:7",
        "first_record_at": NOON - 60,
        "last_record_at": NOON,
        "first_record_id": "r1",
        "last_record_id": "r2",
        "count": 2,
    }
    return Decision(**(facts | more))


def override(value, *, option="max_ready", site=None, domain=None, **more):
    scope = DecisionScope(
        site_name=site, domain=domain, source=more.pop("source", "ip-1"), option=option
    )
    site_domain = more.pop("site_domain", "a.test" if site else "")
    return decision(
        DecisionKind.OVERRIDE, scope=scope, value=value, site_domain=site_domain, **more
    )


READY = decision(
    DecisionKind.SUSPEND_READY,
    scope=DecisionScope(ready_queue="ip-1->mx.test@smtp_client", source="ip-1"),
)
HELD = decision(
    DecisionKind.SUSPEND_SCHEDULED, scope=DecisionScope(domain="a.test", tenant="t"), lasts_s=900.0
)
WARMUP = decision(
    DecisionKind.WARMUP_HOLD, scope=DecisionScope(source="ip-1", day="2027-01-15"), value=2
)


class World:
    def __init__(self, *decisions, **options):
        self.now = NOON
        self.decisions = list(decisions)
        self.publication = Publication(self.in_force, Clock(wall=lambda: self.now), **options)

    def in_force(self, now):
        return (one for one in self.decisions if one.expires_at > now)

    def add(self, *decisions):
        for one in decisions:
            self.decisions.append(one)
            self.publication.announce(one)


async def frames(subscriber, count):
    return [json.loads(await subscriber.next()) for _ in range(count)]


def kinds(found):
    return [next(iter(frame)) for frame in found]


# -- subscribers


async def test_a_subscriber_gets_everything_in_force_then_the_hash_then_changes():
    world = World(HELD, READY, decision(lasts_s=-1.0), override(5, site="mx.test"))
    subscriber = world.publication.subscribe()
    world.add(decision())

    found = await frames(subscriber, 5)

    assert kinds(found) == [
        "ReadyQSuspension",
        "ConfigOverride",
        "SchedQSuspension",
        "ShapingChanged",
        "SchedQBounce",
    ]
    assert parse_frame(found[0]).scope == READY.scope
    assert found[3] == {"ShapingChanged": {"hash": world.publication.overlay_hash()}}


async def test_the_new_hash_follows_overrides_once_for_all_of_them():
    world = World()
    subscriber = world.publication.subscribe()
    ((_, before),) = [tuple(one.items())[0] for one in await frames(subscriber, 1)]
    world.add(override(5, site="mx.test"), override(6, site="other.test"), WARMUP)

    found = await frames(subscriber, 4)

    assert kinds(found) == ["ConfigOverride", "ConfigOverride", "WarmupHold", "ShapingChanged"]
    assert found[3]["ShapingChanged"] != before
    assert found[3]["ShapingChanged"]["hash"] == world.publication.overlay_hash()


async def test_suspensions_change_no_hash():
    world = World()
    before = world.publication.overlay_hash()
    subscriber = world.publication.subscribe()
    world.add(READY, HELD, decision())

    assert kinds(await frames(subscriber, 4)) == [
        "ShapingChanged",
        "ReadyQSuspension",
        "SchedQSuspension",
        "SchedQBounce",
    ]
    assert world.publication.overlay_hash() == before


async def test_an_older_subscriber_gets_suspensions_by_their_older_names():
    world = World(READY, decision(), override(5, site="mx.test"))
    subscriber = world.publication.subscribe(is_legacy=True)
    world.add(HELD, decision(scope=DecisionScope(domain="b.test")))
    world.add(READY)

    assert kinds(await frames(subscriber, 3)) == ["ReadyQ", "SchedQ", "ReadyQ"]


async def test_a_subscriber_that_lags_is_lost_and_others_are_not():
    world = World(frames_max=3)
    slow, fast = world.publication.subscribe(), world.publication.subscribe()
    for number in range(20):
        world.add(decision(scope=DecisionScope(domain=f"d{number}.test")))
        await frames(fast, 1)

    assert slow.is_lost
    assert await slow.next() is None
    assert not fast.is_lost


async def test_the_snapshot_has_room_however_large_it_is():
    many = [decision(scope=DecisionScope(domain=f"d{number}.test")) for number in range(50)]
    subscriber = World(*many, frames_max=3).publication.subscribe()

    assert kinds(await frames(subscriber, 51))[-1] == "ShapingChanged"


def test_only_so_many_may_subscribe(monkeypatch):
    monkeypatch.setattr(module, "SUBSCRIBERS_MAX", 2)
    publication = World().publication
    first = publication.subscribe()
    assert publication.subscribe() is not None
    assert publication.subscribe() is None

    publication.unsubscribe(first)
    publication.unsubscribe(first)

    assert len(publication) == 1
    assert publication.subscribe() is not None


# -- documents


def test_documents_show_what_the_frames_say_and_nothing_that_expired():
    world = World(HELD, READY, decision(), decision(scope=DecisionScope(domain="z"), lasts_s=-1.0))
    publication = world.publication

    assert publication.suspended() == {
        "ready_q": [frame_of(READY)["ReadyQSuspension"]],
        "sched_q": [frame_of(HELD)["SchedQSuspension"]],
    }
    assert publication.bounced() == [frame_of(decision())["SchedQBounce"]]
    assert [one["kind"] for one in publication.decisions()] == [
        "SchedQBounce",
        "ReadyQSuspension",
        "SchedQSuspension",
    ]

    world.now = NOON + 10_000
    assert publication.decisions() == publication.bounced() == []
    assert publication.suspended() == {"ready_q": [], "sched_q": []}


def test_a_decision_is_described_with_what_made_it():
    assert describe(override("5/s", site="mx.test")) == {
        "id": override("5/s", site="mx.test").key,
        "kind": "ConfigOverride",
        "scope": {"site_name": "mx.test", "source": "ip-1", "option": "max_ready"},
        "site_domain": "a.test",
        "reason": "automation rule: gone",
        "rule": "default",
        "place": "rules.toml:7",
        "rule_hash": "abc-0",
        "count": 2,
        "value": "5/s",
        "expires": "2027-01-15T08:10:00Z",
        "first_record": {"id": "r1", "time": "2027-01-15T07:59:00Z"},
        "last_record": {"id": "r2", "time": "2027-01-15T08:00:00Z"},
    }
    assert "value" not in describe(decision())


def test_the_hash_is_of_what_the_overlay_sets_and_not_of_renewals():
    first = World(override(5, site="mx.test")).publication.overlay_hash()

    renewed = World(override(5, site="mx.test", lasts_s=900.0, count=9)).publication
    other = World(override(6, site="mx.test")).publication

    assert renewed.overlay_hash() == first != other.overlay_hash()
    assert World(WARMUP).publication.overlay_hash() != World().publication.overlay_hash()


# -- the overlay

ROUTES = {
    "a.test": SiteRoute("mx.test", ("mx.test",)),
    "b.test": SiteRoute("mx.test", ("mx.test",)),
}


def laid(*decisions):
    """Return the overlay as a node reads it, after it found nothing wrong with it."""
    layer = parse_shaping(format_overlay(decisions).encode(), "shaping.toml", is_remote=True)
    shaping, findings = merge_layers([layer], ROUTES, LoadOptions())
    assert layer.findings == findings == ()
    return shaping


def options(shaping, domain="a.test", source="ip-1", site="mx.test"):
    return shaping.resolve(domain, source, site).options()


def test_an_override_of_a_site_is_for_all_its_domains_and_of_a_domain_for_that_alone():
    shaping = laid(override(5, site="mx.test"))
    assert options(shaping) == options(shaping, "b.test") == {"max_ready": 5}
    assert options(shaping, source="ip-2") == {}

    shaping = laid(override(5, domain="a.test"))
    assert (options(shaping), options(shaping, "b.test")) == ({"max_ready": 5}, {})


def test_of_several_for_one_option_the_one_that_holds_longest_counts():
    first, second = override(5, site="mx.test"), override(6, site="mx.test", lasts_s=900.0)

    assert options(laid(first, second)) == {"max_ready": 6}


def test_where_a_domain_has_overrides_of_its_own_nothing_reaches_the_rest_of_its_site():
    shaping = laid(
        override(5, site="mx.test"), override(7, domain="a.test", option="connection_limit")
    )

    assert options(shaping) == {"max_ready": 5, "connection_limit": 7}
    assert options(shaping, "b.test") == {}


def test_the_overlay_says_why_and_until_when():
    text = format_overlay([override(5, site="mx.test", reason="automation rule: slow\ndown")])

    assert "# automation rule: slow down\n# expires 2027-01-15T08:10:00Z\nmax_ready = 5" in text
    assert text.startswith("# 1 overrides")
    assert text.endswith("# end of 1 overrides\n")


def test_an_empty_overlay_is_a_layer_too():
    assert tomllib.loads(format_overlay([])) == {}


def test_held_days_are_a_part_of_it():
    of_provider = decision(
        DecisionKind.WARMUP_HOLD,
        scope=DecisionScope(source="ip-1", provider="big one", day="2027-02-28"),
        value=2,
    )

    assert tomllib.loads(format_overlay([WARMUP, of_provider])) == {
        "warmup": {
            "ip-1": {
                "held_days": ["2027-01-15", "2027-01-16"],
                "provider": {"big one": {"held_days": ["2027-02-28", "2027-03-01"]}},
            }
        }
    }
    assert [day.isoformat() for day in held_days(WARMUP)] == ["2027-01-15", "2027-01-16"]


TEXTS = st.text(max_size=20)


@given(
    TEXTS.filter(bool),
    TEXTS,
    st.recursive(
        st.one_of(TEXTS, st.integers(-(2**60), 2**60), st.booleans(), st.floats(-1e9, 1e9)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=5,
    ),
)
def test_whatever_names_and_values_hold_the_overlay_is_toml(name, reason, value):
    one = override(value, domain=name, source=name, reason=reason)

    assert tomllib.loads(format_overlay([one])) == {
        name: {"mx_rollup": False, "sources": {name: {"max_ready": value}}}
    }


@pytest.mark.parametrize("mark", ["\x7f", "\x00", "\u2028", '"', "\\", "é"])
def test_marks_that_toml_minds_are_escaped(mark):
    one = override(f"a{mark}b", domain=f"d{mark}", reason=f"x{mark}y")

    assert tomllib.loads(format_overlay([one]))[f"d{mark}"]["sources"]["ip-1"] == {
        "max_ready": f"a{mark}b"
    }
