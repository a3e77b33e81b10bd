"""Log records in: bounded, in batches, acknowledged when what they led to is safe.

Place in flow: ``tsa.http_api`` hands over lines; each goes through ``tsa.rule_engine``, what it
led to into ``tsa.decision_store`` and ``tsa.publication``.

Invariants:
    * ``take`` returns only after everything the records led to is durable; records that led to
      nothing need no disk.
    * A line that is no record is refused with its reason; the lines beside it are taken.
    * At most ``WAITING_MAX`` records wait; beyond that a sender is told to come back.
    * What could not be written is kept and written before anything else is acknowledged: a record
      that comes again is known by then, and must not be taken for safe because it changes nothing.

Failure: a store that cannot be written makes ``take`` raise ``StoreUnavailableError``; decisions
are in force and published all the same.

Standard: group commit; at-least-once delivery with duplicates dropped by key.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from engine.base.clock import Clock
from engine.model.decision import Decision
from tsa.decision_store import Batch, DecisionStore
from tsa.errors import IntakeFullError, StoreUnavailableError
from tsa.rule_engine import RuleEngine, Verdict
from tsa.seen_record import SeenRecord, decode_seen

log = logging.getLogger("cirrus.tsa")

#: Records that wait at most, whatever they come in.
WAITING_MAX = 131_072
#: Records that are looked at between two turns for everybody else.
SLICE = 512
#: What may be kept that could not be written; beyond it no more records are looked at.
UNSAVED_MAX = 200_000
#: Seconds a record may lie in the future: more is a clock that is wrong, and would stop counting.
FUTURE_MAX_S = 300.0
#: Refused lines named in an answer at most; the rest is counted.
REFUSALS_SHOWN_MAX = 100

#: Port: run a function beside the event loop.
Offload = Callable[[Callable[[], None]], Awaitable[None]]
#: Port: a decision came into force, or changed.
Announce = Callable[[Decision], None]


class Refusal(NamedTuple):
    """A line that was not taken.

    Attributes:
        line: Its number, from 0.
        error: Why, for people.
    """

    line: int
    error: str


class _Waiting(NamedTuple):
    records: list[SeenRecord]
    done: asyncio.Future[None]


async def _in_thread(work: Callable[[], None]) -> None:
    await asyncio.to_thread(work)


class RecordIntake:
    """The way of records into the rules of one daemon.

    Attributes:
        received: Records taken.
        refused: Lines refused.
        unsaved: What waits to be written.
    """

    def __init__(
        self,
        engine: RuleEngine,
        store: DecisionStore,
        announce: Announce,
        clock: Clock,
        *,
        offload: Offload = _in_thread,
    ) -> None:
        self.engine = engine
        self._store = store
        self._announce = announce
        self._clock = clock
        self._offload = offload
        self._waiting: deque[_Waiting] = deque()
        self._waiting_records = 0
        self._wake = asyncio.Event()
        self._saving = asyncio.Lock()
        self._trouble: str | None = None
        self.unsaved = Batch()
        self.received = 0
        self.refused = 0

    @property
    def trouble(self) -> str | None:
        """Return why decisions cannot be made durable now, None while they can."""
        return self._trouble

    @property
    def waiting(self) -> int:
        """Return how many records wait for the rules."""
        return self._waiting_records

    @property
    def is_full(self) -> bool:
        """Return whether a sender has to come back later."""
        return self._waiting_records >= WAITING_MAX or len(self.unsaved) >= UNSAVED_MAX

    async def take(self, lines: Sequence[bytes]) -> list[Refusal]:
        """Take records; return the lines that are none, when all others are safe.

        Args:
            lines: One JSON object each; empty ones are skipped.

        Raises:
            IntakeFullError: Too many records wait: nothing was taken.
            StoreUnavailableError: What they led to could not be made durable: to be sent again.
        """
        if self.is_full:
            raise IntakeFullError("too many records wait")
        records, refusals = self._decode(lines)
        self.received += len(records)
        self.refused += len(refusals)
        if records:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(records, done))
            self._waiting_records += len(records)
            self._wake.set()
            await done
        return refusals

    def _decode(self, lines: Sequence[bytes]) -> tuple[list[SeenRecord], list[Refusal]]:
        records: list[SeenRecord] = []
        refusals: list[Refusal] = []
        latest_at = self._clock.wall() + FUTURE_MAX_S
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            try:
                record = decode_seen(line)
            except ValueError as error:
                refusals.append(Refusal(number, str(error)[:300]))
                continue
            if record.timestamp > latest_at:
                refusals.append(Refusal(number, "its time lies in the future"))
                continue
            records.append(record)
        return records, refusals

    # -- working off ----------------------------------------------------------------------------

    async def run(self) -> None:
        """Work off what was taken, until cancelled; what waits then is not acknowledged."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._work_off()
        finally:
            for waiting in self._waiting:
                waiting.done.cancel()
            self._waiting.clear()

    async def _work_off(self) -> None:
        while self._waiting:
            taken = list(self._waiting)
            self._waiting.clear()
            try:
                for waiting in taken:
                    await self._see_all(waiting.records)
                await self.save()
            except StoreUnavailableError as error:
                _fail(taken, error)
                continue
            except BaseException as error:
                # A defect in one batch must not leave its senders waiting for ever.
                _fail(taken, StoreUnavailableError(f"the records could not be judged: {error}"))
                raise
            finally:
                self._waiting_records -= sum(len(waiting.records) for waiting in taken)
            for waiting in taken:
                if not waiting.done.done():
                    waiting.done.set_result(None)

    async def _see_all(self, records: Sequence[SeenRecord]) -> None:
        see = self.engine.see
        for start in range(0, len(records), SLICE):
            if start:
                await asyncio.sleep(0)
            verdict = Verdict()
            for record in records[start : start + SLICE]:
                see(record, verdict)
            if verdict:
                self.enforce(verdict)

    def enforce(self, verdict: Verdict) -> None:
        """Put decisions into force and keep them, and what they were made from, for the disk."""
        now = self._clock.wall()
        unsaved = self.unsaved
        unsaved.marks.extend(verdict.marks)
        # What they hold is looked up when it is saved: they go on changing.
        unsaved.windows.update(dict.fromkeys(verdict.windows))
        unsaved.adjusted.update(dict.fromkeys(verdict.adjusted))
        for decision, _ in verdict.made:
            if decision.expires_at <= now and decision.key not in self._store.in_force:
                continue
            made, is_news = self._store.take(decision)
            unsaved.decisions[made.key] = made
            if is_news:
                self._announce(made)

    def forget_stale(self) -> None:
        """Drop what can count no more, from the file too when it is saved next."""
        stale = self.engine.forget_stale(self._clock.wall())
        self.unsaved.windows.update(dict.fromkeys(stale))

    async def save(self) -> None:
        """Make durable what was not; returns when nothing of before the call is left.

        Raises:
            StoreUnavailableError: It is kept for the next time.
        """
        async with self._saving:
            if not self.unsaved:
                return
            batch, self.unsaved = self.unsaved, Batch()
            # The engine goes on while the thread writes.
            batch.windows = {name: self.engine.window_state(name) for name in batch.windows}
            batch.adjusted = {name: self.engine.adjusted_state(name) for name in batch.adjusted}
            try:
                await self._offload(lambda: self._store.save(batch))
            except StoreUnavailableError as error:
                self._keep(batch)
                self._note_trouble(str(error))
                raise
            except BaseException:
                self._keep(batch)
                raise
            self._note_trouble(None)

    def _keep(self, batch: Batch) -> None:
        """Put back what could not be written; what came since is newer."""
        newer = self.unsaved
        self.unsaved = Batch(
            batch.decisions | newer.decisions,
            batch.marks + newer.marks,
            batch.windows | newer.windows,
            batch.adjusted | newer.adjusted,
        )

    def _note_trouble(self, trouble: str | None) -> None:
        if trouble is not None and self._trouble is None:
            log.error("%s; records are not acknowledged until it can", trouble)
        elif trouble is None and self._trouble is not None:
            log.info("decisions can be written again")
        self._trouble = trouble


def _fail(taken: Sequence[_Waiting], error: Exception) -> None:
    for waiting in taken:
        if not waiting.done.done():
            waiting.done.set_exception(error)
