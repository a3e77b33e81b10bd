"""The note of refused messages: what RocksDB may bring back, and must not.

Place in flow: ``engine.spool.disk_store`` adds the keys of a batch whose flush failed, and deletes
them from the reopened store before it is used, also when the process died in between.

Invariants:
    * The place is reserved while the disk has room, so that a full disk can still take the note.
    * A note that was cut off names no key that it was not given: what is incomplete is ignored.

Failure: where the note cannot be written the process still knows the keys; only its death before
the store is reopened would then bring the messages back. That is said aloud.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger("cirrus.spool")

#: Octets reserved: the keys of some 1,500 messages, more than a flush covers.
RESERVED_BYTES = 64 << 10


class RefusedNote:
    """A small file beside the database: for each key one octet of length and the key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._end = 0

    def open(self) -> None:
        """Open the file and reserve its place.

        Raises:
            OSError: It cannot be had.
        """
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._end = sum(len(key) + 1 for key in self.keys())
        # A key that was cut off must not be completed by what the reservation adds.
        os.pwrite(self._fd, b"\0", self._end)
        # Where a filesystem cannot reserve, the note takes its chance like any other write.
        with contextlib.suppress(OSError):
            os.posix_fallocate(self._fd, 0, RESERVED_BYTES)

    def keys(self) -> list[bytes]:
        """Return the keys noted.

        Raises:
            OSError: The note cannot be read.
        """
        return parse_keys(os.pread(self._fd, os.fstat(self._fd).st_size, 0))

    def add(self, keys: Iterable[bytes]) -> None:
        """Note keys as durably as the disk allows; never raises."""
        noted = b"".join(len(key).to_bytes(1, "big") + key for key in keys)
        if not noted:
            return
        try:
            # The zero ends the note: what an older one left behind it must not be read.
            os.pwrite(self._fd, noted + b"\0", self._end)
            self._end += len(noted)
            os.fdatasync(self._fd)
        except OSError as error:
            log.error(
                "the note of refused messages is not on disk (%s): should this process die before "
                "the spool can be written again, messages that were refused may be delivered",
                error.strerror,
            )

    def clear(self) -> None:
        """Forget the keys.

        Raises:
            OSError: The note cannot be written; it is still there.
        """
        if self._end:
            os.pwrite(self._fd, b"\0", 0)
            self._end = 0

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def parse_keys(raw: bytes) -> list[bytes]:
    """Return the keys that a note names; what is incomplete is ignored."""
    keys: list[bytes] = []
    position = 0
    while position < len(raw) and (length := raw[position]):
        key = raw[position + 1 : position + 1 + length]
        if len(key) < length:
            break
        keys.append(key)
        position += 1 + length
    return keys
