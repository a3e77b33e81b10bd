"""The limiter in memory."""

import gc

import pytest

from engine.model.throttle_spec import parse_throttle
from engine.throttle.limiter import MemoryLimiter


class Time:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def limiter(time):
    return MemoryLimiter(time)


def test_allows_the_limit_and_then_refuses(limiter, time):
    spec = parse_throttle("3/min")
    answers = [limiter.take_nowait("k", spec) for _ in range(4)]

    assert [answer.throttled for answer in answers] == [False, False, False, True]
    assert [answer.remaining for answer in answers] == [2, 1, 0, 0]
    assert answers[3].retry_after_s == pytest.approx(20)

    time.now += 20
    assert not limiter.take_nowait("k", spec).throttled


def test_keys_do_not_share(limiter):
    spec = parse_throttle("1/min")

    assert not limiter.take_nowait("a", spec).throttled
    assert not limiter.take_nowait("b", spec).throttled


def test_a_changed_rate_starts_fresh(limiter):
    assert not limiter.take_nowait("a", parse_throttle("1/min")).throttled
    assert not limiter.take_nowait("a", parse_throttle("1/hour")).throttled


def test_a_held_bucket_and_the_key_are_one(limiter):
    spec = parse_throttle("2/min")
    bucket = limiter.bucket("k", spec)

    assert bucket.take() == 0
    assert not limiter.take_nowait("k", spec).throttled
    assert bucket.take() == pytest.approx(30)
    assert limiter.bucket("k", spec) is bucket


def test_looking_does_not_count(limiter):
    spec = parse_throttle("1/min")

    assert not limiter.peek_nowait("k", spec).throttled
    assert not limiter.take_nowait("k", spec).throttled
    assert limiter.peek_nowait("k", spec).throttled


def test_what_was_not_used_is_given_back(limiter):
    spec = parse_throttle("2/min")
    limiter.take_nowait("k", spec, 2)
    limiter.give_back_nowait("k", spec)

    assert not limiter.take_nowait("k", spec).throttled
    assert limiter.take_nowait("k", spec).throttled


def test_giving_back_too_much_gives_no_more_than_the_burst(limiter):
    spec = parse_throttle("2/min")
    limiter.take_nowait("k", spec)
    limiter.give_back_nowait("k", spec, 100)

    assert not limiter.take_nowait("k", spec, 2).throttled
    assert limiter.take_nowait("k", spec).throttled


def test_batches_count(limiter):
    spec = parse_throttle("10/s")

    assert not limiter.take_nowait("k", spec, 10).throttled
    assert limiter.bucket("k", spec).take(5) == pytest.approx(0.5)


def test_a_bucket_that_owes_time_is_not_forgotten_with_its_holder(limiter):
    spec = parse_throttle("1/day")
    limiter.bucket("k", spec).take()
    gc.collect()

    assert limiter.take_nowait("k", spec).throttled


def test_idle_keys_are_forgotten(limiter, time):
    spec = parse_throttle("1/s")
    for number in range(5000):
        limiter.take_nowait(f"k{number}", spec)
        time.now += 0.01

    assert len(limiter) < 2000


def test_a_bucket_in_use_survives_the_sweep_as_one(limiter, time):
    spec = parse_throttle("1/s")
    held = limiter.bucket("held", spec)
    held.take()
    time.now += 10
    for number in range(3000):
        limiter.take_nowait(f"k{number}", spec)
        time.now += 0.01

    assert limiter.bucket("held", spec) is held
    assert held.take() == 0
    assert limiter.take_nowait("held", spec).throttled


async def test_answers_alike_when_awaited(limiter):
    spec = parse_throttle("1/min")

    assert not (await limiter.peek("k", spec)).throttled
    assert not (await limiter.take("k", spec)).throttled
    assert (await limiter.take("k", spec)).throttled
    await limiter.give_back("k", spec)
    assert not (await limiter.take("k", spec)).throttled
