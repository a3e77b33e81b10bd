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
#: Blocks of this size are mapped; bodies of ordinary mail, below it, stay on the cheaper heap.
MAPPED_OCTETS = 256 * 1024
#: From ``malloc.h``.
_M_MMAP_THRESHOLD = -3


def _find_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    return trim


def map_large_blocks() -> bool:
    """Have large blocks mapped one by one, so that they go back to the machine when freed.

    Left alone, glibc raises its threshold to the largest block that was freed, up to 32 MiB: large
    messages then leave holes in the heap, and the process stays larger than what it holds. Returns
    whether the C library took it.
    """
    try:
        taken: int = ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MAPPED_OCTETS)
    except (OSError, AttributeError):
        return False
    return taken == 1


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
