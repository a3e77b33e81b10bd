"""Old sets of scripts, let go of when nothing uses them any more.

Place in flow: ``engine.app`` tells of each epoch that begins.

Invariants:
    * Scripts hold themselves in circles (a function knows its module, and that the function), so
      only the collector frees an epoch; and it looks at what is old so rarely that a node that is
      reloaded often would keep dozens. So it is asked to look, until the old ones are gone.
    * Each look holds everything else up for the time it takes: there are few of them, further and
      further apart, because an epoch may be in use for as long as a transaction lasts.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from policy.epoch import Epoch

#: When it is looked at after a reload, seconds; each time twice as long after the last.
FIRST_S = 1.0
LOOKS = 10


class RetiredEpochs:
    """Knows which epochs should be gone.

    Args:
        start: Starts a task.
        collect: Has the collector look at everything.
    """

    def __init__(
        self,
        start: Callable[[Coroutine[Any, Any, None], str], Any],
        collect: Callable[[], Any] = gc.collect,
    ) -> None:
        self._start = start
        self._collect = collect
        self._current: Callable[[], Epoch | None] = lambda: None
        self._retired: list[weakref.ref[Epoch]] = []
        self._is_looking = False
        self._looks_left = 0

    def begin(self, epoch: Epoch) -> None:
        """Note that an epoch takes the place of the one before."""
        before = self._current()
        self._current = weakref.ref(epoch)
        if before is None or before is epoch:
            return
        self._retired.append(weakref.ref(before))
        self._looks_left = LOOKS
        if not self._is_looking:
            self._is_looking = True
            self._start(self._clear(), "retired epochs")

    def held(self) -> list[Epoch]:
        """Return the old epochs that are still there, the oldest first."""
        return [epoch for one in self._retired if (epoch := one()) is not None]

    def count(self) -> int:
        """Return how many old epochs are still there."""
        self._retired = [one for one in self._retired if one() is not None]
        return len(self._retired)

    async def _clear(self) -> None:
        pause_s = FIRST_S
        try:
            while self._looks_left and self.count():
                await asyncio.sleep(pause_s)
                if self._looks_left == LOOKS:
                    # There was another reload meanwhile.
                    pause_s = FIRST_S
                self._looks_left -= 1
                pause_s *= 2
                self._collect()
        finally:
            self._is_looking = False
