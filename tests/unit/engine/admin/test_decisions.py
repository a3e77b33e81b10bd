"""The decisions of the automation, as operators list them."""

from __future__ import annotations

import pytest

from engine.admin.decisions import DECISIONS, matches
from engine.model.decision import Decision, DecisionKind, DecisionScope
from engine.model.shaping_section import ShapingLayer
from tests.fakes.admin_world import admin_world

TSA = "http://user:secret@tsa.test:8008"
READY = "ip-1->mx.a.test@smtp_client"


def decide(world, kind, ends_in=60.0, value=None, rule="r1", **scope):
    return Decision(
        kind=kind,
        scope=DecisionScope(**scope),
        rule_hash=rule,
        reason="automation rule: slow down",
        expires_at=world.clock.wall() + ends_in,
        value=value,
    )


def suspension(world, **more):
    return decide(world, DecisionKind.SUSPEND_READY, ready_queue=READY, **more)


def override(world, **more):
    scope = {"source": "ip-1", "site_name": "mx.a.test", "option": "connection_limit"}
    return decide(world, DecisionKind.OVERRIDE, value=3, **(scope | more))


async def test_a_suspension_is_shown_with_the_directive_that_carries_it_out(tmp_path):
    async with admin_world(tmp_path) as world:
        world.book.take(TSA, [suspension(world)])
        shown = await world.act(DECISIONS)

        (one,) = shown.decisions
        assert one.directive == world.suspensions.find_ready(READY).id
        assert one.in_force
        assert (one.kind, one.scope.ready_queue, one.rule) == ("ReadyQSuspension", READY, "r1")
        assert one.origin == "http://tsa.test:8008"
        assert one.first_seen < one.expires
        assert (shown.total, shown.matching, shown.kinds) == (1, 1, {"ReadyQSuspension": 1})


async def test_what_an_operator_cancelled_is_shown_as_not_in_force(tmp_path):
    async with admin_world(tmp_path) as world:
        world.book.take(TSA, [suspension(world)])
        world.suspensions.cancel(world.suspensions.find_ready(READY).id)

        (one,) = (await world.act(DECISIONS)).decisions
        assert (one.in_force, one.directive) == (False, None)


async def test_of_two_about_the_same_mail_the_one_that_lasts_longer_is_in_force(tmp_path):
    async with admin_world(tmp_path) as world:
        short, long = suspension(world), suspension(world, ends_in=90.0, rule="r2")
        world.book.take(TSA, [short, long])

        found = {one.rule: one.in_force for one in (await world.act(DECISIONS)).decisions}
        assert found == {"r1": False, "r2": True}


async def test_an_override_is_shown_with_its_value_and_counts_while_its_overlay_does(tmp_path):
    async with admin_world(tmp_path) as world:
        world.book.take(TSA, [override(world)])
        (before,) = (await world.act(DECISIONS)).decisions
        world.overrides.replace(TSA, b"# x", ShapingLayer("overlay"))
        (after,) = (await world.act(DECISIONS)).decisions

        assert (before.in_force, after.in_force) == (False, True)
        assert (after.value, after.scope.option, after.directive) == (3, "connection_limit", None)


async def test_the_latest_come_first_and_the_rest_is_counted(tmp_path):
    async with admin_world(tmp_path) as world:
        for number in range(5):
            world.book.take(TSA, [override(world, domain=f"d{number}.test")])
        world.book.take(TSA, [suspension(world, ends_in=-1)])
        shown = await world.act(DECISIONS, limit=2)

        assert [one.scope.domain for one in shown.decisions] == ["d4.test", "d3.test"]
        assert (shown.matching, shown.total) == (5, 5)


async def test_only_what_was_asked_for_is_listed(tmp_path):
    async with admin_world(tmp_path) as world:
        bounce = decide(world, DecisionKind.BOUNCE, domain="b.test")
        world.book.take(TSA, [suspension(world), override(world), bounce])
        found = await world.act(DECISIONS, domain="b.test")

        assert [one.kind for one in found.decisions] == [DecisionKind.BOUNCE]
        assert (found.matching, found.total) == (1, 3)


@pytest.mark.parametrize(
    ("asked", "is_wanted"),
    [
        ({}, True),
        ({"source": "ip-1"}, True),
        ({"source": "ip-2"}, False),
        ({"site": "mx.a.test"}, True),
        ({"site": "mx.b.test"}, False),
        ({"kind": DecisionKind.SUSPEND_READY}, True),
        ({"kind": DecisionKind.BOUNCE}, False),
        ({"domain": "a.test"}, False),
        ({"option": "max_ready"}, False),
    ],
)
async def test_a_ready_queue_is_found_by_its_source_and_site(tmp_path, asked, is_wanted):
    async with admin_world(tmp_path) as world:
        request = DECISIONS.request(**asked)

        assert matches(request, suspension(world)) is is_wanted


async def test_a_value_of_any_size_is_cut(tmp_path):
    async with admin_world(tmp_path) as world:
        scope = {"source": "ip-1", "domain": "x" * 5000, "option": "connection_limit"}
        world.book.take(TSA, [decide(world, DecisionKind.OVERRIDE, value=["y" * 5000], **scope)])
        (one,) = (await world.act(DECISIONS)).decisions

        assert (len(one.scope.domain), len(one.value)) == (2000, 2000)
