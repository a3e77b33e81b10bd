"""What a rule does, as operators write it; an option is checked with the value it would get."""

from __future__ import annotations

import pytest

from engine.model.shaping_action import (
    ADJUSTABLE,
    ActionKind,
    Adjustment,
    ShapingAction,
    parse_action,
)

PLAIN = [kind for kind in ActionKind if not kind.value.endswith("Config")]


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.value)
def test_an_action_without_a_table_is_its_name(kind):
    assert parse_action(kind.value) == ShapingAction(kind)
    assert parse_action(kind.value).to_value() == kind.value


@pytest.mark.parametrize("name", ["SetConfig", "SetDomainConfig"])
def test_an_action_sets_an_option(name):
    written = {name: {"name": "max_message_rate", "value": "1/minute"}}

    action = parse_action(written)

    assert (action.kind.value, action.name, action.value) == (name, "max_message_rate", "1/minute")
    assert action.to_value() == written


def test_an_adjustment_has_gentle_defaults():
    action = parse_action({"AdjustConfig": {"name": "connection_limit", "floor": 2}})

    assert action.adjustment == Adjustment("connection_limit", 2, 0.5, 0.1, 600.0)


def test_an_adjustment_says_how_far_how_fast_and_when_back():
    table = {
        "name": "max_message_rate",
        "floor": "1/s",
        "factor": "80%",
        "step": 0.05,
        "quiet": "5m",
    }

    action = parse_action({"AdjustConfig": table})

    assert action.adjustment == Adjustment("max_message_rate", "1/s", 0.8, 0.05, 300.0)
    assert parse_action(action.to_value()) == action


@pytest.mark.parametrize("name", ADJUSTABLE)
def test_rates_and_limits_can_be_adjusted(name):
    floor = "1/s" if name.endswith("_rate") else 1

    assert parse_action({"AdjustConfig": {"name": name, "floor": floor}}).adjustment.name == name


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("Suspnd", "unknown action 'Suspnd' (did you mean 'Suspend'?)"),
        ("SetConfig", "SetConfig needs a table"),
        ({"Suspend": {}}, "Suspend takes no table"),
        ({"Suspnd": {}}, "unknown action 'Suspnd'"),
        ({}, "the name of an action or a table of one is expected"),
        ({"Suspend": {}, "Bounce": {}}, "the name of an action or a table of one is expected"),
        (7, "the name of an action or a table of one is expected"),
        ({"SetConfig": "x"}, "SetConfig: a table is expected, not 'x'"),
        ({"SetConfig": {"name": "max_ready"}}, "SetConfig: value is missing"),
        ({"SetConfig": {"value": 5}}, "SetConfig: name is missing"),
        ({"SetConfig": {"name": "max_ready", "value": 5, "x": 1}}, "SetConfig: unknown option 'x'"),
        (
            {"SetConfig": {"name": "max_redy", "value": 5}},
            "SetConfig: max_redy: unknown option 'max_redy' (did you mean 'max_ready'?)",
        ),
        (
            {"SetDomainConfig": {"name": "max_message_rate", "value": "fast"}},
            "SetDomainConfig: max_message_rate: not a rate: 'fast'",
        ),
        ({"AdjustConfig": {"name": "connection_limit"}}, "AdjustConfig: floor is missing"),
        (
            {"AdjustConfig": {"name": "idle_timeout", "floor": 1}},
            "AdjustConfig: 'idle_timeout' cannot be adjusted; what can: connection_limit, ",
        ),
        (
            {"AdjustConfig": {"name": "connection_limit", "floor": 0}},
            "AdjustConfig: floor: a limit is at least 1",
        ),
        (
            {"AdjustConfig": {"name": "connection_limit", "floor": 1, "factor": 1}},
            "AdjustConfig: factor: a factor below 1",
        ),
        (
            {"AdjustConfig": {"name": "connection_limit", "floor": 1, "step": "0%"}},
            "AdjustConfig: step: a share is above 0",
        ),
        (
            {"AdjustConfig": {"name": "connection_limit", "floor": 1, "quiet": 0}},
            "AdjustConfig: quiet: a duration above zero",
        ),
    ],
)
def test_a_mistake_is_told_in_the_words_of_the_file(written, complaint):
    with pytest.raises(ValueError) as caught:
        parse_action(written)

    assert str(caught.value).startswith(complaint)


def test_an_option_without_effect_is_noted():
    action = parse_action({"SetConfig": {"name": "tls_prefer_openssl", "value": True}})

    assert action.notes == ("is known but not yet in force",)
