"""Numbers over time."""

from __future__ import annotations

import pytest

from engine.cli.top_series import POINTS_MAX, Point, Series, draw_blocks


def series(*points: Point) -> Series:
    made = Series()
    for point in points:
        made.see(point)
    return made


def test_a_value_holds_for_the_time_it_was_measured_over():
    one = series(Point(102.0, 2.0, 5.0), Point(103.0, 1.0, 7.0))

    assert one.steps(102.5, 1.0, 4) == [None, 5.0, 5.0, 7.0]


def test_a_step_has_the_mean_of_what_was_seen_in_it():
    one = series(Point(100.5, 0.5, 2.0), Point(101.0, 0.5, 4.0))

    assert one.steps(100.9, 1.0, 1) == [3.0]


def test_a_value_counts_by_how_much_of_a_step_it_covers():
    one = series(Point(100.25, 1.0, 8.0), Point(101.0, 0.75, 0.0))

    assert one.steps(100.9, 1.0, 1) == [2.0]


def test_what_was_drawn_stays_as_it_is_while_time_goes_on():
    one = series(*(Point(100.0 + n, 1.0, float(n)) for n in range(10)))

    early, late = one.steps(109.1, 2.0, 4), one.steps(111.1, 2.0, 5)

    assert late[:3] == early[:3] == [3.5, 5.5, 7.5]


def test_what_nobody_measured_is_not_known():
    assert Series().steps(100.0, 1.0, 3) == [None] * 3
    assert Series().last is None


def test_what_the_node_remembers_fills_what_was_not_seen():
    one = series(Point(103.0, 1.0, 9.0))
    one.remember([Point(102.5, 10.0, 4.0)])

    assert one.steps(102.9, 1.0, 3) == [4.0, 4.0, 9.0]


@pytest.mark.parametrize(("seen_at", "last"), [(110.0, 1.0), (90.0, 2.0)])
def test_the_last_value_is_the_latest_wherever_it_is_from(seen_at, last):
    one = series(Point(seen_at, 1.0, 1.0))
    one.remember([Point(100.0, 10.0, 2.0)])

    assert one.last == last


def test_points_are_bounded():
    one = series(*(Point(float(n), 1.0, 1.0) for n in range(POINTS_MAX + 10)))

    assert one.steps(POINTS_MAX + 9.5, 1.0, POINTS_MAX + 20)[:10] == [None] * 10


def test_blocks_go_up_to_the_highest_value():
    assert draw_blocks([0, 1, 50, 100]) == "▁▂▅█"


def test_what_is_not_known_is_blank_and_nought_is_not():
    assert draw_blocks([None, 0, None]) == " ▁ "
    assert draw_blocks([None, None]) == "  "


def test_a_little_is_seen_as_more_than_nothing():
    assert draw_blocks([1e-9, 1e9]) == "▂█"
