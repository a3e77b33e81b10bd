"""Administrative bounces, carried out over the mail that waits.

Place in flow: ``engine.schedule.promotion`` asks at each insertion and promotion; when a bounce is
new this goes through everything that waits already, held mail included.

Invariants:
    * However much waits, the loop is held for one slice a turn only.
    * One walk runs at a time; a bounce that comes in meanwhile makes it start over.
    * What cannot be read now is left: it is asked about again when it falls due.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.base.lifecycle import Supervisor
from engine.control.admin_bounces import AdminBounceRegistry
from engine.model.message import Message
from engine.schedule.pace import Pace
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.schedule.settlement import Settlement
from engine.schedule.timer_wheel import Waiting

#: Port: read a waiting message; None if it left or cannot be read now.
Load = Callable[[ScheduledQueue, Waiting], Message | None]


class BouncingPorts(Protocol):
    """What bouncing needs from the node."""

    supervisor: Supervisor
    bounces: AdminBounceRegistry


class Bouncing:
    """Bounces waiting messages of scheduled queues."""

    def __init__(
        self,
        ports: BouncingPorts,
        queues: ScheduledRegistry,
        settlement: Callable[[], Settlement],
        pace: Pace,
        load: Load,
    ) -> None:
        self._supervisor = ports.supervisor
        self._bounces = ports.bounces
        self._queues = queues
        self._settlement_of = settlement
        self._pace = pace
        self._load = load
        self._is_walking = False

    def judge(self, queue: ScheduledQueue, message: Message) -> bool:
        """Settle a message of the queue if a bounce covers it; return whether one does."""
        if self._bounces.is_empty:
            return False
        directive = self._bounces.find(queue.name)
        if directive is None:
            return False
        self._settlement_of().bounce(message, directive)
        return True

    def start(self) -> None:
        """Settle every waiting message that a bounce covers, without haste."""
        if not self._is_walking and not self._bounces.is_empty:
            self._is_walking = True
            self._supervisor.start(self._walk(), "bounce-waiting")

    async def _walk(self) -> None:
        try:
            generation = -1
            while generation != self._bounces.generation:
                generation = self._bounces.generation
                for queue in self._queues:
                    if self._pace.is_spent():
                        await self._pace.wait()
                    if self._bounces.find(queue.name) is not None:
                        await self._bounce(queue)
            self._bounces.note_swept(generation)
        finally:
            self._is_walking = False

    async def _bounce(self, queue: ScheduledQueue) -> None:
        for entry in list(queue.entries.values()):
            if self._pace.is_spent():
                await self._pace.wait()
            if self._bounces.find(queue.name) is None:
                return
            message = self._load(queue, entry) if queue.knows(entry) else None
            if message is not None and self.judge(queue, message):
                queue.discard(entry)
