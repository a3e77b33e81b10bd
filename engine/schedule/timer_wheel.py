"""Timers in constant time: entries by the tick in which they fall due.

Place in flow: ``engine.schedule.due_times`` adds waiting messages and takes those that are due.

Invariants:
    * No entry comes out before its due time; it comes out at most one tick after it.
    * Adding is constant; taking costs what is taken. How many wait does not matter.
    * An entry that was cancelled (its queue no longer knows it) is passed over at its tick.

Standard: hashed timing wheel (Varghese and Lauck, 1987), with a heap over the ticks in use instead
of a fixed circle, so that a week's horizon costs nothing.
"""

from __future__ import annotations

import heapq
import math
from typing import Any

import msgspec

from engine.model.message import Message
from engine.model.message_mark import mark_of

#: Length of a tick, seconds: how late a message may leave. A power of two, so that the arithmetic
#: is exact: with 0.1 an entry could come out before its due time by a rounding.
TICK_S = 0.125


class Waiting(msgspec.Struct, gc=False):
    """A message that waits on disk, as little of it as a queue needs.

    Not known to the garbage collector: a million of these must not hold the loop while it walks.
    """

    spool_id: bytes
    due_mono: float
    queue: Any
    context: int = 0
    #: Of ``engine.model.message_mark``; zero equals everything.
    mark: int = 0


def waiting_of(message: Message, queue: Any) -> Waiting:
    """Return the entry of a message in a queue."""
    mark = mark_of(message.sender, message.recipients)
    return Waiting(message.spool_id, message.due_mono, queue, message.context, mark)


class TimerWheel:
    """Waiting entries by tick."""

    __slots__ = ("_buckets", "_ticks", "count")

    def __init__(self) -> None:
        self._buckets: dict[int, list[Waiting]] = {}
        self._ticks: list[int] = []
        #: Entries inside, cancelled ones included.
        self.count = 0

    def add(self, entry: Waiting) -> None:
        """Let an entry come out at its due time."""
        tick = math.ceil(entry.due_mono / TICK_S)
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = [entry]
            heapq.heappush(self._ticks, tick)
        else:
            bucket.append(entry)
        self.count += 1

    def next_mono(self) -> float | None:
        """Return when the next tick with entries ends, or None when nothing waits."""
        return self._ticks[0] * TICK_S if self._ticks else None

    def take_due(self, now_mono: float) -> list[Waiting]:
        """Return (and forget) the entries of the earliest tick that is over, or an empty list."""
        if not self._ticks or self._ticks[0] * TICK_S > now_mono:
            return []
        entries = self._buckets.pop(heapq.heappop(self._ticks))
        self.count -= len(entries)
        return entries
