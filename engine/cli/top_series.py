"""Numbers over time, for the small graphs of ``cirrus top``.

Place in flow: ``engine.cli.top_state`` keeps one ``Series`` for each number on the screen.

Invariants:
    * A value holds for the time that it was measured over, however often somebody asks: a graph
      shows the same at any step, and none of it twice.
    * What nobody measured is not known; it is not nought.
    * What was seen here goes before what the node remembers in larger steps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: Points that are kept: more than an hour of what the node remembers, and a while of seconds.
POINTS_MAX = 4096
_BLOCKS = "▁▂▃▄▅▆▇█"


class Point(NamedTuple):
    """A value, and the time that it stands for.

    Attributes:
        end_mono: When that ended, monotonic seconds.
        seconds: How long it was.
        value: A rate a second, or a number.
    """

    end_mono: float
    seconds: float
    value: float


class Series:
    """One number."""

    def __init__(self) -> None:
        self._seen: deque[Point] = deque(maxlen=POINTS_MAX)
        self._remembered: deque[Point] = deque(maxlen=POINTS_MAX)

    @property
    def last(self) -> float | None:
        """Return the latest value; None before there is one."""
        ends = [points[-1] for points in (self._remembered, self._seen) if points]
        return max(ends).value if ends else None

    def see(self, point: Point) -> None:
        """Keep a value that was measured here."""
        self._seen.append(point)

    def remember(self, points: Iterable[Point]) -> None:
        """Keep values that the node remembers, the oldest first."""
        self._remembered.extend(points)

    def steps(self, end_mono: float, step_s: float, count: int) -> list[float | None]:
        """Return the mean values of equal steps of time, the latest last.

        Steps begin at multiples of their length, so that what was drawn once stays as it is.

        Args:
            end_mono: The present, monotonic seconds.
            step_s: How long a step is, seconds.
            count: How many.
        """
        first = math.floor(end_mono / step_s) - count + 1
        seen = _means(self._seen, first, step_s, count)
        remembered = _means(self._remembered, first, step_s, count)
        return [
            there if here is None else here for here, there in zip(seen, remembered, strict=True)
        ]


def _means(points: Sequence[Point], first: int, step_s: float, count: int) -> list[float | None]:
    """Return the mean of each step, by how much of it each point covers."""
    sums, covered = [0.0] * count, [0.0] * count
    for point in reversed(points):
        begin_mono = point.end_mono - point.seconds
        if point.end_mono <= first * step_s:
            break
        low = max(0, math.floor(begin_mono / step_s) - first)
        high = min(count - 1, math.ceil(point.end_mono / step_s) - 1 - first)
        for number in range(low, high + 1):
            left_mono = (first + number) * step_s
            share_s = min(point.end_mono, left_mono + step_s) - max(begin_mono, left_mono)
            if share_s > 0:
                sums[number] += point.value * share_s
                covered[number] += share_s
    return [
        total / share_s if share_s > 0 else None
        for total, share_s in zip(sums, covered, strict=True)
    ]


def draw_blocks(values: Sequence[float | None]) -> str:
    """Return a character for each value, up to the highest; blank for what is not known."""
    highest = max((value for value in values if value is not None), default=0.0)
    return "".join(" " if value is None else _BLOCKS[_height(value, highest)] for value in values)


def _height(value: float, highest: float) -> int:
    if value <= 0 or highest <= 0:
        return 0
    # Whatever is not nought is seen as more than nought.
    return max(1, min(len(_BLOCKS) - 1, round(value / highest * (len(_BLOCKS) - 1))))
