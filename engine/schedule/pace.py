"""The share of the loop that promotion may take: one slice a turn, first come first served.

Place in flow: each drain of ``engine.schedule.promotion`` asks after each message whether others
are due, and waits for its next turn if so.

Invariants:
    * In one turn of the loop everything that promotes takes one slice together, however many
      queues fall due at once; the rest of the turn is for sessions, dispatchers and timers.
    * Who waits is served in order; who was served does one piece of work before it waits again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

#: How long promotion may hold the loop before others get a turn, seconds.
SLICE_S = 0.005
#: How many of those that wait get one piece of work each in a turn: it keeps a slice short when
#: thousands of queues, each with little to do, are due together.
SERVED_A_TURN = 16


class Pace:
    """Hands out slices of the loop's turns."""

    __slots__ = ("_is_open", "_mono", "_until_mono", "_waiting")

    def __init__(self, mono: Callable[[], float]) -> None:
        """Measure by the given monotonic clock."""
        self._mono = mono
        self._until_mono = 0.0
        self._is_open = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def is_spent(self) -> bool:
        """Return whether the caller should wait for its next turn before it goes on."""
        if self._waiting:
            return True
        if not self._is_open:
            self._open()
            return False
        return self._mono() >= self._until_mono

    async def wait(self) -> None:
        """Return when it is the caller's turn for one piece of work."""
        if not self._is_open:
            self._open()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _open(self) -> None:
        self._is_open = True
        self._until_mono = self._mono() + SLICE_S
        asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._is_open = False
        if not self._waiting:
            return
        self._open()
        served = 0
        while self._waiting and served < SERVED_A_TURN:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                served += 1
