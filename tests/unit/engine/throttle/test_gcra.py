"""The generic cell rate algorithm."""

import pytest

from engine.model.throttle_spec import parse_throttle
from engine.throttle.gcra import check


def run(spec, times, quantity=1):
    tat, allowed = None, []
    for now in times:
        result, tat = check(tat, now, spec, quantity)
        allowed.append(not result.throttled)
    return allowed


@pytest.mark.parametrize("start", [0.0, 0.1, 12345.678, 9_999_999.9])
@pytest.mark.parametrize("text", ["100/s", "7/min", "500/d", "1000/s", "3/s"])
def test_exactly_the_limit_goes_at_once(text, start):
    spec = parse_throttle(text)

    assert sum(run(spec, [start] * (spec.limit + 5))) == spec.limit


def test_one_more_goes_each_interval():
    spec = parse_throttle("10/s")

    assert run(spec, [0.0] * 10 + [0.099, 0.1, 0.1, 0.2]) == [True] * 10 + [
        False,
        True,
        False,
        True,
    ]


def test_a_burst_of_one_spaces_evenly():
    spec = parse_throttle("10/s,max_burst=1")

    assert run(spec, [0.0, 0.05, 0.1, 0.15, 0.2]) == [True, False, True, False, True]


def test_says_when_to_ask_again():
    spec = parse_throttle("2/min")
    first, tat = check(None, 0.0, spec)
    second, tat = check(tat, 0.0, spec)
    third, unchanged = check(tat, 10.0, spec)

    assert (first.remaining, second.remaining) == (1, 0)
    assert (first.limit, first.retry_after_s, first.reset_after_s) == (2, None, 30)
    assert third.throttled
    assert third.retry_after_s == pytest.approx(20)
    assert third.reset_after_s == pytest.approx(50)
    assert unchanged == tat


def test_a_refused_request_costs_nothing():
    spec = parse_throttle("1/min")

    assert run(spec, [0.0, 10.0, 20.0, 30.0, 59.9, 60.0])[-1]


def test_counts_batches():
    spec = parse_throttle("10/s")

    assert run(spec, [0.0, 0.0, 0.0], quantity=5) == [True, True, False]


def test_a_batch_above_the_burst_goes_when_the_allowance_is_full_and_is_paid_for():
    spec = parse_throttle("10/s")
    result, tat = check(None, 0.0, spec, 30)

    assert not result.throttled
    assert check(tat, 1.9, spec)[0].throttled
    assert not check(tat, 2.1, spec)[0].throttled


def test_an_idle_key_has_its_whole_allowance_and_no_more():
    spec = parse_throttle("5/s")
    _, tat = check(None, 0.0, spec, 5)

    assert check(tat, 1000.0, spec)[0].remaining == 4
