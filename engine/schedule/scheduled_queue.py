"""Messages of one queue name that wait: for their due time, for room, for a suspension to end.

Place in flow: found by ``scheduled_registry``; filled and emptied by ``promotion``.

Invariants:
    * ``entries`` holds every waiting message of the queue exactly once; ``held`` some of them, and
      ``backlog`` others. The backlog may also refer to ones that left: those are passed over, and
      taken out before they are more than those that are there.
    * The backlog is in order of arrival; nothing overtakes it.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from engine.model.message_mark import summed
from engine.model.queue_config import QueueConfig
from engine.model.queue_name import QueueName
from engine.model.transfer_target import is_transfer_queue
from engine.schedule.timer_wheel import Waiting
from engine.throttle.limiter import RateBucket

#: References to messages that left which a backlog may hold beyond as many as it has messages.
STALE_MAX = 1000


class ScheduledQueue:
    """The waiting messages of one queue name, with what is known about their way out."""

    __slots__ = (
        "asked",
        "backlog",
        "blocked_by",
        "bucket",
        "cleared_id",
        "closed",
        "config",
        "config_serial",
        "config_until_mono",
        "draining",
        "entries",
        "epoch_serial",
        "held",
        "idle_since_mono",
        "is_transfer",
        "lacks_source",
        "marks",
        "name",
        "parsed",
        "plan",
        "retry_handle",
    )

    def __init__(self, name: str, parsed: QueueName, now_mono: float) -> None:
        self.name = name
        self.parsed = parsed
        self.entries: dict[bytes, Waiting] = {}
        #: The sum of the marks of all entries since the queue was empty, for who looks for one.
        self.marks = 0
        self.backlog: deque[Waiting] = deque()
        self.held: dict[bytes, Waiting] = {}
        self.config: QueueConfig | None = None
        self.config_serial = -1
        self.config_until_mono = 0.0
        self.epoch_serial = -1
        #: The way out (``engine.ready.ready_registry.EgressPlan``), once it is known.
        self.plan: Any = None
        self.bucket: RateBucket | None = None
        self.draining = False
        #: Why the head of the backlog cannot go, for operators.
        self.blocked_by = ""
        self.retry_handle: Any = None
        self.idle_since_mono = now_mono
        #: Whether its mail goes to another node: no throttle of a script is asked about that.
        self.is_transfer = is_transfer_queue(name)
        #: Why there is no way out (``engine.schedule.way_out.Closed``), as long as that is known.
        self.closed: Any = None
        #: A throttle handler that was asked for the head and has to be waited for.
        self.asked: Any = None
        #: The message that passed all throttles and only waits for a source: it is not asked about
        #: again, for its token is taken.
        self.cleared_id: bytes | None = None
        #: Whether some of the held messages are held because no source may carry them.
        self.lacks_source = False

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, entry: Waiting) -> None:
        """Take a waiting message in."""
        self.entries[entry.spool_id] = entry
        self.marks = summed(self.marks, entry.mark)

    def knows(self, entry: Waiting) -> bool:
        """Return whether the entry still waits here."""
        return self.entries.get(entry.spool_id) is entry

    def discard(self, entry: Waiting) -> None:
        """Let an entry go; its reference in the backlog becomes stale."""
        if self.asked is not None and self.asked.message.spool_id == entry.spool_id:
            # What was asked about the message as it was says nothing of what becomes of it.
            self.asked = None
        if self.entries.get(entry.spool_id) is entry:
            del self.entries[entry.spool_id]
            self.held.pop(entry.spool_id, None)
            if not self.entries:
                self.marks = 0

    def hold(self, entry: Waiting) -> None:
        """Take a waiting message in that goes nowhere until it is released."""
        self.add(entry)
        self.held[entry.spool_id] = entry

    def release(self) -> list[Waiting]:
        """Return what was held; it is so no more."""
        held, self.held = self.held, {}
        return list(held.values())

    def append(self, entry: Waiting) -> None:
        """Put a waiting message that is due behind the others."""
        if len(self.backlog) > 2 * len(self.entries) + STALE_MAX:
            # An operator moves the same messages again and again while nothing leaves.
            self.backlog = deque(one for one in self.backlog if self.knows(one))
        self.backlog.append(entry)

    def head(self) -> Waiting | None:
        """Return the first of the backlog that still waits, dropping stale references."""
        backlog = self.backlog
        while backlog:
            if self.knows(backlog[0]):
                return backlog[0]
            backlog.popleft()
        return None

    @property
    def domain(self) -> str:
        """Return the domain whose route is used."""
        return self.parsed.routing_domain or self.parsed.domain
