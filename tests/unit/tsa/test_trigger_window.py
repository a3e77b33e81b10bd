"""Windows of triggers: what they keep is bounded, what is late is counted where it belongs."""

from __future__ import annotations

import pytest

from tsa.trigger_window import BUCKETS, KEPT_PERIODS, ProportionWindow, ThresholdWindow


def added(window, *instants):
    return [window.add(at) for at in instants]


def test_the_match_that_completes_the_count_acts_and_so_does_each_after_it():
    window = ThresholdWindow(3, 60.0)

    assert added(window, 0, 10, 20, 30, 95, 96) == [False, False, True, True, False, False]
    assert window.full_at == 30


def test_a_period_is_open_at_its_beginning():
    assert added(ThresholdWindow(2, 60.0), 0, 60) == [False, False]
    assert added(ThresholdWindow(2, 60.0), 0, 59.9) == [False, True]


def test_matches_at_one_instant_count_each():
    assert added(ThresholdWindow(3, 60.0), 5, 5, 5) == [False, False, True]


def test_a_count_of_one_acts_at_once():
    assert added(ThresholdWindow(1, 60.0), 5, 500, 1) == [True, True, True]


def test_a_late_match_completes_the_period_of_a_newer_one():
    window = ThresholdWindow(3, 60.0)

    assert added(window, 10, 30, 20) == [False, False, True]
    assert window.full_at == 30


def test_a_late_match_completes_a_period_before_one_that_is_not_full():
    window = ThresholdWindow(2, 10.0)

    assert added(window, 0, 100, 5) == [False, False, True]
    assert window.full_at == 5


def test_a_late_match_by_itself_completes_nothing():
    window = ThresholdWindow(2, 10.0)

    assert added(window, 0, 100, 50) == [False, False, False]
    assert window.full_at is None


@pytest.mark.parametrize("gap_s", [0.01, 100.0])
def test_what_is_kept_does_not_grow_with_the_rate(gap_s):
    window = ThresholdWindow(5, 60.0)
    for number in range(10_000):
        window.add(number * gap_s)

    assert len(window.instants) <= KEPT_PERIODS * 5


def test_a_window_without_a_match_in_its_period_is_stale():
    window = ThresholdWindow(5, 60.0)
    assert window.is_stale(0.0)
    window.add(100.0)

    assert not window.is_stale(160.0)
    assert window.is_stale(160.1)


def test_attempts_add_up_over_the_period_and_leave_it_bucket_by_bucket():
    window = ProportionWindow(60.0)
    totals = [window.add(at, 10, 1) for at in range(1000, 1000 + 2 * BUCKETS)]

    assert totals[:3] == [(10, 1), (20, 2), (30, 3)]
    assert totals[BUCKETS - 1 :] == [(600, 60)] * (BUCKETS + 1)
    assert len(window.state()) <= 2 * BUCKETS


def test_a_late_second_counts_in_its_own_period_and_in_the_newest_one():
    window = ProportionWindow(60.0)
    window.add(1000, 5, 5)
    window.add(1030, 5, 5)

    assert window.add(1010, 3, 1) == (8, 6), "what lies after it is not in its period"
    assert window.add(1030, 1, 0) == (14, 11)


def test_the_buckets_of_a_long_period_are_sixtieths_of_it():
    window = ProportionWindow(3600.0)
    for second in range(7200):
        window.add(second, 1, 0)

    assert len(window.state()) <= 2 * BUCKETS
    attempts, _ = window.add(7200, 1, 0)
    assert 3540 <= attempts <= 3600


def test_a_period_shorter_than_a_second_is_one_second():
    window = ProportionWindow(0.2)

    assert window.add(1000, 5, 5) == (5, 5)
    assert window.add(1001, 1, 0) == (1, 0)


def test_the_state_is_a_copy_and_counting_goes_on_from_it():
    window = ProportionWindow(60.0)
    window.add(1000, 5, 2)
    state = window.state()
    window.add(1000, 5, 2)
    again = ProportionWindow(60.0)

    again.set_state(state)

    assert again.add(1001, 1, 1) == (6, 3)


def test_a_share_without_attempts_in_its_period_is_stale():
    window = ProportionWindow(60.0)
    assert window.is_stale(0.0)
    window.add(1000, 1, 0)

    assert not window.is_stale(1060.0)
    assert window.is_stale(1061.5)
