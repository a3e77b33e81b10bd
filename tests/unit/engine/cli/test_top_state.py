"""Answers of a node become rates and numbers over time."""

from __future__ import annotations

import json

from engine.cli.top_state import TopState, match_text
from tests.fakes.top_world import (
    DECISIONS,
    IDENTITY,
    NOW_AT,
    QUEUES,
    REASON,
    SAMPLE,
    counters,
    history,
    walked,
)


def last(state: TopState, *names: str) -> list[float | None]:
    return [state.series[name].last for name in names]


def test_two_readings_make_rates():
    state = TopState()
    state.take_counters(counters(received=570, delivered=500), 100.0)
    state.take_counters(counters(received=590, delivered=504), 102.0)

    assert last(state, "received", "delivered", "transfailed", "rejected") == [10.0, 2.0, 0.0, 0.0]
    assert last(state, "memory", "cpu") == [97316864.0, 12.5]


def test_one_reading_makes_none():
    state = TopState()
    state.take_counters(counters(), 100.0)

    assert last(state, "received", "memory") == [None, 97316864.0]


def test_a_node_that_was_started_anew_makes_no_rate_of_what_it_lost():
    state = TopState()
    state.take_counters(counters(received=570), 100.0)
    state.take_counters(counters(received=3, delivered=0), 101.0)
    assert last(state, "received") == [None]

    state.take_counters(counters(received=5, delivered=0), 102.0)
    assert last(state, "received") == [2.0]


def test_no_rate_is_made_over_a_time_without_answers():
    state = TopState()
    state.take_counters(counters(received=100), 100.0)
    state.note_away("no answer")
    state.take_counters(counters(received=700), 160.0)

    assert last(state, "received") == [None]
    assert state.series["memory"].steps(150.0, 1.0, 1) == [None]


def test_what_is_counted_for_each_queue_and_in_all_is_counted_once():
    state = TopState()
    state.take_walked(walked(), 100.0)

    names = ("scheduled", "ready", "messages", "sessions_in", "sessions_out")
    assert last(state, *names) == [1203.0, 7.0, 15.0, 4.0, 2.0]


def test_the_past_comes_from_the_node():
    state = TopState()
    state.take_history(history(SAMPLE, now="2026-11-29T10:00:05Z"), 1000.0)

    assert last(state, "received", "failed", "scheduled") == [10.0, 1.0, 1000]
    assert state.series["delivered"].steps(994.5, 1.0, 2) == [8.0, 8.0]
    assert state.last_sample_time == SAMPLE["time"]
    assert state.count_of("suspensions") == 2
    assert state.reasons == [REASON]


def test_a_history_without_its_time_is_not_placed_in_time():
    state = TopState()
    state.take_history({"samples": [SAMPLE], "reasons": [REASON]}, 1000.0)

    assert state.samples == []
    assert state.count_of("suspensions") is None
    assert last(state, "received") == [None]


def test_providers_are_those_of_the_last_minute():
    state = TopState()
    old = dict(SAMPLE, time="2026-11-29T09:50:00Z", seconds=600.0)
    newer = dict(SAMPLE, seconds=30.0, providers=[dict(SAMPLE["providers"][0], queued=950)])
    state.take_history(history(old, dict(SAMPLE, seconds=30.0), newer), 1000.0)

    big, fine = state.providers()

    assert (big.name, big.delivered, big.transfailed, big.queued) == ("big", 2.0, 40 / 60, 950)
    # Not in the last sample: it has nothing to do there any more.
    assert (fine.name, fine.failed, fine.queued, fine.connections) == (
        "mx.fine.example",
        10 / 60,
        0,
        0,
    )


def test_a_node_without_samples_has_no_providers():
    assert TopState().providers() == []


def test_samples_are_bounded():
    state = TopState()
    for _ in range(20):
        state.take_history(history(*[SAMPLE] * 100), 1000.0)

    assert len(state.samples) < 100


def test_uptime_is_since_the_start():
    state = TopState()
    assert state.uptime_s is None

    state.identity = dict(IDENTITY)
    state.note_answer(NOW_AT)
    assert state.uptime_s == 3 * 3600


def test_programs_get_what_is_known():
    state = TopState(
        identity=dict(IDENTITY), not_live="", queues=QUEUES, decisions=DECISIONS, refused={"a": "b"}
    )
    state.note_answer(NOW_AT)
    state.take_history(history(SAMPLE), 100.0)

    values = json.loads(json.dumps(state.as_values()))

    assert values["now"] == "2026-11-29T10:00:00Z"
    assert values["live"] is True
    assert values["rates"]["received"] == 10.0
    assert values["numbers"]["scheduled"] == 1000
    assert values["providers"][0]["name"] == "big"
    assert values["scheduled"] == QUEUES["scheduled"]
    assert values["decisions"] == DECISIONS["decisions"]
    assert values["suspensions"] == 2
    assert values["refused"] == {"a": "b"}


def test_programs_are_told_what_is_not_known():
    values = TopState().as_values()

    assert (values["live"], values["uptime_s"], values["rates"]["received"]) == (None, None, None)


def test_rows_are_found_by_any_of_their_values():
    rows = [{"name": "Big", "code": 451}, {"name": "fine", "code": 250}]

    assert match_text(rows, "BIG") == rows[:1]
    assert match_text(rows, "25") == rows[1:]
    assert match_text(rows, "") == rows
