"""Whether a spool is sound: each envelope decodes, each body is there, and nothing is left over.

Place in flow: ``cirrus spool verify`` runs it over ``engine.spool.spool_reader``.

Invariants:
    * Everything is read once, bodies too: what RocksDB finds damaged is found.
    * Nothing is called a left-over while it cannot be known what belongs to it.

Memory: some 300 octets for each message.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

import msgspec

from engine.model.errors import SpoolEntryDamagedError
from engine.model.message import FLAG_SHARED_BODY, StoredEnvelope, decode_envelope
from engine.spool.spool_folder import FORMAT_KEY, PROBE_KEY
from engine.spool.spool_reader import SpoolReader
from engine.spool.spool_store import DamagedEntry

_ID_BYTES = 16
#: Lengths of the keys of each kind.
_KEY_LENGTHS = {b"b": 17, b"m": 17, b"q": 17, b"r": 33}


class FindingKind(enum.StrEnum):
    """What is wrong."""

    #: An envelope cannot be read.
    DAMAGED_ENVELOPE = "damaged-envelope"
    #: A damaged envelope was set aside by a node.
    SET_ASIDE = "set-aside"
    #: An envelope names nobody to deliver to.
    NO_RECIPIENT = "no-recipient"
    #: The body of a message is not there.
    MISSING_BODY = "missing-body"
    #: A body cannot be read.
    DAMAGED_BODY = "damaged-body"
    #: A body is not as long as its envelope says.
    WRONG_SIZE = "wrong-size"
    #: A body belongs to no message.
    ORPHAN_BODY = "orphan-body"
    #: A shared body does not know of a message that uses it.
    MISSING_REFERENCE = "missing-reference"
    #: A shared body is kept for a message that is not there.
    STALE_REFERENCE = "stale-reference"
    #: A reference, or what follows one, cannot be read.
    DAMAGED_REFERENCE = "damaged-reference"
    #: A key is none that the spool writes.
    STRANGE_KEY = "strange-key"


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong.

    Attributes:
        kind: What.
        id: The message or body, in hexadecimal digits; empty where that is unknown.
        text: The rest of it, for people.
    """

    kind: FindingKind
    id: str
    text: str


class _Size(NamedTuple):
    """Octets of a message, and of what stands in front of its body.

    They count as one by what nodes write; an envelope of an older one may not have counted the
    latter.
    """

    whole: int
    prefix: int

    @property
    def octets(self) -> int:
        """Return the octets that its body should have."""
        return self.whole - self.prefix


