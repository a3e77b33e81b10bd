"""Held mail: what a suspension, an operator, or a pool without an eligible source keeps back.

Place in flow: ``engine.schedule.promotion`` hands over what must not go now; when the reason is
over the entries fall due again through ``due_times``.

Invariants:
    * A message is recorded once when it is first held, and not while it stays so; no attempt is
      counted.
    * Held messages are among their queue's entries: an administrative bounce finds them.
    * After the end of what holds them all leave within a minute, spread evenly.
    * However many queues hold mail, looking at them holds the loop for one slice a turn only.
    * Mail that no source may carry is looked at again when its plan is too old to be believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.control.suspensions import SuspensionRegistry
from engine.model.circumstances import NOWHERE, Circumstances
from engine.model.message import HoldNote, Message
from engine.model.suspension import NO_SOURCE_TEXT, SUSPENDED_TEXT, Directive
from engine.ready.ready_registry import EgressPlan
from engine.schedule.due_times import DueTimes
from engine.schedule.pace import Pace
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.settlement import Settlement
from engine.schedule.timer_wheel import Waiting, waiting_of

#: Held messages leave within this time after a sweep saw the end. With the second between sweeps
#: and a tick of the wheel that is within a minute of the end itself.
RELEASE_S = 57.0
#: What an operator holds is looked at again after this time, seconds.
LOOK_S = 300.0
#: Entries that fall due between two looks at the clock.
_IN_ONE_GO = 256


class HoldingPorts(Protocol):
    """What holding needs from the node."""

    clock: Clock
    supervisor: Supervisor
    suspensions: SuspensionRegistry


class Holding:
    """The held messages of all scheduled queues."""

    def __init__(
        self,
        ports: HoldingPorts,
        due_times: DueTimes,
        settlement: Callable[[], Settlement],
        pace: Pace,
        look_again: Callable[[ScheduledQueue], None],
    ) -> None:
        """Keep what is handed over.

        Args:
            ports: Of the node.
            due_times: Takes what is released.
            settlement: Records what is held.
            pace: Limits how long a release may hold the loop.
            look_again: Finds the way out of a queue anew, if its plan is too old; else nothing.
        """
        self._clock = ports.clock
        self._supervisor = ports.supervisor
        self._suspensions = ports.suspensions
        self._due_times = due_times
        self._settlement_of = settlement
        self._pace = pace
        self._look_again = look_again
        self._queues: set[ScheduledQueue] = set()
        self._is_walking = False

    def __len__(self) -> int:
        return len(self._queues)

    # -- taking in ----------------------------------------------------------------------------

    def hold_single(self, queue: ScheduledQueue, message: Message, hold: HoldNote) -> bool:
        """Hold a message because an operator said so; return False when that is over.

        It is looked at again now and then: what is held one by one is little.
        """
        left_s = LOOK_S if hold.until_at is None else hold.until_at - self._clock.wall()
        if left_s <= 0:
            return False
        text = f"message is held: {hold.reason} (by {hold.author})"
        self._settlement_of().hold(message, text, _destination(queue.plan))
        entry = waiting_of(message, queue)
        entry.due_mono = self._clock.mono() + min(left_s, LOOK_S)
        queue.add(entry)
        self._due_times.add(entry)
        return True

    def hold_suspended(
        self, queue: ScheduledQueue, message: Message, suspension: Directive
    ) -> None:
        """Hold a message because its scheduled queue is suspended."""
        text = f"{SUSPENDED_TEXT}{suspension.reason} (by {suspension.author})"
        self._hold(queue, message, text, queue.plan)

    def hold_for_sources(self, queue: ScheduledQueue, message: Message, plan: EgressPlan) -> None:
        """Hold a message because no source of its pool may carry it."""
        if plan.queues:
            find = self._suspensions.find_way
            found = [find(ready.name, name) for name, ready in plan.queues.items()]
            reasons = "; ".join(
                f"{one.name}: {one.reason} (by {one.author})" for one in found if one
            )
            text = f"{NO_SOURCE_TEXT}{plan.pool} is eligible: {reasons}"
        else:
            text = f"pool {plan.pool} has no sources"
        queue.lacks_source = True
        self._hold(queue, message, text, plan)

    def _hold(
        self, queue: ScheduledQueue, message: Message, text: str, plan: EgressPlan | None
    ) -> None:
        if plan is not None:
            message.pool = plan.pool
        self._settlement_of().hold(message, text, _destination(plan))
        entry = waiting_of(message, queue)
        queue.hold(entry)
        self._queues.add(queue)

    # -- letting go ---------------------------------------------------------------------------

    def release(self) -> None:
        """Let messages go whose reason is over; called at each change and about once a second.

        What changes during a walk is seen by it, or by the next.
        """
        if self._queues and not self._is_walking:
            self._is_walking = True
            self._supervisor.start(self._walk(), "release-held")

    async def _walk(self) -> None:
        try:
            for queue in list(self._queues):
                if self._pace.is_spent():
                    await self._pace.wait()
                if not self._is_held(queue):
                    self._release(queue)
        finally:
            self._is_walking = False

    def _release(self, queue: ScheduledQueue) -> None:
        self._queues.discard(queue)
        queue.lacks_source = False
        held = queue.release()
        if len(held) < _IN_ONE_GO:
            self._set_due(queue, held, self._clock.mono(), 0, len(held))
        else:
            self._supervisor.start(self._let_go(queue, held), f"release {queue.name}")

    def _is_held(self, queue: ScheduledQueue) -> bool:
        if self._suspensions.find_scheduled(queue.name) is not None:
            return True
        if not queue.lacks_source:
            return False
        # The plan may be of an older epoch, or the pool may have got another source meanwhile.
        self._look_again(queue)
        plan: EgressPlan | None = queue.plan
        return plan is not None and all(
            self._suspensions.find_way(ready.name, name) is not None
            for name, ready in plan.queues.items()
        )

    async def _let_go(self, queue: ScheduledQueue, held: list[Waiting]) -> None:
        now = self._clock.mono()
        for first in range(0, len(held), _IN_ONE_GO):
            self._set_due(queue, held, now, first, first + _IN_ONE_GO)
            if self._pace.is_spent():
                await self._pace.wait()

    def _set_due(
        self, queue: ScheduledQueue, held: list[Waiting], now: float, first: int, end: int
    ) -> None:
        """Have some of what a queue held fall due, each at its place in the spread."""
        gap_s = RELEASE_S / len(held) if held else 0.0
        for index, entry in enumerate(held[first:end], first):
            if queue.knows(entry):
                entry.due_mono = now + gap_s * index
                self._due_times.add(entry)


def _destination(plan: EgressPlan | None) -> Circumstances:
    """Return what a plan tells of where mail would go; the source only if there is just one."""
    if plan is None or not plan.queues:
        return NOWHERE
    ready, *others = plan.queues.values()
    if others:
        return Circumstances(site_name=ready.site_name, provider_name=ready.path.provider_name)
    return Circumstances(
        ready.name, ready.site_name, ready.source.name, provider_name=ready.path.provider_name
    )
