"""A walk over the stored envelopes, around what is damaged.

Place in flow: ``engine.spool.disk_store`` makes the iterator, which shows what was stored at that
instant, and hands it here; ``engine.spool.recovery`` takes the entries.

Invariants:
    * Each intact envelope is handed out once, in the order of ids, whatever is damaged around it.
    * A damaged block hides its keys: it is one entry, whatever it held. The walk ends.

Known limit: of what lies between two damaged blocks, a part no larger than the first may be passed
over as if it were damaged too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.model.errors import SpoolEntryDamagedError
from engine.model.message import SpoolId, StoredEnvelope, decode_envelope
from engine.spool.spool_store import DamagedEntry, StoredMessage

_ID_BYTES = 16
_IDS_END = 1 << (8 * _ID_BYTES)


def walk(iterator: Any, make_iterator: Callable[[], Any]) -> Iterator[StoredMessage | DamagedEntry]:
    """Return the entries of a RocksDB iterator, from the first envelope on.

    Args:
        iterator: Shows what is to be enumerated. (A snapshot of rocksdict does not: its iterators
            show the present.)
        make_iterator: Makes one more, to feel the way past damage. Each serves one seek: an
            iterator that met a damaged block passes over it silently when it is asked again.
    """
    iterator.seek(b"m")
    last = 0
    while True:
        while iterator.valid():
            key = bytes(iterator.key())
            if not key.startswith(b"m"):
                return
            yield _read(key, iterator)
            last = max(last, _number(key))
            iterator.next()
        why = _why(iterator)
        if why is None:
            return
        yield DamagedEntry(b"", f"unreadable after {_key(last)[1:].hex()}: {why}")
        following = _behind_damage(make_iterator, last)
        if following is None:
            return
        last = following
        iterator.seek(_key(following))


def decode_entry(raw: bytes) -> StoredEnvelope:
    """Return the envelope of an entry.

    Raises:
        SpoolEntryDamagedError: It is none.
    """
    try:
        return decode_envelope(raw)
    except ValueError as error:
        raise SpoolEntryDamagedError(str(error)) from error


def _read(key: bytes, iterator: Any) -> StoredMessage | DamagedEntry:
    spool_id = key[1:]
    if len(spool_id) != _ID_BYTES:
        return DamagedEntry(spool_id, "its key is no spool id")
    try:
        return StoredMessage(SpoolId(spool_id), decode_envelope(iterator.value()))
    except ValueError as error:
        return DamagedEntry(spool_id, str(error))


def _why(iterator: Any) -> str | None:
    """Return why an iterator stopped, or None at the end of what there is."""
    try:
        iterator.status()
    except Exception as error:  # noqa: BLE001 - supervisor boundary: rocksdict's only class
        return str(error)
    return None


def _behind_damage(make_iterator: Callable[[], Any], last: int) -> int | None:
    """Return the first id behind a damaged block from where the walk can go on, or None.

    Steps that double find a place behind it; halving then finds its end, so that no intact
    neighbour is passed over. Some 250 seeks at the most.
    """
    broken, step = last, 1
    while not _is_readable(make_iterator(), beyond := min(last + step, _IDS_END - 1)):
        if beyond == _IDS_END - 1:
            return None
        broken, step = beyond, step * 2
    while beyond - broken > 1:
        middle = (broken + beyond) // 2
        if _is_readable(make_iterator(), middle):
            beyond = middle
        else:
            broken = middle
    return beyond


def _is_readable(iterator: Any, number: int) -> bool:
    iterator.seek(_key(number))
    return bool(iterator.valid()) or _why(iterator) is None


def _key(number: int) -> bytes:
    return b"m" + number.to_bytes(_ID_BYTES, "big")


def _number(key: bytes) -> int:
    return int.from_bytes(key[1:][:_ID_BYTES].ljust(_ID_BYTES, b"\0"), "big")
