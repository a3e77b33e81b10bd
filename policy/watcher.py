"""Watch the files of the policy and reload when their content changes.

Place in flow: the program runs it under its supervisor and passes a sleep; it asks
``runtime`` each round.

Invariants:
    * A change is a change of content: times and sizes only save reading. Each tenth round
      reads anyway, for file systems with coarse times.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from policy.runtime import PolicyRuntime

ROUNDS_PER_REHASH = 10


class Watcher:
    """Reloads a runtime's scripts when they change."""

    def __init__(self, runtime: PolicyRuntime, interval_s: float = 1.0) -> None:
        self._runtime = runtime
        self._interval_s = interval_s

    async def run(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Look for changes until cancelled."""
        rounds = 0
        while True:
            await sleep(self._interval_s)
            rounds += 1
            self._runtime.reload_if_changed(rehash=rounds % ROUNDS_PER_REHASH == 0)
