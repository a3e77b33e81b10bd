"""Memory given back to the system when it runs short.

Place in flow: ``engine.app`` calls it while ``memory_guard`` says that memory is low.

Invariants: at most one relief runs, in a thread, and not more often than each ``PAUSE_S``: what it
frees must show before it is tried again.

Known limit: ``malloc_trim`` exists in glibc only; elsewhere freed memory stays with the process.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
from collections.abc import Callable

log = logging.getLogger("cirrus.node")

#: Time between two attempts, seconds.
PAUSE_S = 5.0


def _find_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return trim


class MemoryRelief:
    """Hands freed memory back, now and then."""

    def __init__(self, mono: Callable[[], float]) -> None:
        self._mono = mono
        self._trim = _find_trim()
        self._next_mono = float("-inf")
        self.count = 0

    def relieve_nowait(self) -> bool:
        """Start a relief in a thread unless one was started just now; return whether it did."""
        now = self._mono()
        if now < self._next_mono:
            return False
        self._next_mono = now + PAUSE_S
        self.count += 1
        if self._trim is not None:
            # The foreign call gives the interpreter lock away: the loop goes on.
            asyncio.get_running_loop().run_in_executor(None, self._trim, 0)
        return True
