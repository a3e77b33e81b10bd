"""Which rules look at a record, and whether it matches them."""

from __future__ import annotations

import pytest

from engine.model.log_record import RecordKind
from engine.model.shaping_rule_set import SKIPPED_KINDS
from tests.fakes.tsa_world import rule_text, seen, shaping_of
from tsa.rule_matcher import RuleMatcher

HALF = '{ Proportion = { of = "Deferred", over = "50%", within = "1m", at_least = 4 } }'
FAILED = HALF.replace("Deferred", "Failed")
PROVIDERS = """
[provider.big]
match = [{ MXSuffix = ".big.example" }]
[provider.named]
match = [{ DomainSuffix = ".named.example" }]
"""


def matcher(*rules):
    return RuleMatcher(shaping_of("".join(rules)))


def found(one, record):
    return [
        (scoped.rule.section, domain, is_match) for scoped, domain, is_match in one.matches(record)
    ]


def test_rules_come_in_the_order_of_their_sections_and_of_the_file():
    one = matcher(
        PROVIDERS,
        rule_text(section="provider.big"),
        rule_text('"Bounce"'),
        rule_text(section="provider.named"),
        rule_text('"SuspendTenant"', regex="other"),
        '["big.example"]\nmx_rollup = false\n',
        rule_text(section='"big.example"'),
    )

    sections = [section for section, _, _ in found(one, seen())]

    assert sections == ["default", "provider.big", '"big.example"']


def test_the_provider_is_the_one_whose_host_replied():
    one = matcher(PROVIDERS, rule_text(section="provider.big"))

    assert found(one, seen(peer_address={"name": "MX1.Big.Example.", "addr": "192.0.2.1"})) == [
        ("provider.big", "big.example", True)
    ]
    assert found(one, seen(peer_address={"name": "mx.small.example", "addr": "192.0.2.1"})) == []
    assert found(one, seen(peer_address=None)) == []


def test_where_nobody_replied_a_provider_is_known_by_the_domain():
    one = matcher(PROVIDERS, rule_text(section="provider.named"))

    record = seen(peer_address=None, recipient="user@a.named.example")

    assert found(one, record) == [("provider.named", "a.named.example", True)]


def test_the_same_rule_in_two_sections_is_two_rules():
    """What a pause acts on is the provider of the section, so they must not be taken for one."""
    one = matcher(
        PROVIDERS,
        rule_text(section="provider.big"),
        rule_text(section="provider.named"),
    )

    big = [scoped for scoped, _, _ in one.matches(seen())]
    named = [
        scoped
        for scoped, _, _ in one.matches(seen(peer_address=None, recipient="u@a.named.example"))
    ]

    assert [scoped.provider for scoped in (*big, *named)] == ["big", "named"]


def test_each_domain_of_the_recipients_has_rules_of_its_own():
    text = '["a.example"]\nmx_rollup = false\n' + rule_text(section='"a.example"')
    record = seen(recipient=["x@b.example", "y@a.example", "z@b.example"])

    assert found(matcher(text, rule_text('"Bounce"')), record) == [
        ("default", "b.example", True),
        ("default", "a.example", True),
        ('"a.example"', "a.example", True),
    ]


def test_a_recipient_without_a_domain_is_no_reason_for_anything():
    assert found(matcher(rule_text()), seen(recipient="postmaster")) == []


def test_a_rule_does_not_see_what_the_node_said_unless_it_asks_for_it():
    words = {"code": 451, "content": "slow down", "command": None}
    one = matcher(rule_text(), rule_text('"Bounce"', more="match_internal = true\n"))

    assert len(found(one, seen())) == 2
    (asked,) = one.matches(seen(response=words))
    assert asked[0].rule.match_internal


def test_a_rule_that_is_switched_off_is_not_there():
    assert found(matcher(rule_text(more="enabled = false\n")), seen()) == []


def test_one_of_several_patterns_is_enough_and_the_codes_belong_to_the_line():
    reply = {"code": 421, "enhanced_code": {"class": 4, "subject": 7, "detail": 28}}
    reply |= {"content": "too fast", "command": "RCPT"}
    one = matcher(rule_text().replace("'slow down'", "['never', '^421 4[.]7[.]28 too']"))

    assert len(found(one, seen(response=reply))) == 1
    assert found(one, seen(reply="421 too fast")) == []


def test_patterns_that_need_another_engine_are_tried_too():
    one = matcher(rule_text(regex="(?<!not )slow"))

    assert len(found(one, seen(reply="451 slow"))) == 1
    assert found(one, seen(reply="451 not slow")) == []


def test_a_share_sees_attempts_that_do_not_match():
    one = matcher(rule_text(trigger=HALF), rule_text('"Bounce"'))

    assert found(one, seen()) == [("default", "big.example", True)] * 2
    assert found(one, seen(reply="451 other")) == [("default", "big.example", False)]
    assert found(one, seen(type="Delivery", reply="250 slow down")) == [
        ("default", "big.example", False)
    ]


@pytest.mark.parametrize(
    ("kind", "deferred", "failed"),
    [
        ("TransientFailure", True, False),
        ("Bounce", False, True),
        ("Expiration", False, True),
        ("AdminBounce", False, True),
        ("Delivery", False, False),
    ],
)
def test_a_share_counts_the_outcome_it_is_of(kind, deferred, failed):
    one = matcher(rule_text(trigger=HALF), rule_text(trigger=FAILED))

    assert [is_match for _, _, is_match in found(one, seen(type=kind))] == [deferred, failed]


@pytest.mark.parametrize("kind", ["OOB", "Feedback"])
def test_what_is_no_attempt_is_in_no_share_and_can_match_all_the_same(kind):
    one = matcher(rule_text(trigger=HALF), rule_text('"Bounce"'))

    assert [scoped.rule.actions[0].kind.value for scoped, _, _ in one.matches(seen(type=kind))] == [
        "Bounce"
    ]


def test_a_share_without_patterns_sees_every_reply():
    one = matcher(rule_text(trigger=HALF, regex=None))

    assert found(one, seen(reply="499 anything")) == [("default", "big.example", True)]


def test_records_that_no_rule_can_look_at_are_not_wanted():
    plain, counting = matcher(rule_text()), matcher(rule_text(trigger=HALF))
    unwanted = {
        kind
        for kind in RecordKind
        if not plain.wants(seen(type=kind.value)) or not counting.wants(seen(type=kind.value))
    }

    assert unwanted == SKIPPED_KINDS | {RecordKind.DELIVERY}
    assert counting.wants(seen(type="Delivery"))
    assert not plain.wants(seen(reception_protocol="LogRecord"))


def test_what_is_remembered_is_what_would_be_found_again():
    one = matcher(PROVIDERS, rule_text(section="provider.big"), rule_text('"Bounce"'))
    for _ in range(2):
        for host in ("mx.big.example", "mx.other.example"):
            peer = {"name": host, "addr": "192.0.2.1"}
            sections = [section for section, _, _ in found(one, seen(peer_address=peer))]
            assert ("provider.big" in sections) == (host == "mx.big.example")


def test_memory_of_rules_by_domain_is_bounded(monkeypatch):
    monkeypatch.setattr("tsa.rule_matcher._REMEMBERED_MAX", 10)
    one = matcher(rule_text())
    for number in range(50):
        assert found(one, seen(recipient=f"u@d{number}.example"))

    assert len(one._remembered) == 10
