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
      deleted before the reopened store is used, also when the process dies in between.

Failure: a write or flush that fails makes ``trouble`` say so; a thread closes and reopens the store
until a probe is written and flushed. Until then commits raise and settlement writes wait in memory.

Known limit: rocksdict holds the interpreter lock in ``write``, ``get`` and iteration, so these are
asked for short work only; ``flush_wal`` releases it (docs/decisions/0004).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rocksdict import (
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from engine.base.clock import Clock
from engine.model.errors import (
    ConfigurationError,
    SpoolEntryDamagedError,
    SpoolLockedError,
    SpoolUnavailableError,
)
from engine.model.message import (
    FLAG_SHARED_BODY,
    Message,
    SpoolId,
    StoredEnvelope,
    decode_envelope,
    encode_envelope,
)
from engine.spool.spool_store import DamagedEntry, StoredMessage

log = logging.getLogger("cirrus.spool")

FORMAT_KEY = b"format"
FORMAT_VERSION = b"1"
#: Octets of one memtable. Mail is mostly gone before it is full, so dead messages never reach a
#: table file; several may wait while a slow disk writes one.
MEMTABLE_BYTES = 32 << 20
MEMTABLES_MAX = 6
#: Settlement writes are flushed at least this often, seconds.
IDLE_FLUSH_S = 1.0
#: First and longest pause between attempts to reopen a failed store, seconds.
REOPEN_FIRST_S = 0.5
REOPEN_MAX_S = 15.0
#: A stalled settlement write is tried again after this time, seconds.
STALL_RETRY_S = 0.05
#: Written and flushed to prove that a reopened store works.
_PROBE_KEY = b"probe"
_GONE = object()


class _Commit(NamedTuple):
    """One caller's messages and what wakes it."""

    operations: list[tuple[bytes, bytes]]
    done: asyncio.Future[None]


class DiskStore:
    """RocksDB behind the spool contract. Open with :meth:`open`; one process owns a folder."""

    def __init__(self, path: Path, clock: Clock, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self._clock = clock
        self._loop = loop
        self._lock_fd = -1
        self._db: Rdict | None = None
        self._write_options = WriteOptions()
        self._write_options.no_slowdown = True
        self._waiting: list[_Commit] = []
        self._flushing: list[_Commit] = []
        self._in_flight = False
        # Settlement writes not yet covered by a good flush: key -> value, None for a deletion.
        self._unflushed: dict[bytes, bytes | None] = {}
        self._being_flushed: dict[bytes, bytes | None] = {}
        # Settlement writes the store could not take: they win over what is stored.
        self._overdue: dict[bytes, bytes | None] = {}
        self._overdue_timer: asyncio.TimerHandle | None = None
        self._references: dict[bytes, int] = {}
        self._trouble: str | None = None
        self._closing = False
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="spool-flush", daemon=True)
        self.on_change: Callable[[str | None], None] = lambda _trouble: None
        self.flush_count = 0
        self.background_errors = 0

    # -- opening and closing ------------------------------------------------------------------

    def open(self) -> None:
        """Take the folder and open the store.

        Raises:
            SpoolLockedError: Another process owns it.
            ConfigurationError: The folder cannot be written, or is of another format.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / "write-probe"
            probe.write_bytes(b"x")
            probe.rename(self.path / "write-probe-2")
            (self.path / "write-probe-2").unlink()
        except OSError as error:
            raise ConfigurationError(
                f"the spool folder {self.path} cannot be used: {error.strerror}"
            ) from error
        self._take_lock()
        try:
            self._db = self._open_database()
            version = self._db.get(FORMAT_KEY)
            if version is None:
                self._db.put(FORMAT_KEY, FORMAT_VERSION)
            elif version != FORMAT_VERSION:
                raise ConfigurationError(f"the spool {self.path} has format {version!r}")
            self._forget_refused()
            self._db.flush_wal(True)
        except ConfigurationError:
            raise
        except Exception as error:  # rocksdict raises nothing more specific
            raise ConfigurationError(f"the spool {self.path} cannot be opened: {error}") from error
        self._thread.start()
        self._loop.call_later(IDLE_FLUSH_S, self._flush_idle)

    def _take_lock(self) -> None:
        self._lock_fd = os.open(self.path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._lock_fd, 32).decode("ascii", "replace").strip()
            os.close(self._lock_fd)
            self._lock_fd = -1
            raise SpoolLockedError(
                f"the spool {self.path} is in use by process {owner or 'unknown'}"
            ) from None
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)

    def _open_database(self) -> Rdict:
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_write_buffer_size(MEMTABLE_BYTES)
        options.set_max_write_buffer_number(MEMTABLES_MAX)
        options.set_level_zero_slowdown_writes_trigger(40)
        options.set_level_zero_stop_writes_trigger(80)
        options.set_max_background_jobs(2)
        options.set_compression_type(DBCompressionType.none())
        options.set_keep_log_file_num(4)
        options.set_max_log_file_size(4 << 20)
        options.set_max_open_files(512)
        return Rdict(str(self.path / "db"), options)

    async def close(self) -> None:
        """Flush what waits, close the store and give the folder back."""
        self._closing = True
        if self._trouble is None and self._thread.is_alive():
            with contextlib.suppress(SpoolUnavailableError):
                await self.commit_operations([], force=True)
        done = self._loop.create_future()
        self._jobs.put(lambda: self._shut(done))
        await done
        self._jobs.put(None)
        os.close(self._lock_fd)

    def _shut(self, done: asyncio.Future[None]) -> None:
        database, self._db = self._db, None
        if database is not None:
            try:
                database.close()
            except Exception as error:  # noqa: BLE001 - record sink boundary: closing must go on
                log.error("closing the spool failed: %s", error)
        self._loop.call_soon_threadsafe(_resolve, done)

    # -- commit -------------------------------------------------------------------------------

    async def commit(self, messages: Sequence[Message], *, relaxed: bool = False) -> None:
        """See ``SpoolStore.commit``."""
        operations = self._operations_of(messages)
        if relaxed:
            self._write_relaxed(operations)
        else:
            await self.commit_operations(operations)
        shared = messages[0].flags & FLAG_SHARED_BODY if messages else 0
        if shared:
            for message in messages:
                if message.flags & FLAG_SHARED_BODY:
                    count = self._references.get(message.body_id, 0)
                    self._references[message.body_id] = count + 1

    def _operations_of(self, messages: Sequence[Message]) -> list[tuple[bytes, bytes]]:
        operations: list[tuple[bytes, bytes]] = []
        wall_of = self._clock.wall_of
        bodies: set[bytes] = set()
        if len(messages) > 1:
            uses: dict[bytes, int] = {}
            for message in messages:
                uses[message.body_id] = uses.get(message.body_id, 0) + 1
            for message in messages:
                if uses[message.body_id] > 1:
                    message.flags |= FLAG_SHARED_BODY
        for message in messages:
            if message.body_id not in bodies:
                bodies.add(message.body_id)
                assert message.data is not None
                operations.append((b"b" + message.body_id, message.data))
            if message.flags & FLAG_SHARED_BODY:
                operations.append((b"r" + message.body_id + message.spool_id, b""))
            envelope = encode_envelope(message, wall_of(message.due_mono))
            operations.append((b"m" + message.spool_id, envelope))
        return operations

    async def commit_operations(
        self, operations: list[tuple[bytes, bytes]], *, force: bool = False
    ) -> None:
        """Write key-value pairs and return when the flush that covers them returned.

        Raises:
            SpoolUnavailableError: They are not stored and will not come back.
        """
        if self._trouble is not None or (self._closing and not force):
            raise SpoolUnavailableError(self._trouble or "the spool is closing")
        done = self._loop.create_future()
        self._waiting.append(_Commit(operations, done))
        if not self._in_flight:
            self._start_flush()
        await done

    def _start_flush(self) -> None:
        self._in_flight = True
        self._flushing, self._waiting = self._waiting, []
        batch = WriteBatch(raw_mode=True)
        for commit in self._flushing:
            for key, value in commit.operations:
                batch.put(key, value)
        self._being_flushed, self._unflushed = self._unflushed, {}
        self._jobs.put(lambda: self._write_and_flush(batch))

    def _write_and_flush(self, batch: WriteBatch) -> None:
        """Run in the flush thread: the only place that waits for the disk."""
        error: Exception | None = None
        written = False
        try:
            assert self._db is not None
            if len(batch):
                self._db.write(batch, self._write_options)
            written = True
            self._db.flush_wal(True)
        except Exception as failure:  # noqa: BLE001 - record sink boundary: rocksdict's only class
            error = failure
            if written or not _is_stall(failure):
                self._remember_refused()
        self._loop.call_soon_threadsafe(self._flushed, error)

    def _flushed(self, error: Exception | None) -> None:
        commits, self._flushing = self._flushing, []
        self._in_flight = False
        if error is None:
            self.flush_count += 1
            self._being_flushed = {}
            for commit in commits:
                _resolve(commit.done)
            if self._waiting:
                self._start_flush()
            return
        if _is_stall(error):
            # Nothing was written: the memtables are full and the disk does not follow.
            self._unflushed = {**self._being_flushed, **self._unflushed}
            self._being_flushed = {}
            _refuse(commits + self._waiting, "the spool's disk does not keep up")
            self._waiting = []
            return
        self._fail(error, commits)

    def _write_relaxed(self, operations: list[tuple[bytes, bytes]]) -> None:
        if self._trouble is not None or self._db is None:
            raise SpoolUnavailableError(self._trouble or "the spool is closed")
        batch = WriteBatch(raw_mode=True)
        for key, value in operations:
            batch.put(key, value)
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:  # rocksdict raises nothing more specific
            if not _is_stall(error):
                self._overdue.update((key, None) for key, _ in operations)
                self._fail(error, [])
            raise SpoolUnavailableError(str(error)) from error

    # -- settlement ---------------------------------------------------------------------------

    def update(self, message: Message) -> None:
        """See ``SpoolStore.update``."""
        envelope = encode_envelope(message, self._clock.wall_of(message.due_mono))
        message.meta_dirty = False
        self._write({b"m" + message.spool_id: envelope})

    def replace_body(self, message: Message) -> None:
        """See ``SpoolStore.replace_body``."""
        assert message.data is not None
        writes: dict[bytes, bytes | None] = {}
        if message.flags & FLAG_SHARED_BODY:
            # Other envelopes keep the old content: this one gets a body of its own.
            self._release_body(message, writes)
            message.flags &= ~FLAG_SHARED_BODY
            message.body_id = message.spool_id
        writes[b"b" + message.body_id] = message.data
        writes[b"m" + message.spool_id] = encode_envelope(
            message, self._clock.wall_of(message.due_mono)
        )
        message.meta_dirty = False
        self._write(writes)

    def remove(self, message: Message) -> None:
        """See ``SpoolStore.remove``."""
        writes: dict[bytes, bytes | None] = {b"m" + message.spool_id: None}
        if message.flags & FLAG_SHARED_BODY:
            self._release_body(message, writes)
        else:
            writes[b"b" + message.body_id] = None
        self._write(writes)

    def _release_body(self, message: Message, writes: dict[bytes, bytes | None]) -> None:
        body_id = message.body_id
        count = self._references.get(body_id)
        if count is None:
            count = self._count_references(body_id)
        writes[b"r" + body_id + message.spool_id] = None
        if count <= 1:
            self._references.pop(body_id, None)
            writes[b"b" + body_id] = None
        else:
            self._references[body_id] = count - 1

    def _count_references(self, body_id: bytes) -> int:
        """Return the references to a body stored before this process started."""
        prefix = b"r" + body_id
        pending = {key: value for key, value in self._overdue.items() if key.startswith(prefix)}
        if self._db is None or self._trouble is not None:
            # Unknown: keep the body. A restart counts again.
            return 2
        count = 0
        iterator = self._db.iter()
        iterator.seek(prefix)
        while iterator.valid():
            key = bytes(iterator.key())
            if not key.startswith(prefix):
                break
            if pending.get(key, b"") is not None:
                count += 1
            iterator.next()
        return count

    def _write(self, writes: dict[bytes, bytes | None]) -> None:
        if self._trouble is None and not self._overdue and self._db is not None:
            batch = WriteBatch(raw_mode=True)
            for key, value in writes.items():
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)
            try:
                self._db.write(batch, self._write_options)
            except Exception as error:  # rocksdict raises nothing more specific  # noqa: BLE001 - record sink boundary
                self._overdue.update(writes)
                if _is_stall(error):
                    self._retry_overdue_later()
                else:
                    self._fail(error, [])
                return
            self._unflushed.update(writes)
            return
        self._overdue.update(writes)
        if self._trouble is None:
            self._retry_overdue_later()

    def _retry_overdue_later(self) -> None:
        if self._overdue_timer is None:
            self._overdue_timer = self._loop.call_later(STALL_RETRY_S, self._retry_overdue)

    def _retry_overdue(self) -> None:
        self._overdue_timer = None
        if self._trouble is None and self._overdue:
            writes, self._overdue = self._overdue, {}
            self._write(writes)

    def _flush_idle(self) -> None:
        """Flush settlement writes that no commit took along."""
        if self._closing:
            return
        if self._unflushed and not self._in_flight and self._trouble is None:
            self._start_flush()
        self._loop.call_later(IDLE_FLUSH_S, self._flush_idle)

    # -- reading ------------------------------------------------------------------------------

    def _get(self, key: bytes) -> bytes | None:
        overdue = self._overdue.get(key, _GONE) if self._overdue else _GONE
        if overdue is not _GONE:
            return overdue  # type: ignore[return-value]
        if self._trouble is not None or self._db is None:
            raise SpoolUnavailableError(self._trouble or "the spool is closed")
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            if "Corruption" in str(error):
                raise SpoolEntryDamagedError(str(error)) from error
            raise SpoolUnavailableError(str(error)) from error
        return value

    def load(self, spool_id: SpoolId) -> StoredEnvelope | None:
        """See ``SpoolStore.load``."""
        raw = self._get(b"m" + spool_id)
        if raw is None:
            return None
        try:
            return decode_envelope(raw)
        except ValueError as error:
            raise SpoolEntryDamagedError(str(error)) from error

    def load_body(self, body_id: SpoolId) -> bytes:
        """See ``SpoolStore.load_body``."""
        body = self._get(b"b" + body_id)
        if body is None:
            raise SpoolEntryDamagedError("the body is missing")
        return body

    def enumerate(self) -> Iterator[StoredMessage | DamagedEntry]:
        """See ``SpoolStore.enumerate``. The snapshot is taken now, not at the first step."""
        assert self._db is not None
        iterator = self._db.iter()
        iterator.seek(b"m")
        return self._walk(iterator)

    def _walk(self, iterator: Any) -> Iterator[StoredMessage | DamagedEntry]:
        last = b"m"
        while True:
            while iterator.valid():
                key = bytes(iterator.key())
                if not key.startswith(b"m"):
                    return
                last = key
                try:
                    yield StoredMessage(SpoolId(key[1:]), decode_envelope(iterator.value()))
                except ValueError as error:
                    yield DamagedEntry(key[1:], str(error))
                iterator.next()
            try:
                iterator.status()
            except Exception as error:  # rocksdict raises nothing more specific  # noqa: BLE001 - supervisor boundary
                yield DamagedEntry(b"", f"unreadable after {last.hex()}: {error}")
                # A damaged block hides its keys: go on behind it, in steps of the clock part.
                following = _successor(last)
                if following is None:
                    return
                last = following
                iterator.seek(last)
                continue
            return

    def quarantine(self, spool_id: bytes) -> None:
        """See ``SpoolStore.quarantine``."""
        try:
            raw = self._get(b"m" + spool_id)
        except (SpoolEntryDamagedError, SpoolUnavailableError):
            return
        if raw is not None:
            self._write({b"q" + spool_id: raw, b"m" + spool_id: None})

    def trouble(self) -> str | None:
        """See ``SpoolStore.trouble``."""
        return self._trouble

    # -- failure ------------------------------------------------------------------------------

    def _fail(self, error: Exception, commits: list[_Commit]) -> None:
        """Refuse what was under way, and have the store reopened."""
        self.background_errors += 1
        for commit in commits:
            self._overdue.update((key, None) for key, _ in commit.operations)
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
        _refuse([*commits, *self._waiting], "the spool cannot be written")
        self._waiting = []

    def _remember_refused(self) -> None:
        """Note on disk, as well as it can be, what must not come back after a crash."""
        try:
            with (self.path / "refused").open("ab") as file:
                for commit in self._flushing:
                    for key, _ in commit.operations:
                        file.write(len(key).to_bytes(1, "big") + key)
                file.flush()
        except OSError as error:
            log.error("cannot note refused messages: %s", error.strerror)

    def _forget_refused(self) -> None:
        """Delete from the store what was refused before it was opened."""
        note = self.path / "refused"
        assert self._db is not None
        try:
            raw = note.read_bytes()
        except FileNotFoundError:
            return
        batch = WriteBatch(raw_mode=True)
        position = 0
        while position < len(raw):
            length = raw[position]
            batch.delete(raw[position + 1 : position + 1 + length])
            position += 1 + length
        self._db.write(batch)
        self._db.flush_wal(True)
        note.unlink()

    def _reopen(self) -> None:
        """Run in the flush thread: close and open the store until a probe can be flushed."""
        pause_s = REOPEN_FIRST_S
        wait = threading.Event()
        while not self._closing:
            try:
                database, self._db = self._db, None
                if database is not None:
                    database.close()
                    del database
                opened = self._open_database()
                self._db = opened
                self._forget_refused()
                batch = WriteBatch(raw_mode=True)
                for key, value in list(self._overdue.items()):
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
                batch.put(_PROBE_KEY, b"")
                opened.write(batch)
                opened.flush_wal(True)
            except Exception as error:  # noqa: BLE001 - supervisor boundary: tried again, said aloud
                log.error("the spool still cannot be written: %s", error)
                self._trouble = f"the spool cannot be written: {error}"
                wait.wait(pause_s)
                pause_s = min(pause_s * 2, REOPEN_MAX_S)
                continue
            self._loop.call_soon_threadsafe(self._reopened)
            return

    def _reopened(self) -> None:
        # What was written meanwhile in memory is written again: the keys make it idempotent.
        writes, self._overdue = self._overdue, {}
        self._trouble = None
        self._references.clear()
        log.warning("the spool can be written again")
        if writes:
            self._write(writes)
        self.on_change(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _refuse(commits: list[_Commit], reason: str) -> None:
    for commit in commits:
        if not commit.done.done():
            commit.done.set_exception(SpoolUnavailableError(reason))


def _is_stall(error: Exception) -> bool:
    text = str(error)
    return "Incomplete" in text or "incomplete" in text


def _successor(key: bytes) -> bytes | None:
    """Return a key a little behind this one: the next 65 seconds of ids."""
    number = int.from_bytes(key[1:7], "big") + 0x1_0000
    if number >= 1 << 48:
        return None
    return b"m" + number.to_bytes(6, "big")
