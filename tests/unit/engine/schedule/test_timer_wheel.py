"""The timer wheel."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from engine.schedule.timer_wheel import TICK_S, TimerWheel, Waiting

INSTANTS = st.floats(min_value=0.0, max_value=1e9, allow_nan=False)


def entry(due_mono):
    return Waiting(b"id", due_mono, None)


@given(st.lists(INSTANTS, max_size=50))
def test_an_entry_comes_out_once_never_early_and_a_tick_late_at_most(dues):
    wheel = TimerWheel()
    for due in dues:
        wheel.add(entry(due))

    out = []
    while (now := wheel.next_mono()) is not None:
        for one in wheel.take_due(now):
            assert 0 <= now - one.due_mono <= TICK_S
            out.append(one.due_mono)

    assert sorted(out) == sorted(dues)
    assert wheel.count == 0


@given(st.lists(INSTANTS, min_size=1, max_size=50), INSTANTS)
def test_at_any_instant_exactly_what_is_due_comes_out(dues, now):
    wheel = TimerWheel()
    for due in dues:
        wheel.add(entry(due))

    out = []
    while entries := wheel.take_due(now):
        out += [one.due_mono for one in entries]

    assert all(due <= now for due in out)
    assert all(now - due <= TICK_S for due in dues if due not in out)


def test_ticks_come_out_in_order():
    wheel = TimerWheel()
    for due in (30.0, 10.0, 20.0):
        wheel.add(entry(due))

    assert [wheel.take_due(99.0)[0].due_mono for _ in range(3)] == [10.0, 20.0, 30.0]
    assert wheel.take_due(99.0) == []


def test_an_entry_takes_little_memory_and_none_of_the_collector():
    one = entry(1.5)

    assert sys.getsizeof(one) <= 64
    import gc

    assert not gc.is_tracked(one)
