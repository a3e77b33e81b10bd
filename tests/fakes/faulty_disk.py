"""A real database on a disk that fails on demand, and messages to store in it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from rocksdict import Rdict

from engine.model.message import Message, SpoolId, new_spool_id
from engine.spool.database import open_database

#: What RocksDB says of a full memtable and of a failed sync.
STALL = "Result incomplete: Write stall"
EIO = "IO error: While fdatasync: db/000004.log: Input/output error"
#: A flush that is held waits no longer than this for its release, seconds.
HELD_MAX_S = 20.0


class FaultyDisk:
    """What fails, from now on.

    Attributes:
        failing_flushes: How many of the next flushes fail.
        failing_writes: How many of the next writes fail.
        stalled_writes: How many of the next writes are turned away because of a stall.
        is_away: Whether the database cannot be opened.
        entered: Set while a flush waits for the gate.
        opened: How often a database was opened.
    """

    def __init__(self) -> None:
        self.failing_flushes = 0
        self.failing_writes = 0
        self.stalled_writes = 0
        self.is_away = False
        self.opened = 0
        self.entered = threading.Event()
        self._gate = threading.Event()
        self._gate.set()

    def hold(self) -> None:
        """Make flushes wait."""
        self.entered.clear()
        self._gate.clear()

    def release(self) -> None:
        """Let flushes go on."""
        self._gate.set()

    def open(self, folder: Path) -> Any:
        """Open a database on this disk; an ``opener`` of ``DiskStore``."""
        if self.is_away:
            raise Exception(EIO)  # noqa: TRY002 - rocksdict's only class
        self.opened += 1
        return _FaultyDatabase(self, open_database(folder))

    def before_write(self) -> None:
        if self.stalled_writes:
            self.stalled_writes -= 1
            raise Exception(STALL)  # noqa: TRY002
        if self.failing_writes:
            self.failing_writes -= 1
            raise Exception(EIO)  # noqa: TRY002

    def before_flush(self) -> None:
        self.entered.set()
        assert self._gate.wait(HELD_MAX_S)
        if self.failing_flushes:
            self.failing_flushes -= 1
            raise Exception(EIO)  # noqa: TRY002


class _FaultyDatabase:
    def __init__(self, disk: FaultyDisk, database: Rdict) -> None:
        self._disk = disk
        self._database = database

    def write(self, batch: Any, options: Any = None) -> None:
        self._disk.before_write()
        if options is None:
            self._database.write(batch)
        else:
            self._database.write(batch, options)

    def flush_wal(self, sync: bool) -> None:
        self._disk.before_flush()
        self._database.flush_wal(sync)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def make_message(body: bytes | None = b"Subject: s\r\n\r\nbody\r\n", **changes: Any) -> Message:
    """Return a message that a spool takes."""
    values: dict[str, Any] = {
        "data": body,
        "size": len(body or b""),
        "created_at": 1_700_000_000.0,
        "due_mono": 0.0,
        **changes,
    }
    sender = values.pop("sender", "a@x.test")
    recipients = values.pop("recipients", ["b@y.test"])
    return Message(new_spool_id(), sender, recipients, **values)


def make_shared(count: int, body: bytes = b"Subject: s\r\n\r\nshared\r\n") -> list[Message]:
    """Return messages that share one body."""
    body_id = SpoolId(new_spool_id())
    return [make_message(body, body_id=body_id) for _ in range(count)]
