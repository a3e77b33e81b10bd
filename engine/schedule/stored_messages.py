"""The message behind an entry of a scheduled queue, read from the spool.

Place in flow: ``promotion`` reads what is due, ``bouncing`` and ``ageing`` what they settle,
``transferring`` what it sets aside.

Invariants: an entry whose message is gone or damaged leaves its queue; one that cannot be read now
stays, and its queue is tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from engine.base.clock import Clock
from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.message import Message, SpoolId, message_from
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.settlement import Settlement
from engine.schedule.timer_wheel import Waiting
from engine.spool.spool_store import SpoolStore

log = logging.getLogger("cirrus.schedule")

#: How soon a spool that cannot be used is tried again, seconds.
SPOOL_RETRY_S = 1.0


class StoredPorts(Protocol):
    """What reading messages needs from the node."""

    clock: Clock
    store: SpoolStore


class StoredMessages:
    """Reads messages for those that hold entries."""

    def __init__(
        self,
        ports: StoredPorts,
        settlement: Callable[[], Settlement],
        resume_in: Callable[[ScheduledQueue, float, str], None],
    ) -> None:
        """Read from the spool of the node.

        Args:
            ports: The node.
            settlement: Returns what notes damaged entries.
            resume_in: Has a queue tried again after so many seconds, for a reason.
        """
        self._ports = ports
        self._settlement = settlement
        self._resume_in = resume_in

    def load(self, queue: ScheduledQueue, entry: Waiting) -> Message | None:
        """Return the message of an entry.

        Returns:
            None when the entry left (gone or damaged: the queue no longer knows it), or when the
            spool cannot be read (the queue still knows it and has a retry handle).
        """
        spool_id = SpoolId(entry.spool_id)
        try:
            stored = self._ports.store.load(spool_id)
        except SpoolUnavailableError as error:
            self._resume_in(queue, SPOOL_RETRY_S, str(error))
            return None
        except SpoolEntryDamagedError as error:
            queue.discard(entry)
            stand_in = Message(
                spool_id, "", [], data=b"", size=0, created_at=self._ports.clock.wall()
            )
            stand_in.queue_name = queue.name
            self._settlement().drop_damaged(stand_in, str(error))
            return None
        if stored is None:
            log.warning("message %s of %s is no longer in the spool", spool_id.hex(), queue.name)
            queue.discard(entry)
            return None
        message = message_from(spool_id, stored, entry.due_mono)
        message.queue_name = queue.name
        message.context = entry.context
        return message
