"""Two times of one process, and the way between them."""

from __future__ import annotations

import asyncio

from engine.base.clock import Clock, loop_clock


def test_wall_and_mono_convert_into_each_other_by_todays_reading():
    clock = Clock(lambda: 100.0, lambda: 5000.0)

    assert clock.wall_of(130.0) == 5030.0
    assert clock.mono_of(4990.0) == 90.0
    assert clock.mono_of(clock.wall_of(123.5)) == 123.5


def test_a_step_of_the_wall_clock_moves_no_monotonic_instant():
    wall = [5000.0]
    clock = Clock(lambda: 100.0, lambda: wall[0])
    due_mono = clock.mono() + 60

    wall[0] += 86_400

    assert due_mono - clock.mono() == 60
    assert clock.wall_of(due_mono) == 91_460.0


async def test_a_loops_clock_follows_its_virtual_time():
    clock = loop_clock(asyncio.get_running_loop())
    mono, wall = clock.mono(), clock.wall()

    await asyncio.sleep(3600)

    assert 3600 <= clock.mono() - mono < 3700
    assert 3600 <= clock.wall() - wall < 3700
