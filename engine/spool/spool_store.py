"""What a spool promises: the interface, and the contract that its tests hold it to.

Place in flow: ``engine.receive.admission`` commits, ``engine.schedule.settlement`` updates and
removes, ``engine.schedule`` and the dispatchers load.

Invariants (tests/contracts/test_spool_store.py runs them against each implementation):
    * After ``commit`` returned, the messages survive a crash of the process, and of the machine
      unless the commit was relaxed.
    * After ``commit`` raised, none of the messages is ever handed out by the spool again, not
      even after it was reopened.
    * Envelope and body of a message appear and vanish together.
    * A body shared by envelopes is freed with the last of them, also across a crash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from engine.model.message import Message, SpoolId, StoredEnvelope


class DamagedEntry(NamedTuple):
    """A stored entry that cannot be read: its id, if the key tells, and why."""

    spool_id: bytes
    reason: str


class StoredMessage(NamedTuple):
    """An intact stored envelope with its id."""

    spool_id: SpoolId
    envelope: StoredEnvelope


class SpoolStore(Protocol):
    """Durable storage of accepted messages."""

    async def commit(self, messages: Sequence[Message], *, relaxed: bool = False) -> None:
        """Make messages durable, all of them or none. Cancelled, it is none of them.

        Args:
            messages: Messages with ``data`` in memory; those with equal ``body_id`` share a body.
            relaxed: Return after an unsynced write: safe against the death of the process; a power
                loss may take what the last second brought.

        Raises:
            SpoolUnavailableError: None of them was taken.
        """

    def update(self, message: Message) -> None:
        """Rewrite a message's envelope, unsynced; never raises: what fails is written later."""

    def replace_body(self, message: Message) -> None:
        """Rewrite a message's envelope together with changed content, unsynced."""

    def remove(self, message: Message) -> None:
        """Remove a message, unsynced; never raises: what fails is removed later."""

    def load(self, spool_id: SpoolId) -> StoredEnvelope | None:
        """Return a stored envelope, or None when there is none.

        Raises:
            SpoolEntryDamagedError: The entry cannot be read.
            SpoolUnavailableError: The spool cannot be read now.
        """

    def load_body(self, body_id: SpoolId) -> bytes:
        """Return a body.

        Raises:
            SpoolEntryDamagedError: The body is missing or cannot be read.
            SpoolUnavailableError: The spool cannot be read now.
        """

    def enumerate(self) -> Iterator[StoredMessage | DamagedEntry]:
        """Return an iterator over what was stored when it was called, oldest first.

        Raises:
            SpoolUnavailableError: The spool cannot be read now.
        """

    def quarantine(self, spool_id: bytes) -> None:
        """Set a damaged entry aside, so that it is reported once and lost never.

        Never raises: what cannot be set aside now is reported again at the next start. Its body
        stays too, for whoever repairs it.
        """

    def trouble(self) -> str | None:
        """Return why no mail can be taken now, or None."""

    async def compact(self) -> None:
        """Give the space of dead mail back; may take long, mail flows meanwhile.

        Raises:
            SpoolUnavailableError: The spool cannot be used now.
        """

    async def close(self) -> None:
        """Make everything durable and release the spool."""
