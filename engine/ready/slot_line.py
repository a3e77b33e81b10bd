"""The line of ready queues that wait for a connection slot: first come, first served.

Place in flow: ``engine.ready.ready_queue`` stands in line when a limit refuses it; a slot that
becomes free is offered to the line before anyone else asks.

Invariants:
    * A queue that ends a session and has more mail goes behind those that wait: a limit shared by
      many queues starves none of them.
    * A queue stands in one line once; who no longer needs the slot lets the next one have it.
    * An offer never runs inside the release that caused it.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from engine.throttle.lease import MemoryLeases


class Waiter(Protocol):
    """A ready queue, as the line sees it."""

    def maintain(self) -> None:
        """Take the slots that it needs and can have; stand in line again if refused."""


class SlotLine:
    """Who waits for the slots of which limit."""

    def __init__(self, leases: MemoryLeases) -> None:
        """Offer what becomes free among the given leases."""
        self._lines: dict[str, dict[Waiter, None]] = {}
        self._offered: set[str] = set()
        self._refused: Waiter | None = None
        leases.on_free.append(self._freed)

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def join(self, key: str, waiter: Waiter) -> None:
        """Stand in the line of a limit; who stands there keeps its place."""
        self._lines.setdefault(key, {}).setdefault(waiter)
        self._refused = waiter

    def leave(self, key: str, waiter: Waiter) -> None:
        """Leave the line of a limit."""
        line = self._lines.get(key)
        if line is not None:
            line.pop(waiter, None)
            if not line:
                del self._lines[key]

    def _freed(self, key: str) -> None:
        if key in self._lines and key not in self._offered:
            self._offered.add(key)
            asyncio.get_running_loop().call_soon(self._offer, key)

    def _offer(self, key: str) -> None:
        self._offered.discard(key)
        for waiter in list(self._lines.get(key, ())):
            if waiter not in self._lines.get(key, ()):
                continue
            self._refused = None
            waiter.maintain()
            if self._refused is waiter:
                # Nothing is free any more.
                return
            self.leave(key, waiter)
