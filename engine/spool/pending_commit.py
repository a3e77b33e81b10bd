"""A commit that waits for its flush, and how waiting commits are put into batches.

Place in flow: made and ended by ``engine.spool.disk_store`` on the loop; batches are made in its
flush thread.

Invariants:
    * A commit is in one batch: all of its messages are stored, or none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rocksdict import WriteBatch

from engine.model.errors import SpoolUnavailableError
from engine.spool.database import Writes

#: Octets after which a batch ends, so that a write holds the interpreter lock for milliseconds.
WRITE_BYTES = 1 << 20


class PendingCommit(NamedTuple):
    """One caller's messages and what wakes it."""

    operations: list[tuple[bytes, bytes]]
    done: asyncio.Future[None]

    @property
    def undone(self) -> Writes:
        """Return the writes that take it back."""
        return dict.fromkeys((key for key, _ in self.operations), None)

    def resolve(self) -> None:
        """Wake the caller: it is stored."""
        if not self.done.done():
            self.done.set_result(None)

    def refuse(self, reason: str) -> None:
        """Wake the caller: it is not stored."""
        if not self.done.done():
            self.done.set_exception(SpoolUnavailableError(reason))


def batches_of(commits: Iterable[PendingCommit]) -> Iterator[tuple[WriteBatch, int]]:
    """Return batches of whole commits, and how many each holds."""
    batch, count, octets = WriteBatch(raw_mode=True), 0, 0
    for commit in commits:
        for key, value in commit.operations:
            batch.put(key, value)
            octets += len(value)
        count += 1
        if octets >= WRITE_BYTES:
            yield batch, count
            batch, count, octets = WriteBatch(raw_mode=True), 0, 0
    if count:
        yield batch, count
