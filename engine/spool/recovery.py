"""What the spool held at start goes back into the queues, while mail is already taken.

Place in flow: started by ``engine.app`` once; ``reinsert`` puts each message into its scheduled
queue with its due time and attempts as they were.

Invariants:
    * Only what was stored before the start is enumerated: newer messages are already live.
    * The loop is held for a slice at a time; reception goes on meanwhile.
    * A damaged entry is reported and set aside; the intact ones around it are not touched.
    * The iterator is let go at the end, however that comes: while it lives the store cannot be
      reopened.

Failure: an entry that cannot be put back stays in the spool for the next start and is logged; the
others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

from engine.base.clock import Clock
from engine.spool.spool_store import DamagedEntry, StoredMessage

log = logging.getLogger("cirrus.spool")

#: How long recovery may hold the loop before others get a turn, seconds.
SLICE_S = 0.004

#: Port: put a stored message back into its queue; may wait for a handler.
Reinsert = Callable[[StoredMessage], Awaitable[None] | None]
#: Port: record a damaged entry and set it aside.
ReportDamaged = Callable[[DamagedEntry], None]


class Recovery:
    """One run over the spool.

    Attributes:
        found: Intact messages so far.
        damaged: Damaged entries so far.
        is_done: Whether everything was enumerated.
    """

    def __init__(
        self,
        entries: Iterator[StoredMessage | DamagedEntry],
        clock: Clock,
        reinsert: Reinsert,
        report: ReportDamaged,
    ) -> None:
        self._entries = entries
        self._clock = clock
        self._reinsert = reinsert
        self._report = report
        self.found = 0
        self.damaged = 0
        self.is_done = False

    async def run(self) -> None:
        """Enumerate everything."""
        began = self._clock.mono()
        try:
            await self._take_all()
        finally:
            close = getattr(self._entries, "close", None)
            if close is not None:
                close()
        self.is_done = True
        if self.found or self.damaged:
            log.info(
                "spool enumerated: %d messages, %d damaged entries, %.1f s",
                self.found,
                self.damaged,
                self._clock.mono() - began,
            )

    async def _take_all(self) -> None:
        mono = self._clock.mono
        started = mono()
        for entry in self._entries:
            try:
                waiting = self._take(entry)
                if waiting is not None:
                    await waiting
            except Exception:  # boundary: supervisor
                log.exception(
                    "the entry %s cannot be put back; it stays in the spool", entry.spool_id.hex()
                )
            if mono() - started > SLICE_S:
                await asyncio.sleep(0)
                started = mono()

    def _take(self, entry: StoredMessage | DamagedEntry) -> Awaitable[None] | None:
        if isinstance(entry, StoredMessage):
            self.found += 1
            return self._reinsert(entry)
        self.damaged += 1
        self._report(entry)
        return None
