"""A spool in memory, for tests; it passes the contract suite of the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.message import Message, SpoolId, StoredEnvelope, decode_envelope, encode_envelope
from engine.spool.spool_store import DamagedEntry, StoredMessage


class MemoryStore:
    """Keeps envelopes and bodies in two dicts."""

    def __init__(self, wall_of: Callable[[float], float]) -> None:
        self._wall_of = wall_of
        self.envelopes: dict[bytes, bytes] = {}
        self.bodies: dict[bytes, bytes] = {}
        self.refusing: str | None = None

    async def commit(self, messages: Sequence[Message], *, relaxed: bool = False) -> None:
        """See ``SpoolStore.commit``."""
        if self.refusing:
            raise SpoolUnavailableError(self.refusing)
        for message in messages:
            assert message.data is not None
            self.bodies[message.body_id] = message.data
            self.update(message)

    def update(self, message: Message) -> None:
        """See ``SpoolStore.update``."""
        due_at = self._wall_of(message.due_mono)
        self.envelopes[message.spool_id] = encode_envelope(message, due_at)

    def replace_body(self, message: Message) -> None:
        """See ``SpoolStore.replace_body``."""
        assert message.data is not None
        self.bodies[message.body_id] = message.data
        self.update(message)

    def remove(self, message: Message) -> None:
        """See ``SpoolStore.remove``."""
        self.envelopes.pop(message.spool_id, None)
        used = (decode_envelope(raw).body_id for raw in self.envelopes.values())
        if message.body_id not in set(used):
            self.bodies.pop(message.body_id, None)

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
        for key, raw in sorted(self.envelopes.items()):
            try:
                yield StoredMessage(SpoolId(key), decode_envelope(raw))
            except ValueError as error:
                yield DamagedEntry(key, str(error))

    def quarantine(self, spool_id: bytes) -> None:
        """See ``SpoolStore.quarantine``."""
        self.envelopes.pop(spool_id, None)

    def trouble(self) -> str | None:
        """See ``SpoolStore.trouble``."""
        return self.refusing

    async def close(self) -> None:
        """See ``SpoolStore.close``."""
