"""A rule is read as a whole or not at all; its identity is what it does."""

from __future__ import annotations

import pytest

from engine.model.shaping_finding import FileView
from engine.model.shaping_rule import parse_rule, scope_rule
from engine.model.shaping_trigger import Immediate, Proportion, Threshold

GOOD = {"regex": "slow down", "action": "Suspend", "duration": "2h"}
PATH = ("a.example", "automation", 0)
SHARE = {"Proportion": {"over": "10%", "within": "5m", "at_least": 100}}


def read(value, line=5):
    """Return a rule and what was said about it."""
    view = FileView("x.toml", lambda *path: line)
    rule = parse_rule(value, view, PATH, '"a.example"')
    return rule, [f"{one.severity}: {one.key}: {one.message}" for one in view.findings]


def test_a_rule_acts_at_once_on_what_peers_say_unless_it_says_otherwise():
    rule, said = read(GOOD)

    assert said == []
    assert rule.trigger == Immediate()
    assert (rule.duration_s, rule.match_internal, rule.is_enabled) == (7200.0, False, True)
    assert (str(rule.place), rule.section) == ("x.toml:5", '"a.example"')


def test_any_of_several_patterns_is_enough_and_all_actions_are_taken():
    rule, _ = read(
        {
            "regex": ["[[]TSS04[]]", "try later"],
            "action": ["Suspend", {"SetConfig": {"name": "connection_limit", "value": 1}}],
            "trigger": {"Threshold": "5/hr"},
            "duration": 90,
            "match_internal": True,
            "enabled": False,
        }
    )

    assert rule.matches("421 4.7.0 [TSS04] no")
    assert rule.matches("451 try later")
    assert not rule.matches("550 5.1.1 unknown user")
    assert [action.kind.value for action in rule.actions] == ["Suspend", "SetConfig"]
    assert rule.trigger == Threshold(5, 3600.0)
    assert (rule.duration_s, rule.match_internal, rule.is_enabled) == (90.0, True, False)


def test_a_rule_on_proportions_may_look_at_every_reply():
    rule, said = read({"action": "Suspend", "trigger": SHARE, "duration": "1h"})

    assert said == []
    assert isinstance(rule.trigger, Proportion)
    assert rule.matches("anything at all")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"regex": None}, "error: {}.regex: a rule needs regex"),
        ({"regex": []}, "error: {}.regex: a rule needs regex"),
        ({"action": None}, "error: {}.action: a rule needs action"),
        ({"action": []}, "error: {}.action: a rule needs action"),
        ({"duration": None}, "error: {}.duration: a rule needs duration"),
        ({"duration": "2"}, "error: {}.duration: duration '2' needs a unit"),
        ({"duration": -1}, "error: {}.duration: a duration cannot be negative"),
        ({"regex": ["a", "(b"]}, "error: {}.regex[1]: not a regular expression"),
        ({"regex": {"a": 1}}, "error: {}.regex: a regular expression is text"),
        ({"action": ["Suspend", "Sleep"]}, "error: {}.action[1]: unknown action 'Sleep'"),
        ({"trigger": "Never"}, "error: {}.trigger: 'Immediate', {{Threshold"),
        ({"match_internal": "yes"}, "error: {}.match_internal: True or False"),
        ({"enabled": 1}, "error: {}.enabled: True or False"),
        ({"reg": "a"}, "error: {}.reg: unknown key of a rule (did you mean 'regex'?)"),
    ],
)
def test_a_rule_with_a_mistake_is_no_rule(change, said):
    rule, found = read(GOOD | change)

    assert rule is None
    assert len(found) == 1
    assert found[0].startswith(said.format('"a.example".automation[0]'))


def test_all_mistakes_of_a_rule_are_told_at_once():
    rule, found = read({"regex": "(", "action": "Slep", "duration": "x", "trigger": 1, "enable": 1})

    assert rule is None
    assert len(found) == 5


def test_what_is_no_table_is_no_rule():
    assert read("Suspend") == (
        None,
        ["error: \"a.example\".automation[0]: a table is expected, not 'Suspend'"],
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"duration": 0}, "duration: the rule has no effect: its duration is zero"),
        ({"trigger": {"Threshold": "local:5/h"}}, "trigger: a threshold is N/period"),
        ({"regex": "^Slow"}, "regex: '^Slow' can never match"),
        ({"regex": ["slow", "/slow/"]}, "regex[1]: '/slow/' the slashes"),
        (
            {"action": {"SetConfig": {"name": "enable_mta_sts", "value": True}}},
            "action: enable_mta_sts is not yet in force",
        ),
        (
            {"action": {"SetConfig": {"name": "tls_prefer_openssl", "value": True}}},
            "action: tls_prefer_openssl is known but not yet in force",
        ),
    ],
)
def test_what_has_no_effect_is_told_and_the_rule_stays(change, said):
    rule, found = read(GOOD | change)

    assert rule is not None
    assert len(found) == 1
    assert found[0].startswith(f'warning: "a.example".automation[0].{said}')


def test_where_a_rule_stands_and_whether_it_is_on_changes_nothing_about_its_identity():
    here, _ = read(GOOD)
    there, _ = read(GOOD | {"enabled": False, "regex": ["slow down"], "duration": 7200}, line=99)

    digest = scope_rule(here, is_rollup=True).digest

    assert scope_rule(there, is_rollup=True).digest == digest
    assert scope_rule(here, is_rollup=False).digest != digest
    for change in ({"regex": "slow"}, {"action": "Bounce"}, {"duration": 1}, {"trigger": SHARE}):
        other, _ = read(GOOD | change)
        assert scope_rule(other, is_rollup=True).digest != digest


def test_a_rule_shows_itself_as_operators_write_it():
    rule, _ = read(GOOD)

    assert rule.to_value() == {
        "regex": ["slow down"],
        "action": ["Suspend"],
        "trigger": "Immediate",
        "duration": 7200.0,
        "match_internal": False,
        "enabled": True,
    }
    assert read(rule.to_value())[0] == rule
