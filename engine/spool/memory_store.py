"""A spool in memory, for tests; it passes the contract suite of the real one.

Place in flow: as ``engine.spool.disk_store``, in tests that are not about the disk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.message import (
    Message,
    SpoolId,
    StoredEnvelope,
    decode_envelope,
    encode_envelope,
    new_spool_id,
)
from engine.spool.spool_store import DamagedEntry, StoredMessage


class MemoryStore:
    """Keeps envelopes and bodies in dicts.

    Attributes:
        envelopes: Stored envelopes by id.
        bodies: Bodies by id.
        set_aside: Damaged envelopes by id.
        refusing: Why commits are refused, or None.
    """

    def __init__(self, wall_of: Callable[[float], float]) -> None:
        self._wall_of = wall_of
        self.envelopes: dict[bytes, bytes] = {}
        self.bodies: dict[bytes, bytes] = {}
        self.set_aside: dict[bytes, bytes] = {}
        self.refusing: str | None = None
        self._is_closed = False

    async def commit(self, messages: Sequence[Message], *, relaxed: bool = False) -> None:
        """See ``SpoolStore.commit``."""
        if self.refusing:
            raise SpoolUnavailableError(self.refusing)
        if self._is_closed:
            raise SpoolUnavailableError("the spool is closed")
        for message in messages:
            assert message.data is not None
        for message in messages:
            self.bodies[message.body_id] = message.data or b""
            self.update(message)

    def update(self, message: Message) -> None:
        """See ``SpoolStore.update``."""
        due_at = self._wall_of(message.due_mono)
        self.envelopes[message.spool_id] = encode_envelope(message, due_at)

    def replace_body(self, message: Message) -> None:
        """See ``SpoolStore.replace_body``."""
        assert message.data is not None
        if any(user != message.spool_id for user in self._users(message.body_id)):
            # Other envelopes keep the old content: this one gets a body of its own.
            is_taken = message.body_id == message.spool_id
            message.body_id = new_spool_id() if is_taken else message.spool_id
        self.bodies[message.body_id] = message.data
        self.update(message)

    def remove(self, message: Message) -> None:
        """See ``SpoolStore.remove``."""
        self.envelopes.pop(message.spool_id, None)
        if not self._users(message.body_id):
            self.bodies.pop(message.body_id, None)

    def _users(self, body_id: bytes) -> list[bytes]:
        """Return the ids of the intact envelopes that refer to a body."""
        users: list[bytes] = []
        for key, raw in self.envelopes.items():
            with contextlib.suppress(ValueError):
                if decode_envelope(raw).body_id == body_id:
                    users.append(key)
        return users

    def load(self, spool_id: SpoolId) -> StoredEnvelope | None:
        """See ``SpoolStore.load``."""
        raw = self.envelopes.get(spool_id)
        if raw is None:
            return None
        try:
            return decode_envelope(raw)
        except ValueError as error:
            raise SpoolEntryDamagedError(str(error)) from error

    def load_body(self, body_id: SpoolId) -> bytes:
        """See ``SpoolStore.load_body``."""
        try:
            return self.bodies[body_id]
        except KeyError:
            raise SpoolEntryDamagedError("the body is missing") from None

    def enumerate(self) -> Iterator[StoredMessage | DamagedEntry]:
        """See ``SpoolStore.enumerate``."""
        return self._walk(sorted(self.envelopes.items()))

    @staticmethod
    def _walk(entries: list[tuple[bytes, bytes]]) -> Iterator[StoredMessage | DamagedEntry]:
        for key, raw in entries:
            try:
                yield StoredMessage(SpoolId(key), decode_envelope(raw))
            except ValueError as error:
                yield DamagedEntry(key, str(error))

    def quarantine(self, spool_id: bytes) -> None:
        """See ``SpoolStore.quarantine``."""
        raw = self.envelopes.pop(spool_id, None)
        if raw is not None:
            self.set_aside[spool_id] = raw

    def trouble(self) -> str | None:
        """See ``SpoolStore.trouble``."""
        return self.refusing

    async def compact(self) -> None:
        """See ``SpoolStore.compact``."""

    async def close(self) -> None:
        """See ``SpoolStore.close``."""
        self._is_closed = True
