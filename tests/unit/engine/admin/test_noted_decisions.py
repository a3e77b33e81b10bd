"""Decisions that the overlay carries out are known as long as their daemon names them."""

from __future__ import annotations

import pytest

from engine.admin.noted_decisions import NotedDecisions, Subject
from engine.model.decision import Decision, DecisionKind, DecisionScope

A, B = "http://a.example:8008", "http://b.example:8008"
NOW = 1_700_000_000.0
LIMIT = Subject("connection_limit", "ip-1", "x.test")


def override(option="connection_limit", value=1, ends_in=60.0, domain="x.test"):
    return Decision(
        kind=DecisionKind.OVERRIDE,
        scope=DecisionScope(source="ip-1", domain=domain, option=option),
        rule_hash="r1",
        reason="slow down",
        expires_at=NOW + ends_in,
        value=value,
    )


@pytest.fixture
def noted():
    return NotedDecisions()


def test_overrides_are_found_by_what_they_are_about_with_the_time_they_were_first_seen(noted):
    noted.take(A, override(), NOW)
    noted.take(A, override("max_message_rate"), NOW + 1)

    (found,) = noted.about(LIMIT)
    assert (found.origin, found.first_seen_at, len(noted)) == (A, NOW, 2)
    assert noted.about(LIMIT._replace(option="max_ready")) == []


def test_a_repeat_changes_the_value_and_never_shortens(noted):
    noted.take(A, override(value=5), NOW)
    noted.take(A, override(value=3, ends_in=90), NOW + 10)
    noted.take(A, override(value=9, ends_in=30), NOW + 20)

    (found,) = noted
    assert (found.decision.value, found.decision.expires_at) == (3, NOW + 90)
    assert found.first_seen_at == NOW


def test_what_has_ended_is_not_taken_and_is_forgotten(noted):
    noted.take(A, override(ends_in=-1), NOW)
    assert len(noted) == 0

    noted.take(A, override(), NOW)
    noted.prune(NOW + 60)
    assert (len(noted), noted.about(LIMIT)) == (0, [])


def test_a_snapshot_takes_back_what_it_does_not_name_of_its_own_daemon(noted):
    for origin in (A, B):
        noted.take(origin, override(), NOW)
        noted.take(origin, override(domain="y.test"), NOW)
    noted.begin_snapshot(A)
    noted.take(A, override(), NOW)
    noted.end_snapshot(A)

    found = [(one.origin, one.decision.scope.domain) for one in noted]
    assert sorted(found) == [(A, "x.test"), (B, "x.test"), (B, "y.test")]


def test_all_of_a_daemon_can_be_dropped(noted):
    noted.take(A, override(), NOW)
    noted.take(B, override(), NOW)
    noted.drop(A)

    assert [one.origin for one in noted.about(LIMIT)] == [B]