class SpoolCheck:
    """One look over a spool.

    Args:
        reader: The spool.
        progress: Told now and then how many messages and bodies were looked at.

    Attributes:
        messages, bodies: Those that were looked at.
        octets: Of the bodies.
    """

    def __init__(self, reader: SpoolReader, progress: Callable[[SpoolCheck], None]) -> None:
        self.messages = self.bodies = self.octets = 0
        self._reader = reader
        self._progress = progress
        #: Octets that each body should have.
        self._expected: dict[bytes, _Size] = {}
        #: Message by body, where that is not its id.
        self._user_of: dict[bytes, bytes] = {}
        #: Those that should be there: the body's id and the message's.
        self._references: set[bytes] = set()
        #: Messages that cannot be asked which body they have.
        self._mute: set[bytes] = set()
        #: Whether there may be messages that nobody knows of.
        self._is_blind = False

    def run(self) -> Iterator[Finding]:
        """Return what is wrong, as it is found."""
        yield from self._check_set_aside()
        yield from self._check_envelopes()
        yield from self._check_bodies()
        yield from self._check_references()
        yield from self._check_keys()

    def _check_set_aside(self) -> Iterator[Finding]:
        try:
            for entry in self._of_kind(b"q"):
                if isinstance(entry, Finding):
                    yield entry
                    continue
                key, value = entry
                self._mute.add(key[1:])
                try:
                    self._mute.add(decode_envelope(value).body_id)
                    text = "its envelope was set aside, and can be read"
                except ValueError as error:
                    text = f"its envelope was set aside: {error}"
                yield Finding(FindingKind.SET_ASIDE, key[1:].hex(), text)
        except SpoolEntryDamagedError as error:
            self._is_blind = True
            yield Finding(FindingKind.SET_ASIDE, "", f"what was set aside cannot be read: {error}")

    def _check_envelopes(self) -> Iterator[Finding]:
        for entry in self._reader.messages():
            self.messages += 1
            self._progress(self)
            if isinstance(entry, DamagedEntry):
                self._mute.add(entry.spool_id)
                self._is_blind = self._is_blind or not entry.spool_id
                yield Finding(FindingKind.DAMAGED_ENVELOPE, entry.spool_id.hex(), entry.reason)
            else:
                yield from self._check_envelope(entry.spool_id, entry.envelope)

    def _check_envelope(self, spool_id: bytes, envelope: StoredEnvelope) -> Iterator[Finding]:
        if not envelope.recipients:
            yield Finding(FindingKind.NO_RECIPIENT, spool_id.hex(), "it is for nobody")
        body_id, size = envelope.body_id, _Size(envelope.size, len(envelope.prefix))
        if body_id != spool_id:
            self._user_of.setdefault(body_id, spool_id)
        if envelope.flags & FLAG_SHARED_BODY:
            self._references.add(body_id + spool_id)
        known = self._expected.setdefault(body_id, size)
        if known.octets != size.octets and known.whole != size.whole:
            text = f"{size.octets} octets of content by its envelope, {known.octets} by another"
            yield Finding(FindingKind.WRONG_SIZE, spool_id.hex(), _of_body(body_id, text))

    def _check_bodies(self) -> Iterator[Finding]:
        damage = None
        try:
            for entry in self._of_kind(b"b"):
                if isinstance(entry, Finding):
                    yield entry
                else:
                    yield from self._check_body(entry[0][1:], entry[1])
        except SpoolEntryDamagedError as error:
            damage = error
        # What is left was not met: it is missing, or hidden behind damage.
        for body_id in list(self._expected):
            try:
                yield from self._check_body(body_id, self._reader.load_body(body_id))
            except SpoolEntryDamagedError as error:
                is_missing = str(error) == "the body is missing"
                kind = FindingKind.MISSING_BODY if is_missing else FindingKind.DAMAGED_BODY
                yield Finding(kind, self._message_of(body_id), _of_body(body_id, str(error)))
        if damage is not None:
            text = f"bodies that belong to no message may not have been found: {damage}"
            yield Finding(FindingKind.DAMAGED_BODY, "", text)

    def _check_body(self, body_id: bytes, body: bytes) -> Iterator[Finding]:
        self.bodies += 1
        self.octets += len(body)
        self._progress(self)
        size = self._expected.pop(body_id, None)
        if size is None:
            if not self._is_blind and body_id not in self._mute:
                text = f"{len(body)} octets belong to no message"
                yield Finding(FindingKind.ORPHAN_BODY, body_id.hex(), text)
        elif len(body) not in (size.octets, size.whole):
            text = f"{size.octets} octets of content by its envelope, {len(body)} are stored"
            yield Finding(FindingKind.WRONG_SIZE, self._message_of(body_id), text)

    def _message_of(self, body_id: bytes) -> str:
        return self._user_of.get(body_id, body_id).hex()

    def _check_references(self) -> Iterator[Finding]:
        try:
            for entry in self._of_kind(b"r"):
                if isinstance(entry, Finding):
                    yield entry
                    continue
                key = entry[0]
                body_id, spool_id = key[1 : 1 + _ID_BYTES], key[1 + _ID_BYTES :]
                if key[1:] in self._references:
                    self._references.remove(key[1:])
                elif not self._is_blind and spool_id not in self._mute:
                    text = _of_body(body_id, "it is kept for this message, which does not use it")
                    yield Finding(FindingKind.STALE_REFERENCE, spool_id.hex(), text)
        except SpoolEntryDamagedError as error:
            yield Finding(FindingKind.DAMAGED_REFERENCE, "", str(error))
            return
        for reference in sorted(self._references):
            body_id, spool_id = reference[:_ID_BYTES], reference[_ID_BYTES:]
            text = _of_body(body_id, "others may take it away, as it knows nothing of this message")
            yield Finding(FindingKind.MISSING_REFERENCE, spool_id.hex(), text)

    def _check_keys(self) -> Iterator[Finding]:
        """Tell of keys that are of no kind, or not as long as those of theirs."""
        start: bytes | None = b""
        try:
            while start is not None:
                kind = yield from self._check_keys_from(start)
                start = None if kind is None else bytes((kind[0] + 1,))
        except SpoolEntryDamagedError:
            # It was told of the kind that it is in.
            return

    def _check_keys_from(self, start: bytes) -> Generator[Finding, None, bytes | None]:
        """Return the kind that comes next, None after the last."""
        for key, _ in self._reader.entries(start):
            if key[:1] in _KEY_LENGTHS:
                return key[:1]
            if key not in (FORMAT_KEY, PROBE_KEY):
                yield _strange(key)
        return None

    def _of_kind(self, kind: bytes) -> Iterator[tuple[bytes, bytes] | Finding]:
        length = _KEY_LENGTHS[kind]
        for key, value in self._reader.entries(kind):
            if not key.startswith(kind):
                return
            yield (key, value) if len(key) == length else _strange(key)


def _strange(key: bytes) -> Finding:
    return Finding(FindingKind.STRANGE_KEY, key.hex(), "the spool writes no such key")


def _of_body(body_id: bytes, text: str) -> str:
    return f"body {body_id.hex()}: {text}"
