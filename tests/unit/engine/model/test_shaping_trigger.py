"""When a rule acts, as operators write it."""

from __future__ import annotations

import pytest

from engine.model.disposition import Disposition
from engine.model.shaping_trigger import (
    Immediate,
    Proportion,
    Threshold,
    has_idle_parts,
    parse_positive_duration,
    parse_share,
    parse_trigger,
)

BOTH = frozenset({Disposition.DEFERRED, Disposition.FAILED})


@pytest.mark.parametrize(
    ("written", "trigger"),
    [
        ("Immediate", Immediate()),
        ({"Threshold": "10/hour"}, Threshold(10, 3600.0)),
        ({"Threshold": "3/10min"}, Threshold(3, 600.0)),
        ({"Threshold": "2/hr"}, Threshold(2, 3600.0)),
        (
            {"Proportion": {"of": "Deferred", "over": "10%", "within": "5m", "at_least": 100}},
            Proportion(frozenset({Disposition.DEFERRED}), 0.1, 300.0, 100),
        ),
        (
            {"Proportion": {"over": 0.5, "within": 60, "at_least": 1}},
            Proportion(BOTH, 0.5, 60.0, 1),
        ),
        (
            {"Proportion": {"of": ["Failed"], "over": 1, "within": 60, "at_least": 1}},
            Proportion(frozenset({Disposition.FAILED}), 1.0, 60.0, 1),
        ),
    ],
)
def test_a_trigger_is_read(written, trigger):
    assert parse_trigger(written) == trigger


@pytest.mark.parametrize(
    "written",
    [
        "Immediate",
        {"Threshold": "10/hour"},
        {"Threshold": "3/10min"},
        {"Proportion": {"of": ["Failed"], "over": "12.5%", "within": "5m", "at_least": 10}},
    ],
)
def test_the_way_it_is_shown_means_the_same(written):
    trigger = parse_trigger(written)

    assert parse_trigger(trigger.to_value()) == trigger


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("Immediat", "'Immediate', {Threshold"),
        (5, "'Immediate', {Threshold"),
        ({}, "'Immediate', {Threshold"),
        ({"Threshold": "1/h", "Proportion": {}}, "'Immediate', {Threshold"),
        ({"Treshold": "1/h"}, "unknown trigger 'Treshold' (did you mean 'Threshold'?)"),
        ({"Threshold": "10"}, "not a rate: '10'"),
        ({"Threshold": 10}, "a rate is text"),
        ({"Threshold": "0/h"}, "a rate is at least 1"),
        ({"Proportion": "10%"}, "a table {of, over, within, at_least} is expected"),
        ({"Proportion": {"over": "1%", "within": "1m"}}, "Proportion: at_least is missing"),
        ({"Proportion": {"over": "1%", "at_least": 5}}, "Proportion: within is missing"),
        ({"Proportion": {"within": "1m", "at_least": 5}}, "Proportion: over is missing"),
        ({"Proportion": {"ovr": "1%"}}, "Proportion: unknown option 'ovr'"),
        ({"Proportion": {"of": "Bounced"}}, "Proportion: of: one of Deferred, Failed"),
        ({"Proportion": {"of": []}}, "Proportion: of: at least one of"),
        ({"Proportion": {"at_least": 0}}, "Proportion: at_least: a number from 1"),
        ({"Proportion": {"within": 0}}, "Proportion: within: a duration above zero"),
    ],
)
def test_a_mistake_is_told_in_the_words_of_the_file(written, complaint):
    with pytest.raises(ValueError) as caught:
        parse_trigger(written)

    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize(
    ("written", "share"), [("10%", 0.1), ("12.5 %", 0.125), (" 100% ", 1.0), (0.25, 0.25), (1, 1)]
)
def test_a_share_is_a_percentage_or_a_number(written, share):
    assert parse_share(written) == pytest.approx(share)


@pytest.mark.parametrize("written", ["0%", "101%", 0, 1.5, -0.1, "a lot", "10", True, None, []])
def test_what_is_no_share_is_refused(written):
    with pytest.raises(ValueError, match="share"):
        parse_share(written)


def test_a_duration_may_not_be_zero_where_something_is_waited_for():
    assert parse_positive_duration("5m") == 300
    with pytest.raises(ValueError, match="above zero"):
        parse_positive_duration("0s")


@pytest.mark.parametrize(
    ("written", "is_idle"),
    [
        ({"Threshold": "local:5/h"}, True),
        ({"Threshold": "5/h,max_burst=2"}, True),
        ({"Threshold": "5/h"}, False),
        ({"Proportion": {}}, False),
        ("Immediate", False),
        (None, False),
    ],
)
def test_parts_of_a_threshold_without_meaning_are_seen(written, is_idle):
    assert has_idle_parts(written) is is_idle
