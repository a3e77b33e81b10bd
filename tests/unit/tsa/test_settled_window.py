"""Counts of one scope by the second: the order within a second does not matter, its end does."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from engine.model.decision import DecisionKind, DecisionScope
from tests.fakes.tsa_world import NOON, rule_text, seen, shaping_of
from tsa.seen_record import cause_of
from tsa.settled_window import SettledWindow, WindowState

SCOPE = DecisionScope(source="ip-1", option="max_ready", site_name="mx.test")
HALF = '{ Proportion = { of = "Deferred", over = "50%", within = "1m", at_least = 4 } }'
NOON_S = int(NOON)


def window_of(trigger):
    (one,) = shaping_of(rule_text(trigger=trigger)).all_rules()
    return SettledWindow(one.rule, DecisionKind.OVERRIDE, SCOPE)


def add(window, at, key="r", *, is_match=True):
    record = seen(at, record_id=key)
    cause = lambda: cause_of(record, "big.example", at)  # noqa: E731
    return window.add(at, key, is_match=is_match, cause=cause)


def test_a_second_is_named_when_it_is_new_and_not_again():
    window = window_of('"Immediate"')

    assert [add(window, NOON + part) for part in (0.0, 0.9, 1.0, 0.5)] == [
        NOON_S,
        None,
        NOON_S + 1,
        None,
    ]
    assert window.open_seconds == [NOON_S, NOON_S + 1]


def test_a_second_is_over_once():
    window = window_of('"Immediate"')
    add(window, NOON)

    assert window.settle(NOON_S) is not None
    assert window.settle(NOON_S) is None
    assert window.settle(NOON_S + 7) is None


@pytest.mark.parametrize("trigger", ['"Immediate"', '{ Threshold = "3/10s" }', HALF])
def test_the_order_within_a_second_does_not_matter(trigger):
    records = [
        (0.1, "a", True),
        (0.5, "b", False),
        (0.5, "c", True),
        (0.5, "d", True),
        (0.9, "e", False),
    ]
    states = set()
    for order in itertools.permutations(records):
        window = window_of(trigger)
        for offset, key, is_match in order:
            if is_match or trigger == HALF:
                add(window, NOON + offset, key, is_match=is_match)
        states.add(msgspec.json.encode(window.state()))
        second = window.settle(NOON_S)
        assert (second.matches, second.cause.record_key) == (3, "d")

    assert len(states) == 1


def test_a_match_acts_by_itself_where_the_trigger_says_so():
    window = window_of('"Immediate"')
    add(window, NOON)

    assert window.settle(NOON_S).matches == 1


def test_a_threshold_is_reached_over_several_seconds_and_stays_so():
    window = window_of('{ Threshold = "3/10s" }')
    for offset in (0, 4, 8, 9, 30):
        add(window, NOON + offset)

    reached = [window.settle(NOON_S + offset) is not None for offset in (0, 4, 8, 9, 30)]

    assert reached == [False, False, True, True, False]


def test_of_a_threshold_no_more_instants_are_kept_than_it_counts():
    window = window_of('{ Threshold = "3/10s" }')
    for number in range(500):
        add(window, NOON + number / 1000, f"r{number:03}")

    ((attempts, matches, instants, cause),) = window.state().open_seconds.values()
    assert (attempts, matches, len(instants)) == (500, 500, 3)
    assert cause.record_key == "r499"
    assert window.settle(NOON_S) is not None


def test_a_share_is_judged_with_all_attempts_of_its_second():
    window = window_of(HALF)
    for number in range(4):
        add(window, NOON, f"r{number}")
    for number in range(4):
        add(window, NOON, f"d{number}", is_match=False)
    assert window.settle(NOON_S) is None, "half is not over half"

    add(window, NOON + 1)
    assert window.settle(NOON_S + 1).cause.at == NOON + 1


def test_a_second_without_a_match_acts_never():
    window = window_of(HALF)
    for number in range(9):
        add(window, NOON, f"r{number}")
    assert window.settle(NOON_S) is not None

    add(window, NOON + 1, is_match=False)

    assert window.settle(NOON_S + 1) is None


def test_a_late_second_is_counted_where_it_belongs():
    window = window_of('{ Threshold = "3/10s" }')
    for offset in (0, 20, 21):
        add(window, NOON + offset)
        assert window.settle(NOON_S + offset) is None

    for offset, is_reached in ((2, False), (12, True), (13, True)):
        add(window, NOON + offset)
        assert (window.settle(NOON_S + offset) is not None) == is_reached


@pytest.mark.parametrize("trigger", ['"Immediate"', '{ Threshold = "3/10s" }', HALF])
def test_it_goes_on_from_what_the_store_kept(trigger):
    window = window_of(trigger)
    for offset in range(5):
        add(window, NOON + offset, is_match=offset != 1)
    window.settle(NOON_S)
    window.settle(NOON_S + 1)

    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(window.state()), type=WindowState)
    again = window_of(trigger)
    again.set_state(kept)

    assert again.state() == window.state()
    for offset in (2, 3, 4, 5):
        assert again.settle(NOON_S + offset) == window.settle(NOON_S + offset)


def test_what_the_store_keeps_is_a_copy():
    window = window_of(HALF)
    add(window, NOON)
    before = window.state()
    shown = msgspec.json.encode(before)

    add(window, NOON, "other")
    window.settle(NOON_S)

    assert msgspec.json.encode(before) == shown


def test_it_is_stale_when_nothing_in_it_can_count():
    for trigger, period_s in (('"Immediate"', 0), ('{ Threshold = "3/10s" }', 10), (HALF, 62)):
        window = window_of(trigger)
        assert window.is_stale(NOON)
        add(window, NOON)
        assert not window.is_stale(NOON + 1000), "its second was not judged"
        window.settle(NOON_S)
        assert window.is_stale(NOON + period_s + 1)
        assert window.is_stale(NOON) == (period_s == 0)
