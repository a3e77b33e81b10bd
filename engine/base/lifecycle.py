"""Supervised tasks: each is named, referenced, and its end is seen.

Place in flow: the only place that makes tasks; every stage gets a ``Supervisor``.

Invariants:
    * A task's unexpected error is logged with its name, counted, and never lost.
    * ``stop`` returns within its deadline: what does not end is cancelled, then abandoned, by name.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

log = logging.getLogger("cirrus.lifecycle")

#: How long cancelled tasks may take to clean up, seconds.
CLEANUP_S = 5.0


class Supervisor:
    """Starts tasks, keeps them alive and sees how they end."""

    def __init__(self, on_defect: Callable[[str, BaseException], None] | None = None) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_defect = on_defect
        self.defects = 0

    def start(self, work: Coroutine[Any, Any, Any], name: str = "") -> asyncio.Task[Any]:
        """Return a running task of the coroutine, referenced until it ends."""
        task = asyncio.get_running_loop().create_task(work, name=name or None)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        self.defects += 1
        log.error("task %s failed", task.get_name(), exc_info=error)
        if self._on_defect is not None:
            self._on_defect(task.get_name(), error)

    def __len__(self) -> int:
        return len(self._tasks)

    async def wait_empty(self, deadline_s: float) -> bool:
        """Return whether every task ended within the deadline (seconds)."""
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=deadline_s)
        return not self._tasks

    async def stop(self, cleanup_s: float = CLEANUP_S) -> None:
        """Cancel every task and wait for their clean-up, at most ``cleanup_s`` seconds."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=cleanup_s)
            for task in pending:
                log.error("task %s ignored its cancellation", task.get_name())
