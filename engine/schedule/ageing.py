"""Mail that would be too old when it is due: given up at once, not at its due time.

Place in flow: ``engine.schedule.promotion`` asks before it keeps a message for later; the limits
are those of ``get_queue_config``, which is asked here for a queue that nobody promoted from yet.

Invariants:
    * A message is given up only by a limit that is known: its own, or that of its queue.
    * Keeping a message never waits for a handler; what it then says is applied to what was kept.

Failure: a handler that cannot say is asked again in a minute at the earliest; the age of a message
is judged at its due time in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.model.message import Message
from engine.model.queue_config import QueueConfig
from engine.model.retry_schedule import RetrySchedule
from engine.schedule.bouncing import Load
from engine.schedule.pace import Pace
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.settlement import Settlement
from engine.schedule.way_out import WayOut

#: A queue whose handler failed is asked for its limits again after this time, seconds.
ASK_AGAIN_S = 60.0
_NO_LIMIT = RetrySchedule(max_age_s=float("inf"))


class AgeingPorts(Protocol):
    """What ageing needs from the node."""

    clock: Clock
    supervisor: Supervisor


class Ageing:
    """Gives up what no attempt can come early enough for."""

    def __init__(
        self,
        ports: AgeingPorts,
        ways: WayOut,
        settlement: Callable[[], Settlement],
        pace: Pace,
        load: Load,
    ) -> None:
        self._clock = ports.clock
        self._supervisor = ports.supervisor
        self._ways = ways
        self._settlement_of = settlement
        self._pace = pace
        self._load = load
        self._asking: set[str] = set()

    def judge(self, queue: ScheduledQueue, message: Message) -> bool:
        """Give up a message that is too old when it is due; return whether it was one."""
        config: QueueConfig | None = queue.config
        if config is None:
            self._ask(queue)
        retry = config.retry if config is not None else _NO_LIMIT
        wait_s = max(0.0, message.due_mono - self._clock.mono())
        if not self._settlement_of().expires(message, retry, wait_s):
            return False
        self._settlement_of().expire(message, message.due_mono)
        return True

    def _ask(self, queue: ScheduledQueue) -> None:
        if queue.name not in self._asking:
            self._asking.add(queue.name)
            self._supervisor.start(self._learn(queue), f"limits of {queue.name}")

    async def _learn(self, queue: ScheduledQueue) -> None:
        """Ask for the limits of a queue, and give up what they leave no time for."""
        config = None
        try:
            config = await self._ways.configure(queue)
        finally:
            if config is not None:
                self._asking.discard(queue.name)
            else:
                loop = asyncio.get_running_loop()
                loop.call_later(ASK_AGAIN_S, self._asking.discard, queue.name)
        if config is not None:
            await self._give_up(queue, config.retry.max_age_s)

    async def _give_up(self, queue: ScheduledQueue, max_age_s: float) -> None:
        for entry in list(queue.entries.values()):
            # New mail, whose age is nothing yet; the rest is judged when it is due.
            if entry.due_mono - self._clock.mono() > max_age_s and queue.knows(entry):
                message = self._load(queue, entry)
                if message is not None and self.judge(queue, message):
                    queue.discard(entry)
            if self._pace.is_spent():
                await self._pace.wait()
