"""Watch the files of the policy and reload when their content changes.

Place in flow: the program runs it under its supervisor and passes a sleep and a way into a
thread; it has ``runtime`` load there, and swaps in the thread that fires hooks.

Invariants:
    * A change is a change of content: times and sizes only save reading. Each tenth round
      reads anyway, for file systems with coarse times.
    * One load runs at a time, whoever asked for it. Mail flows meanwhile: a script that takes
      its whole budget to load holds nobody up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from policy.epoch import Epoch
from policy.runtime import PolicyRuntime

ROUNDS_PER_REHASH = 10

#: Port: call a function in a thread and return what it returns.
InThread = Callable[[Callable[[], Any]], Awaitable[Any]]


class Watcher:
    """Reloads a runtime's scripts when they change, or when somebody asks for it.

    Args:
        runtime: whose scripts.
        in_thread: calls a function in a thread.
        interval_s: how often the files are looked at, seconds.
    """

    def __init__(
        self,
        runtime: PolicyRuntime,
        in_thread: InThread = asyncio.to_thread,
        interval_s: float = 1.0,
    ) -> None:
        self._runtime = runtime
        self._in_thread = in_thread
        self._interval_s = interval_s
        self._one_at_a_time = asyncio.Lock()

    async def run(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Look for changes until cancelled."""
        rounds = 0
        while True:
            await sleep(self._interval_s)
            rounds += 1
            rehash = rounds % ROUNDS_PER_REHASH == 0
            await self._load(partial(self._runtime.load_if_changed, rehash=rehash))

    async def reload_now(self) -> None:
        """Load anew whether or not anything changed.

        Raises:
            PolicyLoadError: it was rejected; the running epoch goes on.
        """
        await self._load(self._runtime.load_again)

    async def _load(self, load: Callable[[], Epoch | None]) -> None:
        async with self._one_at_a_time:
            epoch = await self._in_thread(load)
            if epoch is not None:
                self._runtime.swap(epoch)
