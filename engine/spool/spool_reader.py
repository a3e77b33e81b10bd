"""The spool of a node that is stopped, for reading: what operators' tools see of it.

Place in flow: ``engine.spool_tool`` opens one; ``engine.spool.spool_check`` looks for damage by it.

Invariants:
    * Nothing is written into the folder, but for the name of the process that holds the lock.
    * While it is open no node can take the spool, and while a node has it it is not opened.
    * What the node would delete before it uses the spool (refused messages) is not shown.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rocksdict import Rdict

from engine.model.errors import ConfigurationError, SpoolEntryDamagedError, SpoolLockedError
from engine.model.message import StoredEnvelope, decode_envelope
from engine.spool.database import open_read_only
from engine.spool.disk_walk import walk
from engine.spool.refused_note import parse_keys
from engine.spool.spool_folder import FORMAT_KEY, FORMAT_VERSION
from engine.spool.spool_store import DamagedEntry, StoredMessage


class SpoolReader:
    """A spool that nobody uses. A context manager: leaving it gives the folder back.

    Args:
        path: The folder, as ``define_spool`` names it.

    Raises:
        SpoolLockedError: A node runs on it.
        ConfigurationError: It is no spool, cannot be read, or is of another format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not (path / "db").is_dir():
            raise ConfigurationError(f"{path} is no spool: there is no folder db in it")
        self._close = contextlib.ExitStack()
        with self._close as undone:
            undone.callback(os.close, _take_lock(path))
            try:
                self._refused = frozenset(_refused_keys(path / "refused"))
                self._database: Rdict = open_read_only(path / "db")
            except Exception as error:  # rocksdict raises nothing more specific
                raise ConfigurationError(f"the spool {path} cannot be read: {error}") from error
            undone.callback(self._database.close)
            self._check_format()
            self._close = undone.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._close.close()

    def _check_format(self) -> None:
        try:
            version = self._database.get(FORMAT_KEY)
        except Exception:  # noqa: BLE001 - admin command boundary: damage is for the check to tell
            return
        if version is not None and version != FORMAT_VERSION:
            found = version.decode("ascii", "backslashreplace")
            raise ConfigurationError(
                f"the spool {self.path} has format {found}; this version of Cirrus reads "
                f"{FORMAT_VERSION.decode()}"
            )

    def messages(self) -> Iterator[StoredMessage | DamagedEntry]:
        """Return the stored messages, oldest first, and what is damaged between them."""
        for entry in walk(self._database.iter(), self._database.iter):
            if b"m" + entry.spool_id not in self._refused:
                yield entry

    def load(self, spool_id: bytes) -> StoredEnvelope | None:
        """Return the envelope of a message, None where there is none.

        Raises:
            SpoolEntryDamagedError: It cannot be read.
        """
        raw = self._get(b"m" + spool_id)
        if raw is None:
            return None
        try:
            return decode_envelope(raw)
        except ValueError as error:
            raise SpoolEntryDamagedError(str(error)) from error

    def load_body(self, body_id: bytes) -> bytes:
        """Return a body.

        Raises:
            SpoolEntryDamagedError: It is missing, or cannot be read.
        """
        body = self._get(b"b" + body_id)
        if body is None:
            raise SpoolEntryDamagedError("the body is missing")
        return body

    def _get(self, key: bytes) -> bytes | None:
        if key in self._refused:
            return None
        try:
            value: bytes | None = self._database.get(key)
        except Exception as error:
            raise SpoolEntryDamagedError(str(error)) from error
        return value

    def entries(self, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return keys and values from a key on, in order.

        Raises:
            SpoolEntryDamagedError: What follows cannot be read.
        """
        iterator: Any = self._database.iter()
        iterator.seek(start)
        while iterator.valid():
            key = bytes(iterator.key())
            if key not in self._refused:
                yield key, bytes(iterator.value())
            iterator.next()
        try:
            iterator.status()
        except Exception as error:
            raise SpoolEntryDamagedError(str(error)) from error


def _take_lock(path: Path) -> int:
    """Return a descriptor that holds the lock of a spool.

    Raises:
        SpoolLockedError: A node runs on it.
        ConfigurationError: It cannot be read.
    """
    owner = path / "owner"
    try:
        fd, is_ours = _open_owner(owner)
    except OSError as error:
        raise ConfigurationError(f"{owner}: {error.strerror}") from error
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if is_ours else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        who = os.read(fd, 32).decode("ascii", "replace").strip()
        os.close(fd)
        raise SpoolLockedError(
            f"a node is running on the spool {path} (process {who or 'unknown'}): stop it first, "
            "or ask it: cirrus messages, cirrus inspect-message"
        ) from None
    if is_ours:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _open_owner(owner: Path) -> tuple[int, bool]:
    """Return a descriptor for the lock, and whether its file can be written.

    A copy of a spool, or one on a disk that is mounted for reading, may have none.
    """
    try:
        return os.open(owner, os.O_RDWR | os.O_CLOEXEC), True
    except FileNotFoundError:
        return os.open(owner.parent, os.O_RDONLY | os.O_CLOEXEC), False
    except OSError:
        return os.open(owner, os.O_RDONLY | os.O_CLOEXEC), False


def _refused_keys(note: Path) -> list[bytes]:
    try:
        return parse_keys(note.read_bytes())
    except FileNotFoundError:
        return []
