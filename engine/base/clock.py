"""The only source of time: wall time for records, monotonic time for everything that waits.

Place in flow: created by ``engine.app`` and handed to every stage.

Invariants:
    * A step of the wall clock never moves ``mono``.
    * Under a loop in virtual time both follow the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Clock:
    """Wall and monotonic time of one process.

    Attributes:
        mono: Return seconds of monotonic time; only differences mean something.
        wall: Return seconds since the Unix epoch.
    """

    __slots__ = ("mono", "wall")

    def __init__(
        self,
        mono: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.mono = mono
        self.wall = wall

    def wall_of(self, instant_mono: float) -> float:
        """Return the wall time of a monotonic instant, by today's reading of both clocks."""
        return self.wall() + (instant_mono - self.mono())

    def mono_of(self, instant_at: float) -> float:
        """Return the monotonic instant of a wall time, by today's reading of both clocks."""
        return self.mono() + (instant_at - self.wall())


def loop_clock(loop: asyncio.AbstractEventLoop) -> Clock:
    """Return a clock that follows a loop's time, so that virtual time moves it too."""
    offset_s = time.time() - loop.time()
    return Clock(loop.time, lambda: loop.time() + offset_s)
