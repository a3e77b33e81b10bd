"""A commit that waits for its flush: what it writes, and how several are put into batches.

Place in flow: made and ended by ``engine.spool.disk_store`` on the loop; batches are made in its
flush thread.

Invariants:
    * A commit is in one batch: all of its messages are stored, or none.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from rocksdict import WriteBatch

from engine.model.errors import SpoolUnavailableError
from engine.model.message import FLAG_SHARED_BODY, Message, encode_envelope
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


def operations_of(
    messages: Sequence[Message], wall_of: Callable[[float], float]
) -> list[tuple[bytes, bytes]]:
    """Return what storing messages writes; those with equal ``body_id`` are marked as sharing it.

    Args:
        messages: The messages, their bodies in memory.
        wall_of: Turns due times into wall time.
    """
    uses = Counter(message.body_id for message in messages) if len(messages) > 1 else {}
    operations: list[tuple[bytes, bytes]] = []
    bodies: set[bytes] = set()
    for message in messages:
        if uses.get(message.body_id, 0) > 1:
            message.flags |= FLAG_SHARED_BODY
        if message.body_id not in bodies:
            bodies.add(message.body_id)
            assert message.data is not None
            operations.append((b"b" + message.body_id, message.data))
        if message.flags & FLAG_SHARED_BODY:
            operations.append((b"r" + message.body_id + message.spool_id, b""))
        envelope = encode_envelope(message, wall_of(message.due_mono))
        operations.append((b"m" + message.spool_id, envelope))
    return operations


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
