"""Find, create and reap scheduled queues.

Place in flow: ``promotion`` asks for the queue of a message; administration lists them.

Invariants:
    * One name has one queue.
    * A queue with messages is never reaped, nor one whose mail may stand in a ready queue: its
      configuration says how long that mail lives and when it is tried again.
    * Reaping looks at a share of the queues at a time, so that a million hold nobody up.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.base.sharded_dict import ShardedDict
from engine.model.queue_name import parse_queue_name
from engine.schedule.scheduled_queue import ScheduledQueue

#: An empty queue is forgotten after this time, when its configuration says nothing else, seconds.
REAP_S = 600.0
#: How many queues are looked at in one call at least, and in how many calls all are.
LOOK_AT = 1024
ROUND_CALLS = 60


class ScheduledRegistry:
    """The scheduled queues of a node, by name."""

    def __init__(self) -> None:
        self._queues: ShardedDict[str, ScheduledQueue] = ShardedDict()

    def __len__(self) -> int:
        return len(self._queues)

    def __iter__(self) -> Iterator[ScheduledQueue]:
        return self._queues.values()

    def find(self, name: str) -> ScheduledQueue | None:
        """Return the queue of this name, or None."""
        return self._queues.get(name)

    def get(self, name: str, now_mono: float) -> ScheduledQueue:
        """Return the queue of this name, made if need be."""
        queue = self._queues.get(name)
        if queue is None:
            queue = ScheduledQueue(name, parse_queue_name(name), now_mono)
            self._queues[name] = queue
        return queue

    def reap(self, now_mono: float) -> list[ScheduledQueue]:
        """Forget queues that were empty for their reap interval; return them.

        One call looks at some of the queues, the next at those that follow.
        """
        share = max(LOOK_AT, len(self._queues) // ROUND_CALLS)
        gone: list[ScheduledQueue] = []
        for name in self._queues.take_names(share):
            queue = self._queues.get(name)
            if queue is None:
                continue
            if queue.entries or queue.draining:
                queue.idle_since_mono = now_mono
                continue
            limit_s = queue.config.reap_interval_s if queue.config is not None else REAP_S
            if now_mono - queue.idle_since_mono < limit_s:
                continue
            if _is_under_way(queue):
                queue.idle_since_mono = now_mono
            else:
                del self._queues[name]
                gone.append(queue)
        return gone


def _is_under_way(queue: ScheduledQueue) -> bool:
    """Return whether a ready queue that the queue feeds has mail or sessions."""
    plan = queue.plan
    return plan is not None and any(
        ready.messages or ready.dispatchers for ready in plan.queues.values()
    )
