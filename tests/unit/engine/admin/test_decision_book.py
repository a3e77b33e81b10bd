"""Decisions become directives: the longest counts, and nobody's is made shorter."""

from __future__ import annotations

import pytest

from engine.admin.decision_book import DecisionBook
from engine.base.clock import Clock
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.suspensions import SuspensionRegistry
from engine.model.decision import Decision, DecisionKind, DecisionScope
from engine.model.suspension import Criteria
from policy.testing import ManualTime

WALL = 1_700_000_000.0
A, B = "http://a.example:8008", "http://b.example:8008"
READY = "ip-1->mx.example@smtp_client"


class World:
    def __init__(self) -> None:
        self.time = ManualTime()
        clock = Clock(mono=self.time, wall=lambda: WALL + self.time())
        self.suspensions = SuspensionRegistry(self.time)
        self.bounces = AdminBounceRegistry(self.time)
        self.told = 0
        self.suspensions.on_change.append(self._tell)
        self.book = DecisionBook(self.suspensions, self.bounces, clock)

    def _tell(self) -> None:
        self.told += 1

    def ready(self):
        found = self.suspensions.find_ready(READY)
        return (found.reason, found.expires_mono - self.time()) if found else None

    def ends_in(self, seconds):
        return WALL + self.time() + seconds


@pytest.fixture
def world():
    return World()


def suspension(world, seconds=60, reason="slow down", rule="r1", name=READY):
    return Decision(
        kind=DecisionKind.SUSPEND_READY,
        scope=DecisionScope(ready_queue=name),
        rule_hash=rule,
        reason=reason,
        expires_at=world.ends_in(seconds),
    )


def tenant(world, kind=DecisionKind.SUSPEND_SCHEDULED, seconds=60, **scope):
    return Decision(
        kind=kind,
        scope=DecisionScope(domain="mx.example", **scope),
        rule_hash="r1",
        reason="blocked",
        expires_at=world.ends_in(seconds),
    )


def test_a_suspension_holds_the_ready_queue_until_it_ends(world):
    assert world.book.take(A, [suspension(world)])
    assert world.ready() == ("slow down", 60)
    assert world.suspensions.find_ready(READY).author == "TSA http://a.example:8008"
    world.time.advance(60)
    assert world.ready() is None


def test_scheduled_queues_are_suspended_by_domain_tenant_and_campaign(world):
    world.book.take(A, [tenant(world, tenant="t", campaign="c")])
    (found,) = world.suspensions.list_scheduled()
    assert found.criteria == Criteria(domain="mx.example", tenant="t", campaign="c")
    assert world.suspensions.find_scheduled("c:t@mx.example") is found
    assert world.suspensions.find_scheduled("other:t@mx.example") is None


def test_a_bounce_fails_what_it_covers(world):
    world.book.take(A, [tenant(world, DecisionKind.BOUNCE, tenant="t")])
    assert world.bounces.find("t@mx.example").reason == "blocked"
    assert world.bounces.find("u@mx.example") is None


def test_overrides_and_held_days_make_no_directive(world):
    scope = DecisionScope(source="ip-1", domain="x", option="connection_limit")
    override = Decision(
        kind=DecisionKind.OVERRIDE,
        scope=scope,
        rule_hash="r",
        reason="x",
        expires_at=world.ends_in(60),
    )
    assert not world.book.take(A, [override])
    assert len(world.book) == 0
    assert [one.decision for one in world.book.everything()] == [override]
    assert world.book.origins() == {A}


def test_everything_that_has_not_ended_is_told_with_the_time_it_was_first_seen(world):
    world.book.take(A, [suspension(world, 60)])
    first_at = world.ends_in(0)
    world.time.advance(10)
    world.book.take(A, [suspension(world, 90), tenant(world, seconds=5)])
    world.time.advance(5)

    (one,) = world.book.everything()
    assert (one.origin, one.first_seen_at) == (A, first_at)
    assert world.book.directive_of(one.decision) == world.suspensions.find_ready(READY).id


