"""Sources that fail are taken out by the rule that they gave, and come back by themselves."""

from __future__ import annotations

import pytest

from engine.control.source_health import SourceHealth
from engine.control.suspensions import SuspensionRegistry
from engine.model.egress import make_egress_source
from policy.testing import ManualTime

AT_ONCE = {"trigger": "Immediate", "duration": "5m"}
THREE = {"trigger": {"Threshold": "3/min"}, "duration": "10m"}


@pytest.fixture
def time():
    return ManualTime()


@pytest.fixture
def suspensions(time):
    return SuspensionRegistry(time)


@pytest.fixture
def health(suspensions, time):
    return SourceHealth(suspensions, time)


def source(**options):
    return make_egress_source(name="ip-1", **options)


def test_a_source_is_taken_out_at_once_and_comes_back(health, suspensions, time):
    health.note_proxy(source(suspend_when_proxy_unhealthy=AT_ONCE), "proxy p: refused")
    found = suspensions.find_way("ip-1->mx@smtp_client", "ip-1")
    assert (found.reason, found.author) == ("proxy p: refused", "source health")
    assert suspensions.find_way("ip-2->mx@smtp_client", "ip-2") is None
    assert health.out() == [("ip-1", "proxy_unhealthy")]
    time.advance(300)
    assert suspensions.find_source("ip-1") is None
    assert health.out() == []


def test_a_threshold_counts_within_its_period(health, suspensions, time):
    one = source(suspend_when_unplumbed=THREE)
    health.note_unplumbed(one, "not here")
    time.advance(50)
    health.note_unplumbed(one, "not here")
    time.advance(20)
    health.note_unplumbed(one, "not here")
    assert suspensions.is_empty
    health.note_unplumbed(one, "not here")
    assert suspensions.find_source("ip-1") is not None
    assert health.suspensions == {("ip-1", "unplumbed"): 1}


def test_each_kind_of_trouble_is_judged_by_its_own_rule(health, suspensions):
    health.note_unplumbed(source(suspend_when_proxy_unhealthy=AT_ONCE), "not here")
    health.note_proxy(source(suspend_when_unplumbed=AT_ONCE), "refused")
    health.note_proxy(source(), "refused")
    assert suspensions.is_empty
    assert health.proxy_failures == 2
    assert health.failures == {("ip-1", "Unplumbed"): 1, ("ip-1", "ProxyUnhealthy"): 2}


def test_while_it_is_out_nothing_is_counted(health, suspensions, time):
    one = source(suspend_when_proxy_unhealthy=AT_ONCE)
    health.note_proxy(one, "first")
    time.advance(100)
    health.note_proxy(one, "second")
    time.advance(200)
    assert suspensions.find_source("ip-1") is None
    assert health.suspensions == {("ip-1", "proxy_unhealthy"): 1}


def test_one_that_an_operator_took_out_says_so(health, suspensions):
    suspensions.add_source("ip-1", "blocked", "ann", 60.0)
    assert health.out() == [("ip-1", "operator")]


def test_an_operator_can_let_it_back(health, suspensions):
    health.note_proxy(source(suspend_when_proxy_unhealthy=AT_ONCE), "refused")
    (found,) = suspensions.list_sources()
    assert suspensions.cancel(found.id)
    assert suspensions.find_source("ip-1") is None
