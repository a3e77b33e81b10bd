"""Rates and limits."""

import pytest

from engine.model.throttle_spec import (
    LimitSpec,
    ThrottleSpec,
    format_throttle,
    parse_limit,
    parse_throttle,
)


@pytest.mark.parametrize(
    ("text", "spec", "canonical"),
    [
        ("100/min", ThrottleSpec(100, 60), "100/m"),
        ("1,000/hour", ThrottleSpec(1000, 3600), "1000/h"),
        ("10_000/day", ThrottleSpec(10000, 86400), "10000/d"),
        ("20/30min", ThrottleSpec(20, 1800), "20/1800s"),
        ("local:5/s,max_burst=1", ThrottleSpec(5, 1, 1, True), "local:5/s,max_burst=1"),
        ("3/5m", ThrottleSpec(3, 300), "3/300s"),
    ],
)
def test_reads_and_prints_rates(text, spec, canonical):
    assert parse_throttle(text) == spec
    assert format_throttle(spec) == canonical
    assert parse_throttle(canonical) == spec


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("100", "slash"),
        ("0/s", "at least 1"),
        ("1/0s", "at least 1"),
        ("1/fortnight", "unknown unit"),
        ("1/seconds", "unknown unit"),
        ("1 / s", "not a rate"),
        ("-1/s", "not a rate"),
        ("1/s,max_burst=", "not a rate"),
        ("9" * 40 + "/s", "more than"),
        (100, "text like"),
    ],
)
def test_says_what_is_wrong_with_a_rate(value, hint):
    with pytest.raises(ValueError, match=hint):
        parse_throttle(value)


def test_the_whole_limit_may_burst_by_default():
    assert parse_throttle("7/s").burst == 7
    assert parse_throttle("7/s,max_burst=2").burst == 2
    assert parse_throttle("7/s,max_burst=0").burst == 1


def test_knows_its_interval():
    assert parse_throttle("120/min").interval_s == 0.5
    assert parse_throttle("120/min").per_s == 2


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (20, LimitSpec(20)),
        ("1,000", LimitSpec(1000)),
        ("local:20", LimitSpec(20, True)),
        ({"limit": 5, "force_local": True}, LimitSpec(5, True)),
        ({"limit": "local:5"}, LimitSpec(5, True)),
        (LimitSpec(3), LimitSpec(3)),
    ],
)
def test_reads_limits(value, limit):
    assert parse_limit(value) == limit
    assert parse_limit(str(limit)) == limit


@pytest.mark.parametrize(
    "value", [0, -1, True, 1.5, "", "x", "0", None, {}, {"limit": 1, "x": 2}, 10**15]
)
def test_refuses_what_is_no_limit(value):
    with pytest.raises(ValueError):
        parse_limit(value)
