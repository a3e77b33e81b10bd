"""Backoff and expiry."""

import pytest

from engine.model.retry_schedule import RetrySchedule, is_expired, next_delay_s


def test_doubles_from_twenty_minutes():
    delays = [next_delay_s(RetrySchedule(), attempt, 0.0) / 60 for attempt in range(6)]

    assert delays == [20, 40, 80, 160, 320, 640]


def test_the_cap_bounds_the_delay_and_the_jitter_comes_after_it():
    schedule = RetrySchedule(max_retry_interval_s=3600)

    assert next_delay_s(schedule, 10, 0.0) == 3600
    assert next_delay_s(schedule, 10, 1.0) == 3630
    assert next_delay_s(schedule, 10, -1.0) == 3570


def test_jitter_is_a_fortieth_of_a_short_interval():
    assert next_delay_s(RetrySchedule(retry_interval_s=40), 0, 1.0) == 41


def test_never_waits_past_the_maximum_age():
    assert next_delay_s(RetrySchedule(), 10_000, 1.0) == 604800


def test_never_waits_less_than_nothing():
    assert next_delay_s(RetrySchedule(retry_interval_s=100, max_retry_interval_s=0.1), 0, -1.0) == 0


@pytest.mark.parametrize(
    ("age", "delay", "expired"), [(0, 100, False), (1, 100, True), (0, 101, True)]
)
def test_expires_when_the_next_attempt_would_be_too_late(age, delay, expired):
    assert is_expired(RetrySchedule(max_age_s=100), age, delay) is expired
