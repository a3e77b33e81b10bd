"""Samples: counts of an interval, a ring of an hour, the providers with the most to do."""

from __future__ import annotations

import pytest

from engine.admin.history_samples import (
    PROVIDERS_KEPT,
    SAMPLES_KEPT,
    History,
    Sample,
    State,
    Totals,
    choose_providers,
    make_sample,
)

START_AT = 1_700_000_000.0
ZERO = Totals(*[0] * 10, 0.0)
STATE = State(
    scheduled=5,
    ready=2,
    scheduled_queues=3,
    ready_queues=1,
    sessions_in=4,
    sessions_out=6,
    memory=1 << 20,
    lag=0.002,
    decisions=7,
    suspensions=8,
    bounces=9,
)


def sample(at: float = START_AT) -> Sample:
    return make_sample(at, 10.0, ZERO, ZERO, STATE, [])


def test_a_sample_has_what_happened_in_its_interval():
    before = ZERO._replace(received=100, delivered=90, cpu_s=3.0)
    after = before._replace(received=150, delivered=130, rejected=2, cpu_s=8.5)

    made = make_sample(START_AT + 0.7, 10.0, before, after, STATE, [])

    assert (made.received, made.delivered, made.rejected, made.failed) == (50, 40, 2, 0)
    assert made.cpu == 55.0
    assert (made.time, made.seconds) == ("2023-11-14T22:13:20Z", 10.0)
    assert (made.scheduled, made.sessions_out, made.decisions) == (5, 6, 7)


def test_an_interval_of_no_length_divides_nothing():
    assert make_sample(START_AT, 0.0, ZERO, ZERO._replace(cpu_s=1.0), STATE, []).cpu == 0.0


def test_an_hour_of_samples_is_kept():
    history = History()
    for number in range(SAMPLES_KEPT + 5):
        history.add(START_AT + number, sample(START_AT + number))

    kept = history.latest(SAMPLES_KEPT)
    assert len(kept) == SAMPLES_KEPT
    assert kept[0].time == "2023-11-14T22:13:25Z"


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (2, 2), (100, 5)])
def test_the_latest_are_shown_in_the_order_of_time(limit, count):
    history = History()
    for number in range(5):
        history.add(START_AT + number, sample(START_AT + number))

    times = [one.time[-3:] for one in history.latest(limit)]
    assert times == ["20Z", "21Z", "22Z", "23Z", "24Z"][5 - count :]


def test_who_knows_a_sample_by_its_time_is_shown_those_after_it():
    history = History()
    for number in (0.9, 10.9, 20.9):
        history.add(START_AT + number, sample(START_AT + number))

    assert [one.time[-3:] for one in history.latest(10, START_AT + 10)] == ["40Z"]


def test_the_fullest_and_the_busiest_providers_are_chosen():
    queued = {f"full{number}": 100 - number for number in range(20)}
    outcomes = {f"busy{number}": [50 - number, 1, 0] for number in range(20)}

    chosen = choose_providers(outcomes, queued, {"busy0": 3})

    assert len(chosen) == PROVIDERS_KEPT
    names = {one.name for one in chosen}
    assert names >= {"full0", "full4", "busy0", "busy4"}
    (busiest,) = [one for one in chosen if one.name == "busy0"]
    assert (busiest.delivered, busiest.transfailed, busiest.connections) == (50, 1, 3)
    (fullest,) = [one for one in chosen if one.name == "full0"]
    assert (fullest.queued, fullest.delivered) == (100, 0)


def test_a_provider_is_chosen_once_and_one_that_only_has_sessions_too():
    chosen = choose_providers({"a": [1, 0, 0]}, {"a": 5}, {"b": 2})

    assert [(one.name, one.queued, one.connections) for one in chosen] == [("a", 5, 0), ("b", 0, 2)]
