"""A value falls with complaints, comes back while they stay away, and never leaves its range."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.egress import make_egress_path
from engine.model.shaping_action import Adjustment
from engine.model.shaping_option import amount_of
from engine.model.throttle_spec import parse_throttle
from tests.fakes.tsa_world import NOON
from tsa.adjustment import LOWERINGS_PER_QUIET, UNBOUNDED_DOUBLINGS, begin_adjustment, value_of

LIMIT = Adjustment("connection_limit", 2, factor=0.5, step=0.25, quiet_s=100.0)
RATE = Adjustment("max_message_rate", "6/min", factor=0.5, step=0.1, quiet_s=100.0)


def begin(rule=LIMIT, configured=20):
    return begin_adjustment(rule, configured, NOON)


def test_the_first_complaint_lowers_what_is_configured():
    value = begin()

    assert (value.value, value.base, value.is_over) == (10, 20.0, False)
    assert value.next_rise_at == NOON + 100


def test_many_complaints_at_once_are_one():
    value = begin()
    shortest_s = LIMIT.quiet_s / LOWERINGS_PER_QUIET

    assert [value.signal(NOON + part) for part in (0, 1, shortest_s - 1)] == [False] * 3
    assert value.value == 10
    assert value.signal(NOON + shortest_s)
    assert value.value == 5


def test_the_floor_is_the_least():
    value = begin()
    for number in range(1, 9):
        value.signal(NOON + 50 * number)

    assert value.value == 2
    assert not value.signal(NOON + 1000), "nothing changes any more"


def test_quiet_gives_back_a_step_each_interval_and_ends_where_it_began():
    value = begin()
    seen = []
    for number in range(1, 4):
        assert not value.rise(NOON + 100 * number - 1)
        seen.append((value.rise(NOON + 100 * number), value.value, value.is_over))

    assert seen == [(True, 15, False), (True, 20, True), (False, 20, True)]


def test_what_was_missed_is_given_back_at_once():
    often, seldom = begin(), begin()
    for second in range(150):
        often.rise(NOON + second)
    often.rise(NOON + 250)

    seldom.rise(NOON + 250)

    assert seldom == often


def test_a_complaint_puts_off_the_next_rise():
    value = begin()
    value.signal(NOON + 60)

    assert not value.rise(NOON + 159)
    assert value.rise(NOON + 160)


def test_an_older_complaint_takes_nothing_back():
    value = begin()
    value.signal(NOON + 60)
    known = (value.value, value.next_rise_at)

    assert not value.signal(NOON + 30)
    assert (value.value, value.next_rise_at) == known


def test_a_configured_value_below_the_floor_stays_at_the_floor():
    value = begin(LIMIT, 1)

    assert (value.value, value.is_over) == (2, True)


def test_without_a_configured_bound_it_begins_at_the_floor_and_doubles_until_it_is_over():
    value = begin(RATE, None)
    seen = [value.value]
    while not value.is_over:
        assert value.rise(value.next_rise_at)
        seen.append(value.value)

    assert seen[:3] == ["6/min,max_burst=1", "12/min,max_burst=1", "24/min,max_burst=1"]
    assert amount_of("max_message_rate", seen[-1]) >= 0.1 * UNBOUNDED_DOUBLINGS * 0.9


@given(
    st.sampled_from([LIMIT, RATE]),
    st.lists(st.tuples(st.booleans(), st.integers(0, 120)), max_size=60),
)
def test_the_value_stays_between_floor_and_configured_whatever_comes(rule, steps):
    configured = 20 if rule is LIMIT else "100/s"
    value, at = begin_adjustment(rule, configured, NOON), NOON
    low, high = amount_of(rule.name, rule.floor), amount_of(rule.name, configured)
    for is_complaint, wait_s in steps:
        at += wait_s
        (value.signal if is_complaint else value.rise)(at)
        assert low <= value.amount <= high
        make_egress_path(**{rule.name: value.value})


@given(st.floats(1e-7, 1e5))
def test_a_rate_is_written_as_near_as_can_be_and_never_above(amount):
    spec = parse_throttle(value_of("max_message_rate", amount))

    assert amount * 0.9 <= spec.per_s <= amount * (1 + 1e-6)


@given(st.floats(1e-7, 1e5))
def test_what_goes_at_once_is_at_most_what_a_second_allows(amount):
    spec = parse_throttle(value_of("max_connection_rate", amount))

    assert spec.burst <= max(1, amount + 1e-6)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (50, "50/s"),
        (1, "1/s"),
        (1.5, "90/min,max_burst=1"),
        (0.5, "30/min,max_burst=1"),
        (1 / 720, "5/h,max_burst=1"),
        (1 / 3600, "1/h,max_burst=1"),
        (1 / 86_400, "1/86400s"),
        (1 / 604_800, "1/604800s"),
    ],
)
def test_a_rate_is_written_as_people_write_it(amount, text):
    assert value_of("max_message_rate", amount) == text


@given(st.floats(0, 1e6))
def test_a_limit_is_a_whole_number_and_at_least_one(amount):
    value = value_of("connection_limit", amount)

    assert isinstance(value, int)
    assert value >= 1
    assert value <= max(1, amount + 1e-6)
