"""The folder of a spool: owned by one process, of a known format, opened without what was refused.

Place in flow: under ``engine.spool.disk_store``, which asks for the database at start and after
each failure.

In it: ``db`` the database, ``owner`` the lock and who holds it, ``refused`` the note of refused
messages; ``engine.app`` keeps the node's id there too.

Invariants:
    * Whoever has the database has the lock.
    * A database is handed out only after what was refused was deleted from it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from rocksdict import Rdict

from engine.model.errors import ConfigurationError, SpoolLockedError
from engine.spool.database import batch_of, is_corruption, open_database
from engine.spool.mending import replay
from engine.spool.refused_note import RefusedNote
from engine.spool.shared_bodies import free_unreferenced

log = logging.getLogger("cirrus.spool")

FORMAT_KEY = b"format"
FORMAT_VERSION = b"1"
#: Written and flushed to prove that a reopened database works.
PROBE_KEY = b"probe"


class SpoolFolder:
    """Lock, format and note around a database.

    Attributes:
        note: Keys that must not come back.
    """

    def __init__(self, path: Path, opener: Callable[[Path], Rdict] = open_database) -> None:
        self.path = path
        self._opener = opener
        self.note = RefusedNote(path / "refused")
        self._lock_fd = -1

    def open(self) -> Rdict:
        """Take the folder; return its database.

        Raises:
            SpoolLockedError: Another process owns it.
            ConfigurationError: The folder cannot be written, or is of another format.
        """
        try:
            self._take()
        except OSError as error:
            self.release()
            raise ConfigurationError(
                f"the spool folder {self.path} cannot be used: {error.strerror}"
            ) from error
        try:
            return self._checked()
        except ConfigurationError:
            self.release()
            raise
        except Exception as error:  # rocksdict raises nothing more specific
            self.release()
            raise ConfigurationError(f"the spool {self.path} cannot be opened: {error}") from error

    def _checked(self) -> Rdict:
        database = self._opener(self.path / "db")
        try:
            self._settle_format(database)
            self._forget_refused(database)
            database.flush_wal(True)
        except Exception:
            _close(database)
            raise
        return database

    def _take(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        probe = self.path / "write-probe"
        probe.write_bytes(b"x")
        probe.unlink()
        self._lock_fd = os.open(self.path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._lock_fd, 32).decode("ascii", "replace").strip()
            self.release()
            raise SpoolLockedError(
                f"the spool {self.path} is in use by process {owner or 'unknown'}"
            ) from None
        os.ftruncate(self._lock_fd, 0)
        os.pwrite(self._lock_fd, f"{os.getpid()}\n".encode(), 0)
        self.note.open()

    def _settle_format(self, database: Rdict) -> None:
        try:
            version = database.get(FORMAT_KEY)
        except Exception as error:
            if not is_corruption(error):
                raise
            # One damaged block must not keep all other mail from going. There is one format yet.
            log.error("the format of the spool %s cannot be read: %s", self.path, error)
            version = None
        if version is None:
            database.put(FORMAT_KEY, FORMAT_VERSION)
        elif version != FORMAT_VERSION:
            found = version.decode("ascii", "backslashreplace")
            known = FORMAT_VERSION.decode()
            raise ConfigurationError(
                f"the spool {self.path} has format {found}; this version of Cirrus reads {known}"
            )

    def _forget_refused(self, database: Rdict) -> None:
        refused = self.note.keys()
        if refused:
            database.write(batch_of(dict.fromkeys(refused, None)))
            database.flush_wal(True)
        self.note.clear()

    def open_again(
        self, overdue: Mapping[bytes, bytes | None], uncounted: Iterable[bytes] = ()
    ) -> Rdict:
        """Return the reopened database after what is overdue was written and flushed.

        Args:
            overdue: Writes that the failed database did not take.
            uncounted: Shared bodies that may have lost their last reference meanwhile.

        Raises:
            Exception: It cannot be opened or written.
        """
        replay(self.path / "db")
        database = self._opener(self.path / "db")
        try:
            self._forget_refused(database)
            freed = free_unreferenced(database, uncounted, overdue)
            database.write(batch_of({**freed, **overdue, PROBE_KEY: b""}))
            database.flush_wal(True)
        except Exception:
            _close(database)
            raise
        return database

    def release(self) -> None:
        """Give the folder back."""
        self.note.close()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def _close(database: Rdict) -> None:
    # By hand and not by dropping it, because that lets go of the interpreter lock.
    with contextlib.suppress(Exception):
        database.close()
