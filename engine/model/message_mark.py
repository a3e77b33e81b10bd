"""A small mark of a message's sender and recipient: who looks for one of a million passes most by.

Place in flow: waiting entries carry it (``engine.schedule.timer_wheel``); ``engine.admin`` compares
it before it reads a message from the spool.

Invariants:
    * Equal addresses, upper and lower case apart, have equal marks. The half of what is not one
      address, or not known, is zero and equals everything.
    * A mark costs an entry nothing but its place: there are no more than ``MARKS`` numbers.
    * The sum of a queue has a bit for each half that was ever added: who finds the bits missing
      need not look at its messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

#: How many marks there are: 256 of recipients for each of 256 of senders.
MARKS = 1 << 16
_NUMBERS = tuple(range(MARKS))


def mark_of(sender: str | None, recipients: Sequence[str]) -> int:
    """Return the mark of a message.

    Args:
        sender: Its sender, empty for a bounce; None when nobody knows.
        recipients: Whom it still has to reach.
    """
    high = 0 if sender is None else _mark(sender)
    low = _mark(recipients[0]) if len(recipients) == 1 else 0
    return _NUMBERS[high << 8 | low]


def fitting(wanted: int) -> bytes:
    """Return for each mark whether a message of it may be what is looked for by another: 1 or 0.

    Who compares a million marks looks each up in these, and calls nothing.
    """
    lows = _fitting(wanted & 0xFF)
    return b"".join(lows if is_fit else bytes(256) for is_fit in _fitting(wanted >> 8))


def _fitting(wanted: int) -> bytes:
    return bytes(not wanted or half in (0, wanted) for half in range(256))


#: The bit of each half in a sum: recipients below, senders above.
_LOWS = tuple(1 << half for half in range(256))
_HIGHS = tuple(1 << (256 + half) for half in range(256))


def summed(total: int, mark: int) -> int:
    """Return the sum of a queue with one more mark."""
    return total | _LOWS[mark & 0xFF] | _HIGHS[mark >> 8]


def bits_of(wanted: int) -> tuple[int, int]:
    """Return the bits of which a sum has one each if a message may be there; 0: any sum may."""
    low, high = wanted & 0xFF, wanted >> 8
    return (_LOWS[low] | _LOWS[0]) if low else 0, (_HIGHS[high] | _HIGHS[0]) if high else 0


def _mark(address: str) -> int:
    return crc32(address.lower().encode("utf-8", "surrogatepass")) % 255 + 1
