"""The breaker opens after three overruns in ten seconds, for longer each time."""

from __future__ import annotations

from policy.breaker import Breaker
from policy.testing import ManualTime


def test_overruns_far_apart_do_not_open_it() -> None:
    time = ManualTime()
    breaker = Breaker(time)

    for _ in range(10):
        breaker.note_overrun()
        time.advance(6.0)

    assert not breaker.is_open


def test_pauses_double_up_to_a_minute() -> None:
    time = ManualTime()
    breaker = Breaker(time)
    breaker.note_overrun()
    breaker.note_overrun()
    breaker.note_overrun()
    pauses = [breaker.pause_s]

    for _ in range(7):
        assert not breaker.admits()
        time.advance(breaker.pause_s)
        assert breaker.admits()
        breaker.note_overrun()
        pauses.append(breaker.pause_s)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]


def test_one_probe_at_a_time_decides() -> None:
    time = ManualTime()
    breaker = Breaker(time)
    for _ in range(3):
        breaker.note_overrun()
    time.advance(1.0)

    assert breaker.admits()
    assert not breaker.admits()
    assert breaker.note_success()
    assert not breaker.is_open


def test_an_abandoned_probe_is_given_back() -> None:
    time = ManualTime()
    breaker = Breaker(time)
    for _ in range(3):
        breaker.note_overrun()
    time.advance(1.0)
    assert breaker.admits()

    breaker.note_abandoned()

    assert breaker.admits()