def test_what_has_ended_is_not_taken(world):
    assert not world.book.take(A, [suspension(world, -1)])
    assert world.ready() is None


def test_a_renewal_makes_it_longer_and_never_shorter(world):
    world.book.take(A, [suspension(world, 60)])
    assert world.book.take(A, [suspension(world, 90)])
    assert not world.book.take(A, [suspension(world, 30)])
    assert world.ready() == ("slow down", 90)


def test_of_two_rules_the_one_that_ends_last_is_in_force(world):
    world.book.take(A, [suspension(world, 60, "short", "r1")])
    world.book.take(A, [suspension(world, 90, "long", "r2")])
    world.book.take(A, [suspension(world, 70, "middle", "r3")])
    assert world.ready() == ("long", 90)


def test_a_decision_taken_back_leaves_the_next_in_force(world):
    world.book.take(A, [suspension(world, 60, "short", "r1"), suspension(world, 90, "long", "r2")])
    world.book.begin_snapshot(A)
    world.book.take(A, [suspension(world, 60, "short", "r1")])
    world.book.end_snapshot(A)
    assert world.ready() == ("short", 60)


def test_a_snapshot_takes_back_what_it_does_not_name(world):
    world.book.take(A, [suspension(world), tenant(world), tenant(world, DecisionKind.BOUNCE)])
    world.book.begin_snapshot(A)
    world.book.take(A, [tenant(world)])
    assert world.ready() is not None
    assert world.book.end_snapshot(A)
    assert world.ready() is None
    assert world.bounces.is_empty
    assert len(world.suspensions.list_scheduled()) == 1


def test_a_snapshot_leaves_the_decisions_of_another_daemon_alone(world):
    world.book.take(A, [suspension(world)])
    world.book.begin_snapshot(B)
    world.book.end_snapshot(B)
    assert world.ready() is not None
    assert world.book.drop(A)
    assert world.ready() is None


def test_a_snapshot_that_never_ends_takes_nothing_back(world):
    world.book.take(A, [suspension(world)])
    world.book.begin_snapshot(A)
    world.book.begin_snapshot(A)
    assert world.ready() is not None


def test_an_operators_longer_suspension_stays(world):
    mine = world.suspensions.add_ready(READY, "maintenance", "ann", 600)
    world.book.take(A, [suspension(world)])
    assert world.suspensions.find_ready(READY) is mine
    world.book.drop(A)
    assert world.suspensions.find_ready(READY) is mine


def test_an_operators_shorter_suspension_is_made_longer(world):
    world.suspensions.add_ready(READY, "maintenance", "ann", 10)
    world.book.take(A, [suspension(world)])
    assert world.ready() == ("slow down", 60)


def test_what_an_operator_cancelled_stays_so_until_it_is_decided_anew(world):
    world.book.take(A, [suspension(world, 60)])
    world.suspensions.cancel(world.suspensions.find_ready(READY).id)
    world.book.begin_snapshot(A)
    world.book.take(A, [suspension(world, 60)])
    world.book.end_snapshot(A)
    assert world.ready() is None
    world.book.take(A, [suspension(world, 61)])
    assert world.ready() == ("slow down", 61)


def test_a_whole_snapshot_is_told_to_the_queues_once(world):
    many = [suspension(world, name=f"ip-{n}->mx@smtp_client") for n in range(500)]
    world.book.take(A, [*many, tenant(world)])
    assert world.told == 1


def test_what_has_ended_is_forgotten(world):
    world.book.take(A, [suspension(world, 60), tenant(world, seconds=120)])
    world.time.advance(61)
    world.book.prune()
    assert [one.kind for _, one in world.book] == [DecisionKind.SUSPEND_SCHEDULED]
    assert world.book.origins() == {A}


def test_a_step_of_the_wall_clock_moves_no_suspension_in_force(world):
    world.book.take(A, [suspension(world, 60)])
    before = world.suspensions.find_ready(READY).expires_mono
    world.book.take(A, [suspension(world, 60)])
    assert world.suspensions.find_ready(READY).expires_mono == before
