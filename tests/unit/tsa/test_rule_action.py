"""What an action acts on, and the decision it makes of a record."""

from __future__ import annotations

import pytest

from engine.model.decision import DecisionKind, DecisionScope
from tests.fakes.tsa_world import NOON, rule_text, seen, shaping_of
from tsa.rule_action import HELD_DAYS_MAX, HOLD_KEPT_S, decide, identity_of, scope_of
from tsa.seen_record import cause_of

SET = '{ SetConfig = { name = "max_ready", value = 7 } }'
SET_DOMAIN = '{ SetDomainConfig = { name = "max_ready", value = 7 } }'
ADJUST = '{ AdjustConfig = { name = "connection_limit", floor = 2 } }'
QUEUE = "news:acme@big.example"
PROVIDER = '[provider.big]\nmatch = [{ DomainSuffix = "big.example" }]\n'


def rule_of(action, *, section="default", **more):
    text = PROVIDER if section.startswith("provider") else ""
    (one,) = shaping_of(text + rule_text(action, section=section, **more)).all_rules()
    return one


def scope(action, record=None, *, section="default", domain="big.example"):
    one = rule_of(action, section=section)
    return scope_of(one, one.rule.actions[0], record or seen(queue=QUEUE), domain)


READY = DecisionScope(ready_queue="ip-1->mx.big.example@smtp_client", source="ip-1")
SITE = DecisionScope(site_name="mx.big.example", source="ip-1", option="max_ready")
ALONE = DecisionScope(domain="big.example", source="ip-1", option="max_ready")


@pytest.mark.parametrize(
    ("action", "section", "kind", "expected"),
    [
        ('"Suspend"', "default", DecisionKind.SUSPEND_READY, READY),
        ('"Suspend"', "provider.big", DecisionKind.SUSPEND_READY, READY),
        (
            '"SuspendTenant"',
            "default",
            DecisionKind.SUSPEND_SCHEDULED,
            DecisionScope(domain="big.example", tenant="acme"),
        ),
        (
            '"SuspendCampaign"',
            "default",
            DecisionKind.SUSPEND_SCHEDULED,
            DecisionScope(domain="big.example", tenant="acme", campaign="news"),
        ),
        ('"Bounce"', "default", DecisionKind.BOUNCE, DecisionScope(domain="big.example")),
        (
            '"BounceTenant"',
            "default",
            DecisionKind.BOUNCE,
            DecisionScope(domain="big.example", tenant="acme"),
        ),
        (
            '"BounceCampaign"',
            "default",
            DecisionKind.BOUNCE,
            DecisionScope(domain="big.example", tenant="acme", campaign="news"),
        ),
        (SET, "default", DecisionKind.OVERRIDE, SITE),
        (SET, "provider.big", DecisionKind.OVERRIDE, ALONE),
        (SET_DOMAIN, "default", DecisionKind.OVERRIDE, ALONE),
        (
            ADJUST,
            "default",
            DecisionKind.OVERRIDE,
            DecisionScope(site_name="mx.big.example", source="ip-1", option="connection_limit"),
        ),
        ('"PauseWarmup"', "default", DecisionKind.WARMUP_HOLD, DecisionScope(source="ip-1")),
        (
            '"PauseWarmup"',
            "provider.big",
            DecisionKind.WARMUP_HOLD,
            DecisionScope(source="ip-1", provider="big"),
        ),
    ],
)
def test_an_action_acts_on_its_own_scope(action, section, kind, expected):
    assert scope(action, section=section) == (kind, expected)


@pytest.mark.parametrize(
    "action", ['"SuspendTenant"', '"SuspendCampaign"', '"BounceTenant"', '"BounceCampaign"']
)
def test_an_action_about_a_tenant_is_nothing_where_there_is_none(action):
    assert scope(action, seen(queue="big.example")) is None


@pytest.mark.parametrize("action", ['"SuspendCampaign"', '"BounceCampaign"'])
def test_an_action_about_a_campaign_is_about_the_tenant_where_there_is_none(action):
    _, found = scope(action, seen(queue="acme@big.example"))

    assert found == DecisionScope(domain="big.example", tenant="acme")


def test_a_record_without_a_ready_queue_suspends_none():
    assert scope('"Suspend"', seen(ready_queue="", site="")) is None


def test_a_record_without_a_site_overrides_none():
    record = seen(site_name="", site="", ready_queue="")

    assert scope(SET, record) is None
    assert scope(SET_DOMAIN, record) is not None


def test_queues_are_those_of_the_queue_not_of_the_recipient():
    _, found = scope('"Bounce"', seen(queue="relay.example"), domain="alias.example")
    assert found.domain == "relay.example"

    _, found = scope('"Bounce"', seen(queue=""), domain="alias.example")
    assert found.domain == "alias.example"


def decided(action, record=None, **more):
    one = rule_of(action, **more)
    record = record or seen(NOON, record_id="r1", queue=QUEUE)
    found = scope_of(one, one.rule.actions[0], record, "big.example")
    return decide(one, one.rule.actions[0], *found, cause_of(record, "big.example", record.at))


def test_a_decision_says_why_since_when_and_until_when():
    decision = decided('"Suspend"', duration="2 hours")

    assert (decision.first_record_at, decision.last_record_at) == (NOON, NOON)
    assert (decision.first_record_id, decision.last_record_id) == ("r1", "r1")
    assert (decision.expires_at, decision.count) == (NOON + 7200, 1)
    assert (decision.rule, decision.place) == ("default", "rules.toml:1")
    assert decision.reason == "automation rule: slow down"


def test_a_reason_is_short_however_long_the_patterns_are():
    assert len(decided('"Suspend"', regex="x" * 5000).reason) == 500


def test_a_rule_without_patterns_says_so():
    share = '{ Proportion = { over = "10%", within = "5m", at_least = 100 } }'

    assert decided('"Suspend"', regex=None, trigger=share).reason == "automation rule: every reply"


def test_an_override_holds_the_value_and_names_a_domain_of_its_site():
    decision = decided(SET, seen(recipient=["a@one.example", "b@two.example"]))

    assert (decision.value, decision.site_domain) == (7, "one.example")
    assert decided(SET_DOMAIN).site_domain == ""


@pytest.mark.parametrize(
    ("duration", "days"),
    [("1 second", 1), ("1 day", 1), ("25 hours", 2), ("10000 days", HELD_DAYS_MAX)],
)
def test_a_held_day_is_that_of_the_record_and_is_remembered_for_a_year(duration, days):
    decision = decided('"PauseWarmup"', duration=duration)

    assert (decision.scope.day, decision.value) == ("2027-01-15", days)
    assert decision.expires_at == NOON - NOON % 86_400 + HOLD_KEPT_S


def test_the_identity_of_an_action_does_not_depend_on_where_the_rule_stands():
    one = rule_of(f'["Suspend", {SET}]')
    moved = shaping_of("# moved\n\n" + rule_text(f'["Suspend", {SET}]')).all_rules()[0]

    names = [identity_of(one, action) for action in one.rule.actions]

    assert names == [identity_of(moved, action) for action in moved.rule.actions]
    assert len(set(names)) == 2


def test_another_rule_has_another_identity():
    rules = [rule_of('"Suspend"'), rule_of('"Suspend"', duration="2 hours"), rule_of('"Bounce"')]

    assert len({identity_of(one, one.rule.actions[0]) for one in rules}) == 3
