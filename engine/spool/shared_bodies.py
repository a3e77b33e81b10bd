"""How many envelopes refer to a body that several share; the last of them frees it.

Place in flow: asked by ``engine.spool.disk_store`` at each commit and removal.

Invariants:
    * Each reference is a key in the same batch as its envelope; the numbers in memory only save
      counting the keys. They are never guessed: a body whose references cannot be counted is kept,
      until the store is back, or for good where they are damaged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from rocksdict import Rdict

from engine.spool.database import Writes

log = logging.getLogger("cirrus.spool")


class SharedBodies:
    """Numbers of references, known or to be counted.

    Attributes:
        uncounted: Bodies released while nothing could be counted; looked at when the store is back.
    """

    def __init__(self) -> None:
        self._references: dict[bytes, int] = {}
        self.uncounted: set[bytes] = set()

    def add(self, body_id: bytes) -> None:
        """Note one more stored reference."""
        self._references[body_id] = self._references.get(body_id, 0) + 1

    def release(
        self,
        body_id: bytes,
        spool_id: bytes,
        database: Rdict | None,
        overdue: Mapping[bytes, bytes | None],
    ) -> Writes:
        """Return the writes that take a reference away, and the body if it was the last.

        Args:
            body_id: The body.
            spool_id: The message that refers to it no more.
            database: Where the references are; None when it cannot be read.
            overdue: Writes that the database has not taken yet.
        """
        writes: Writes = {b"r" + body_id + spool_id: None}
        count = self._references.get(body_id)
        if count is None:
            if database is None:
                self.uncounted.add(body_id)
                return writes
            count = count_references(database, body_id, overdue)
            if count is None:
                return writes
        if count <= 1:
            self._references.pop(body_id, None)
            writes[b"b" + body_id] = None
        else:
            self._references[body_id] = count - 1
        return writes


def count_references(
    database: Rdict, body_id: bytes, pending: Mapping[bytes, bytes | None]
) -> int | None:
    """Return how many stored envelopes refer to a shared body, or None if that is unreadable.

    Args:
        database: Where they are stored.
        body_id: The body.
        pending: Writes not yet stored; a reference deleted here does not count.
    """
    prefix = b"r" + body_id
    count = 0
    iterator = database.iter()
    iterator.seek(prefix)
    while iterator.valid():
        key = bytes(iterator.key())
        if not key.startswith(prefix):
            break
        count += pending.get(key, b"") is not None
        iterator.next()
    else:
        # At the end of all keys, or of those that can be read.
        try:
            iterator.status()
        except Exception as error:  # noqa: BLE001 - record sink boundary: rocksdict's only class
            log.error("the references to the body %s cannot be read: %s", body_id.hex(), error)
            return None
    return count


def free_unreferenced(
    database: Rdict, bodies: Iterable[bytes], pending: Mapping[bytes, bytes | None]
) -> Writes:
    """Return the deletions of those shared bodies that no envelope refers to any more."""
    return {b"b" + body: None for body in bodies if count_references(database, body, pending) == 0}
