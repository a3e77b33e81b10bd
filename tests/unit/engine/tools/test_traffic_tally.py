"""What the load generator counts."""

from __future__ import annotations

import json
import random

import pytest

from engine.tools.traffic_tally import LatencyHistogram, Tally


def test_outcomes_are_told_apart_by_the_deciding_code():
    tally = Tally(0.0)
    for code in (250, 250, 451, 550):
        tally.note_outcome(code, 100, 0.01)
    tally.lost = 1

    summary = tally.summary(10.0)
    assert (summary.accepted, summary.deferred, summary.refused, summary.lost) == (2, 1, 1, 1)
    assert (summary.messages, summary.per_s, summary.bytes_sent) == (5, 0.5, 200)


def test_replies_are_counted_and_the_texts_of_refusals_kept():
    tally = Tally(0.0)
    for code, text in ((250, "ok"), (451, "later"), (451, "later"), (550, "x" * 500)):
        tally.note_reply("rcpt", code, text)

    summary = tally.summary(1.0)
    assert summary.replies == {"rcpt 250": 1, "rcpt 451": 2, "rcpt 550": 1}
    assert summary.texts == {"rcpt 451 later": 2, "rcpt 550 " + "x" * 200: 1}


def test_texts_are_bounded():
    tally = Tally(0.0)
    for number in range(1000):
        tally.note_reply("rcpt", 451, f"id {number}")
    assert len(tally.summary(1.0).texts) == 20


@pytest.mark.parametrize("spread", [lambda r: r.uniform(0.001, 1.0), lambda r: r.expovariate(5)])
def test_percentiles_are_right_within_two_percent(spread):
    drawn = random.Random(1)
    latencies = [spread(drawn) for _ in range(20_000)]
    histogram = LatencyHistogram()
    for latency in latencies:
        histogram.note(latency)

    latencies.sort()
    for share in (0.5, 0.95, 0.99):
        exact = latencies[int(20_000 * share) - 1]
        assert exact <= histogram.percentile(share) <= exact * 1.0201
    assert histogram.longest_s == latencies[-1]


@pytest.mark.parametrize("latency_s", [0.0, -1.0, 1e-9, 0.2, 1e7])
def test_any_latency_has_its_class(latency_s):
    histogram = LatencyHistogram()
    histogram.note(latency_s)
    assert histogram.percentile(0.99) <= max(latency_s, 0.0)


def test_without_latencies_there_is_nothing_to_tell():
    assert LatencyHistogram().percentile(0.5) == 0.0


def test_a_summary_is_plain_values():
    tally = Tally(0.0)
    tally.note_outcome(250, 1, 0.1234567)
    values = json.loads(json.dumps(tally.summary(3.00049).as_dict()))
    assert (values["elapsed_s"], values["latency_ms"]["max"]) == (3.0, 123.457)


@pytest.mark.parametrize(
    ("counts", "allow_refusals", "keep_going", "is_fine"),
    [
        ({"accepted": 1}, False, False, True),
        ({"accepted": 1, "deferred": 1}, False, False, True),
        ({"accepted": 1, "refused": 1}, False, False, False),
        ({"accepted": 1, "refused": 1}, True, False, True),
        ({"accepted": 1, "lost": 1}, False, False, False),
        ({"accepted": 1, "lost": 1}, False, True, True),
        ({"accepted": 1, "connect_failures": 1}, False, False, True),
        ({"accepted": 1, "gave_up": True}, False, False, False),
        ({"connect_failures": 9}, False, True, False),
        ({}, False, False, True),
    ],
)
def test_a_run_is_judged_by_what_was_asked(counts, allow_refusals, keep_going, is_fine):
    tally = Tally(0.0)
    for name, value in counts.items():
        setattr(tally, name, value)
    summary = tally.summary(1.0)
    assert summary.is_fine(allow_refusals=allow_refusals, keep_going=keep_going) is is_fine
