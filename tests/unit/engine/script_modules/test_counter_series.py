"""Counts over time: buckets, bounds, reloads."""

from __future__ import annotations

import pytest

from engine.script_modules import counter_series
from engine.script_modules.counter_series import COUNT_MAX, CounterSeriesRegistry
from policy.errors import PolicyLoadError
from policy.testing import ManualTime


@pytest.fixture
def mono():
    return ManualTime()


@pytest.fixture
def registry(mono):
    mono.now_mono = 6_000.0
    return CounterSeriesRegistry(mono)


def define(registry, **options):
    return registry.define(**{"name": "n", "num_buckets": 3, "bucket_size": 60, **options})


def test_counts_go_when_their_time_has_passed(registry, mono):
    series = define(registry)
    series.increment(5)
    mono.advance(60)
    series.increment()
    mono.advance(119)

    assert series.sum() == 6
    mono.advance(1)
    assert series.sum() == 1
    mono.advance(10_000)
    assert series.sum() == 0


def test_the_recent_past_is_rounded_up_to_buckets(registry, mono):
    series = define(registry)
    for count in (1, 10, 100):
        series.increment(count)
        mono.advance(60)
    mono.advance(-60)

    assert [series.sum_over(span) for span in (0, 1, "1m", "61s", "2h")] == [0, 100, 100, 110, 111]


def test_a_count_stays_from_zero_to_its_bound(registry):
    series = define(registry)
    series.increment(3)
    series.delta(-10)
    assert series.sum() == 0

    series.delta(COUNT_MAX)
    series.increment(COUNT_MAX)

    assert series.sum() == COUNT_MAX


def test_observing_sets_the_present_count(registry, mono):
    series = define(registry)
    series.increment(7)
    mono.advance(60)
    series.observe(3)
    series.observe(4)

    assert series.sum() == 11


def test_each_bucket_begins_with_the_initial_value(registry, mono):
    series = define(registry, initial_value=2)
    assert series.sum() == 6
    series.observe(0)
    mono.advance(60)

    assert series.sum() == 4


def test_a_clock_that_steps_back_harms_nothing(registry, mono):
    series = define(registry)
    series.increment()
    mono.advance(-500)
    series.increment()

    assert series.sum() == 2


def test_the_same_name_and_shape_is_the_same_series(registry):
    define(registry).increment()

    assert define(registry).sum() == 1
    assert define(registry, bucket_size="59.1s").sum() == 1
    assert define(registry, num_buckets=4).sum() == 0


def test_names_without_end_do_not_fill_memory(registry, monkeypatch):
    monkeypatch.setattr(counter_series, "TOTAL_BUCKETS_MAX", 1000)
    define(registry, name="kept").increment()
    for number in range(500):
        define(registry, name=f"n{number}")
        define(registry, name="kept")

    assert len(registry._series) < 20
    assert define(registry, name="kept").sum() == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("name='', num_buckets=1, bucket_size=1", "name: wants"),
        ("name='n', num_buckets=0, bucket_size=1", "from 1 to"),
        ("name='n', num_buckets=10**6, bucket_size=1", "from 1 to"),
        ("name='n', num_buckets=1, bucket_size='x'", "duration"),
        ("name='n', num_buckets=1, bucket_size=1, initial_value=-1", "from 0 on"),
        ("name='n', num_buckets=1", "bucket_size"),
    ],
)
def test_a_mistake_is_a_load_error(host, options, reason):
    with pytest.raises(PolicyLoadError, match=reason):
        host.load(f"mta.counter_series.define({options})")


@pytest.mark.parametrize("call", ["increment(-1)", "increment('1')", "delta(1.5)", "observe(None)"])
def test_what_is_no_count_is_refused(host, call):
    with pytest.raises(PolicyLoadError, match="wants a"):
        host.load(f"mta.counter_series.define(name='n', num_buckets=1, bucket_size=1).{call}")


def test_counts_outlive_a_reload(host):
    script = (
        "s = mta.counter_series.define(name='n', num_buckets=2, bucket_size='1h')\ns.increment()"
    )
    host.load(script)
    host.load(script + "\nprint(repr(s.sum()))")

    assert host.printed == ["2"]
