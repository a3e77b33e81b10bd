"""The alarm over all waiting messages: hands over each when its due time has come.

Place in flow: ``engine.schedule.promotion`` and ``holding`` add entries; what is due goes to the
``due`` port, which puts it into the backlog of its queue.

Invariants:
    * An entry is handed over once, not before its due time, unless its queue no longer knows it.
    * One timer of the loop runs, for the earliest tick, however many entries wait.
    * No error loses an entry: what could not be handed over is due again a little later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.schedule.timer_wheel import TimerWheel, Waiting

#: How long handing over may hold the loop before others get a turn, seconds.
SLICE_S = 0.002
#: When what could not be handed over is tried again, seconds.
AGAIN_S = 60.0
#: Entries handed over between two looks at the clock.
_LOOK_EVERY = 32


class DuePorts(Protocol):
    """What the alarm needs from the node."""

    clock: Clock
    supervisor: Supervisor


class DueTimes:
    """Waiting entries, and the alarm for the next of them."""

    def __init__(self, ports: DuePorts, due: Callable[[Waiting], None]) -> None:
        """Hand what is due to the given port."""
        self._clock = ports.clock
        self._supervisor = ports.supervisor
        self._due = due
        self._wheel = TimerWheel()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_mono = float("inf")
        self._turning = False
        self._stopped = False

    def add(self, entry: Waiting) -> None:
        """Hand an entry over at its due time."""
        self._wheel.add(entry)
        if entry.due_mono < self._timer_mono and not self._turning and not self._stopped:
            self._arm(entry.due_mono)

    def stop(self) -> None:
        """Hand over nothing any more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, due_mono: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer_mono = due_mono
        self._timer = loop.call_later(max(0.0, due_mono - self._clock.mono()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._timer_mono = float("inf")
        if not self._turning:
            self._turning = True
            self._supervisor.start(self._turn(), "due-times")

    async def _turn(self) -> None:
        try:
            while entries := self._wheel.take_due(self._clock.mono()):
                await self._hand_over(entries)
        finally:
            self._turning = False
            following = self._wheel.next_mono()
            if following is not None and not self._stopped:
                # A little later than the tick: a timer may ring early by its resolution.
                self._arm(following + 0.001)

    async def _hand_over(self, entries: Sequence[Waiting]) -> None:
        done = 0
        started = self._clock.mono()
        try:
            for entry in entries:
                if entry.queue.knows(entry):
                    self._due(entry)
                done += 1
                if done % _LOOK_EVERY == 0 and self._clock.mono() - started > SLICE_S:
                    await asyncio.sleep(0)
                    started = self._clock.mono()
        finally:
            for entry in entries[done:]:
                entry.due_mono = self._clock.mono() + AGAIN_S
                self._wheel.add(entry)
