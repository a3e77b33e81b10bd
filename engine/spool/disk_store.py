"""The spool on disk: RocksDB, one synced write shared by many messages.

Place in flow: ``engine.receive.admission`` commits; ``engine.schedule.settlement`` updates and
removes; dispatchers load bodies.

Keys: ``m<id>`` an envelope, ``b<id>`` a body, ``r<body id><id>`` one reference to a shared body,
``q<id>`` a damaged envelope set aside, ``format`` the version of this layout.

Invariants:
    * ``commit`` returns after the flush of the write-ahead log that covers its batch returned.
      One thread flushes; while it does, the next batch gathers. Nothing else waits for a disk.
    * Settlement writes are unsynced and ride on the next flush, at the latest a second later. They
      are remembered until then and written again should that flush fail.
    * What a failed flush covered is refused: RocksDB may still replay it from its log, so it is
      deleted before the reopened store is used, also when the process dies in between. A commit
      that was cancelled is treated alike.
    * While settlement writes wait because the disk does not follow, nothing overtakes them.

Failure: a write or flush that fails makes ``trouble`` say so; a thread closes and reopens the store
until a probe is written and flushed. Until then commits raise and settlement writes wait in memory;
what waits is bounded by the messages in memory, since nothing is taken or loaded meanwhile.

Known limit: rocksdict holds the interpreter lock while it writes and opens (``database``): writes
are made in pieces (``pending_commit``), but one message is never split.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rocksdict import Rdict, WriteOptions

from engine.base.clock import Clock
from engine.model.errors import (
    SpoolEntryDamagedError,
    SpoolUnavailableError,
)
from engine.model.message import (
    FLAG_SHARED_BODY,
    Message,
    SpoolId,
    StoredEnvelope,
    encode_envelope,
    new_spool_id,
)
from engine.spool.compaction import Compaction
from engine.spool.database import (
    Writes,
    batch_of,
    is_corruption,
    is_short_of_space,
    is_stall,
    open_database,
)
from engine.spool.disk_walk import decode_entry, walk
from engine.spool.pending_commit import PendingCommit, batches_of, operations_of
from engine.spool.shared_bodies import SharedBodies, free_unreferenced
from engine.spool.spool_folder import SpoolFolder
from engine.spool.spool_store import DamagedEntry, StoredMessage
from engine.spool.store_measures import StoreMeasures

log = logging.getLogger("cirrus.spool")

#: How often writes are flushed that no commit takes along, seconds.
IDLE_FLUSH_S = 0.5
#: How often dead mail is made to give its space back while the disk is short of it, seconds.
RECLAIM_EVERY_S = 5.0
#: First and longest pause between attempts to reopen a failed store, seconds.
REOPEN_FIRST_S = 0.5
REOPEN_MAX_S = 15.0
#: A stalled settlement write is tried again after this time, seconds.
STALL_RETRY_S = 0.05
_GONE = object()
_STALLED = "the spool's disk does not keep up"


class DiskStore:
    """RocksDB behind the spool contract. Open with :meth:`open`; one process owns a folder.

    Args:
        path: The folder.
        clock: Tells due times.
        loop: The loop that everything but ``_work`` runs on.
        opener: Opens the database; tests give one whose disk fails.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        opener: Callable[[Path], Rdict] = open_database,
    ) -> None:
        self.path = path
        self._clock = clock
        self._loop = loop
        self._folder = SpoolFolder(path, opener)
        self._db: Rdict | None = None
        self._write_options = WriteOptions()
        # A stall is an error here and not a wait: it would be one with the interpreter lock held.
        self._write_options.no_slowdown = True
        self._waiting: list[PendingCommit] = []
        self._flushing: list[PendingCommit] = []
        self._in_flight = False
        # Settlement writes not yet covered by a good flush.
        self._unflushed: Writes = {}
        self._being_flushed: Writes = {}
        # Settlement writes the store could not take: they win over what is stored.
        self._overdue: Writes = {}
        self._overdue_timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._relaxed_unflushed = False
        self._has_removed = False
        self._reclaimed_mono = clock.mono()
        self._bodies = SharedBodies()
        self._trouble: str | None = None
        self._compaction = Compaction(self._usable)
        self.measures = StoreMeasures(self._usable)
        self._closing = threading.Event()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="spool-flush", daemon=True)
        self.on_change: Callable[[str | None], None] = lambda _trouble: None
        self.flush_count = self.background_errors = 0

    def _usable(self) -> Rdict | None:
        return None if self._trouble else self._db

    # -- opening and closing ------------------------------------------------------------------

    def open(self) -> None:
        """Take the folder and open the store.

        Raises:
            SpoolLockedError: Another process owns it.
            ConfigurationError: The folder cannot be written, or is of another format.
        """
        self._db = self._folder.open()
        self._thread.start()
        self._idle_timer = self._loop.call_later(IDLE_FLUSH_S, self._flush_idle)

    async def close(self) -> None:
        """Flush what waits, close the store and give the folder back."""
        if self._closing.is_set() or not self._thread.is_alive():
            return
        # Ends the pauses of reopening too.
        self._closing.set()
        for timer in (self._idle_timer, self._overdue_timer):
            if timer is not None:
                timer.cancel()
        if self._trouble is None:
            with contextlib.suppress(SpoolUnavailableError):
                await self._flush_with([])
        end = PendingCommit([], self._loop.create_future())
        self._jobs.put(lambda: self._shut(end))
        await end.done
        self._jobs.put(None)
        self._folder.release()

    def _shut(self, end: PendingCommit) -> None:
        """Run in the flush thread: a last attempt to write what is overdue, then the end."""
        overdue = self._overdue.copy()
        try:
            if self._trouble is not None:
                self._close_database()
                self._db = self._folder.open_again(overdue, self._bodies.uncounted.copy())
            elif self._db is not None:
                self._db.write(batch_of(overdue))
                self._db.flush_wal(True)
        except Exception as error:  # noqa: BLE001 - record sink boundary: closing must go on
            log.error(
                "the spool cannot be written: what became of %d messages is not on disk, and they "
                "may be delivered again: %s",
                sum(key.startswith(b"m") for key in overdue),
                error,
            )
        self._close_database()
        self._loop.call_soon_threadsafe(end.resolve)

    def _close_database(self) -> None:
        database, self._db = self._db, None
        if database is not None:
            try:
                with self._compaction.paused():
                    database.close()
            except Exception as error:  # noqa: BLE001 - record sink boundary: it is let go all the same
                log.error("closing the spool failed: %s", error)

    # -- commit -------------------------------------------------------------------------------

    async def commit(self, messages: Sequence[Message], *, relaxed: bool = False) -> None:
        """See ``SpoolStore.commit``."""
        self._check_open()
        operations = operations_of(messages, self._clock.wall_of)
        if relaxed:
            self._write_relaxed(operations)
        else:
            await self._flush_with(operations)
        for message in messages:
            if message.flags & FLAG_SHARED_BODY:
                self._bodies.add(message.body_id)

    def _check_open(self) -> None:
        if self._trouble is not None:
            raise SpoolUnavailableError(self._trouble)
        if self._closing.is_set() or self._db is None:
            raise SpoolUnavailableError("the spool is closed")
        if self._overdue:
            raise SpoolUnavailableError(_STALLED)

    async def _flush_with(self, operations: list[tuple[bytes, bytes]]) -> None:
        """Write key-value pairs and return when the flush that covers them returned.

        Raises:
            SpoolUnavailableError: They are not stored and will not come back.
        """
        commit = PendingCommit(operations, self._loop.create_future())
        self._waiting.append(commit)
        if not self._in_flight:
            self._start_flush()
        try:
            await commit.done
        except asyncio.CancelledError:
            if not commit.done.cancelled() and commit.done.exception() is None:
                # Stored in the very moment of the cancellation: the caller will not know it.
                self._write(commit.undone)
            raise

    def _start_flush(self) -> None:
        self._in_flight = True
        waiting, self._waiting = self._waiting, []
        commits = [commit for commit in waiting if not commit.done.cancelled()]
        self._flushing = commits
        self._being_flushed, self._unflushed = self._unflushed, {}
        self._relaxed_unflushed = False
        self._jobs.put(lambda: self._write_and_flush(commits))

    def _write_and_flush(self, commits: list[PendingCommit]) -> None:
        """Run in the flush thread: the only place that waits for the disk."""
        stored = 0
        stall: Exception | None = None
        failure: Exception | None = None
        try:
            assert self._db is not None
            try:
                for batch, count in batches_of(commits):
                    if len(batch):
                        self._db.write(batch, self._write_options)
                    stored += count
            except Exception as error:
                if not is_stall(error):
                    raise
                stall = error
            self._db.flush_wal(True)
        except Exception as error:  # noqa: BLE001 - record sink boundary: rocksdict's only class
            failure = error
            self._folder.note.add(key for commit in commits for key, _ in commit.operations)
        self._loop.call_soon_threadsafe(self._flushed, stored, stall, failure)

    def _flushed(self, stored: int, stall: Exception | None, failure: Exception | None) -> None:
        commits, self._flushing = self._flushing, []
        self._in_flight = False
        if failure is not None:
            self._fail(failure, commits)
            return
        self.flush_count += 1
        self._being_flushed = {}
        for commit in commits[:stored]:
            if commit.done.cancelled():
                self._write(commit.undone)
            commit.resolve()
        if stall is not None:
            # The memtables are full and the disk does not follow: these were not written.
            self._refuse(commits[stored:], _STALLED)
        if self._waiting and self._trouble is None:
            self._start_flush()

    def _refuse(self, commits: list[PendingCommit], reason: str) -> None:
        """Refuse commits and all that wait behind them."""
        waiting, self._waiting = self._waiting, []
        for commit in commits + waiting:
            commit.refuse(reason)

    def _write_relaxed(self, operations: list[tuple[bytes, bytes]]) -> None:
        assert self._db is not None
        writes: Writes = dict(operations)
        try:
            self._db.write(batch_of(writes), self._write_options)
        except Exception as error:  # rocksdict raises nothing more specific
            if is_stall(error):
                raise SpoolUnavailableError(_STALLED) from error
            self._overdue.update(dict.fromkeys(writes, None))
            self._fail(error, [])
            raise SpoolUnavailableError(str(error)) from error
        self._relaxed_unflushed = True

    # -- settlement ---------------------------------------------------------------------------

    def update(self, message: Message) -> None:
        """See ``SpoolStore.update``."""
        self._write({b"m" + message.spool_id: self._envelope_of(message)})

    def _envelope_of(self, message: Message) -> bytes:
        return encode_envelope(message, self._clock.wall_of(message.due_mono))

    def replace_body(self, message: Message) -> None:
        """See ``SpoolStore.replace_body``."""
        assert message.data is not None
        writes: Writes = {}
        if message.flags & FLAG_SHARED_BODY:
            # Other envelopes keep the old content: this one gets a body of its own.
            writes.update(self._release_body(message))
            message.flags &= ~FLAG_SHARED_BODY
            is_taken = message.body_id == message.spool_id
            message.body_id = new_spool_id() if is_taken else message.spool_id
        writes[b"b" + message.body_id] = message.data
        writes[b"m" + message.spool_id] = self._envelope_of(message)
        self._write(writes)

    def remove(self, message: Message) -> None:
        """See ``SpoolStore.remove``."""
        writes: Writes = {b"m" + message.spool_id: None}
        if message.flags & FLAG_SHARED_BODY:
            writes.update(self._release_body(message))
        else:
            writes[b"b" + message.body_id] = None
        self._has_removed = True
        self._write(writes)

    def _release_body(self, message: Message) -> Writes:
        database = self._db if self._trouble is None else None
        return self._bodies.release(message.body_id, message.spool_id, database, self._overdue)

    def _write(self, writes: Writes) -> None:
        if self._trouble is None and not self._overdue and self._db is not None:
            try:
                self._db.write(batch_of(writes), self._write_options)
            except Exception as error:  # rocksdict raises nothing more specific  # noqa: BLE001 - record sink boundary
                self._overdue.update(writes)
                if not is_stall(error):
                    self._fail(error, [])
            else:
                self._unflushed.update(writes)
        else:
            self._overdue.update(writes)
        if self._overdue and self._trouble is None:
            self._retry_overdue_later()

    def _retry_overdue_later(self) -> None:
        if self._overdue_timer is None and not self._closing.is_set():
            self._overdue_timer = self._loop.call_later(STALL_RETRY_S, self._retry_overdue)

    def _retry_overdue(self) -> None:
        self._overdue_timer = None
        if self._trouble is None and self._overdue:
            writes, self._overdue = self._overdue, {}
            self._write(writes)

    def _flush_idle(self) -> None:
        """Flush writes that no commit took along."""
        pending = self._unflushed or self._relaxed_unflushed
        if pending and not self._in_flight and self._trouble is None:
            self._start_flush()
        now = self._clock.mono()
        is_due = self._has_removed and now - self._reclaimed_mono >= RECLAIM_EVERY_S
        if is_due and self._trouble is None:
            self._has_removed, self._reclaimed_mono = False, now
            self._jobs.put(self._reclaim)
        self._idle_timer = self._loop.call_later(IDLE_FLUSH_S, self._flush_idle)

    def _reclaim(self) -> None:
        """Run in the flush thread: have dead mail give its space back if that is short."""
        # Deletions wait in a memtable, which where no mail is taken would never fill up.
        try:
            if self._db is not None and is_short_of_space(self.path):
                self._db.flush()
        except Exception as error:  # noqa: BLE001 - record sink boundary: rocksdict's only class
            self._loop.call_soon_threadsafe(self._fail, error, [])

    # -- reading ------------------------------------------------------------------------------

    def _get(self, key: bytes) -> bytes | None:
        overdue = self._overdue.get(key, _GONE) if self._overdue else _GONE
        if overdue is not _GONE:
            return overdue  # type: ignore[return-value]
        if self._trouble is not None or self._db is None:
            raise SpoolUnavailableError(self._trouble or "the spool is closed")
        try:
            began_mono = self._clock.mono()
            value: bytes | None = self._db.get(key)
            self.measures.note_read(key, self._clock.mono() - began_mono)
        except Exception as error:
            if is_corruption(error):
                raise SpoolEntryDamagedError(str(error)) from error
            raise SpoolUnavailableError(str(error)) from error
        return value

    def load(self, spool_id: SpoolId) -> StoredEnvelope | None:
        """See ``SpoolStore.load``."""
        raw = self._get(b"m" + spool_id)
        return None if raw is None else decode_entry(raw)

    def load_body(self, body_id: SpoolId) -> bytes:
        """See ``SpoolStore.load_body``."""
        body = self._get(b"b" + body_id)
        if body is None:
            raise SpoolEntryDamagedError("the body is missing")
        return body

    def enumerate(self) -> Iterator[StoredMessage | DamagedEntry]:
        """See ``SpoolStore.enumerate``. The snapshot is taken now, not at the first step."""
        if self._trouble is not None or self._db is None:
            raise SpoolUnavailableError(self._trouble or "the spool is closed")
        return walk(self._db.iter(), self._db.iter)

    def quarantine(self, spool_id: bytes) -> None:
        """See ``SpoolStore.quarantine``."""
        try:
            raw = self._get(b"m" + spool_id)
        except (SpoolEntryDamagedError, SpoolUnavailableError):
            return
        if raw is not None:
            self._write({b"q" + spool_id: raw, b"m" + spool_id: None})

    async def compact(self) -> None:
        """See ``SpoolStore.compact``."""
        await self._compaction.run()

    def trouble(self) -> str | None:
        """See ``SpoolStore.trouble``."""
        return self._trouble

    # -- failure ------------------------------------------------------------------------------

    def _fail(self, error: Exception, commits: list[PendingCommit]) -> None:
        """Refuse what was under way, and have the store reopened."""
        self.background_errors += 1
        for commit in commits:
            self._overdue.update(commit.undone)
        # Settlement writes without a good flush may be lost with it: they are written again.
        # Newer ones first: what is already noted wins.
        for writes in (self._unflushed, self._being_flushed):
            for key, value in writes.items():
                self._overdue.setdefault(key, value)
        self._being_flushed, self._unflushed = {}, {}
        first = self._trouble is None
        self._trouble = f"the spool cannot be written: {error}"
        if first:
            log.error("%s; reopening it", self._trouble)
            # Behind a flush that may be under way: one thread does both, in order.
            self._jobs.put(self._reopen)
            self.on_change(self._trouble)
        self._refuse(commits, "the spool cannot be written")

    def _reopen(self) -> None:
        """Run in the flush thread: close and open the store until a probe can be flushed."""
        pause_s = REOPEN_FIRST_S
        while not self._closing.is_set():
            # Each copied in one step of the interpreter: the loop may add to them meanwhile. What
            # it adds later is written by ``_reopened``.
            uncounted = self._bodies.uncounted.copy()
            overdue = self._overdue.copy()
            try:
                self._close_database()
                self._db = self._folder.open_again(overdue, uncounted)
            except Exception as error:  # noqa: BLE001 - supervisor boundary: tried again, said aloud
                log.error("the spool still cannot be written: %s", error)
                self._trouble = f"the spool cannot be written: {error}"
                self._closing.wait(pause_s)
                pause_s = min(pause_s * 2, REOPEN_MAX_S)
            else:
                self._loop.call_soon_threadsafe(self._reopened, overdue)
                return

    def _reopened(self, written: Writes) -> None:
        if self._closing.is_set() or self._db is None:
            # The end of the store writes what is left.
            return
        overdue, self._overdue = self._overdue, {}
        uncounted, self._bodies.uncounted = self._bodies.uncounted, set()
        self._trouble = None
        log.warning("the spool can be written again")
        writes = {
            key: value for key, value in overdue.items() if written.get(key, _GONE) is not value
        }
        writes.update(free_unreferenced(self._db, uncounted, overdue))
        if writes:
            self._write(writes)
        self.on_change(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            # A job's database must not outlive it: the folder could not be opened again.
            del job
