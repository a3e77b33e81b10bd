"""The breaker of a handler: one that overruns again and again is not run for a while.

Place in flow: ``handler_call`` asks before each call and tells it of overruns.

Invariants:
    * Closed, open until an instant, or probing: one call is let through when the instant
      has come, and decides.
"""

from __future__ import annotations

from collections.abc import Callable

OVERRUNS_TO_OPEN = 3
WINDOW_S = 10.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class Breaker:
    """State of one handler; the owner reads ``is_open`` before anything else."""

    __slots__ = ("_mono", "_overruns_at", "_probing", "is_open", "pause_s", "until_mono")

    def __init__(self, mono: Callable[[], float]) -> None:
        self._mono = mono
        self._overruns_at: list[float] = []
        self._probing = False
        self.is_open = False
        self.until_mono = 0.0
        self.pause_s = 0.0

    @property
    def is_probing(self) -> bool:
        """Whether one call was let through, and has not ended yet."""
        return self._probing

    def admits(self) -> bool:
        """Tell whether an open breaker lets one call through as its probe."""
        if self._probing or self._mono() < self.until_mono:
            return False
        self._probing = True
        return True

    def note_overrun(self) -> bool:
        """Count an overrun; return whether the breaker has opened with it."""
        now = self._mono()
        if self.is_open:
            self._open(now, min(self.pause_s * 2, LONGEST_PAUSE_S))
            return True
        self._overruns_at = [at for at in self._overruns_at if now - at < WINDOW_S] + [now]
        if len(self._overruns_at) < OVERRUNS_TO_OPEN:
            return False
        self._open(now, FIRST_PAUSE_S)
        return True

    def _open(self, now: float, pause_s: float) -> None:
        self.is_open, self._probing = True, False
        self.pause_s = pause_s
        self.until_mono = now + pause_s

    def note_success(self) -> bool:
        """Close an open breaker; return whether it was the probe that did it."""
        if not (self.is_open and self._probing):
            return False
        self.is_open = self._probing = False
        self._overruns_at.clear()
        return True

    def note_abandoned(self) -> None:
        """Give the probe back: its call ended without saying anything about overruns."""
        self._probing = False
