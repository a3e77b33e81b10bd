"""A small mark of a message's sender and recipient: who looks for one of a million passes most by.

Place in flow: waiting entries carry it (``engine.schedule.timer_wheel``); ``engine.admin`` compares
it before it reads a message from the spool.

Invariants:
    * Equal addresses, upper and lower case apart, have equal marks. The half of what is not one
      address, or not known, is zero and equals everything.
    * A mark is one number of an entry; of four thousand other addresses one has the same half.
    * The sum of a queue has a bit for each half that was ever added, of many halves the same one:
      who finds the bits missing need not look at its messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

#: Bits of each half, and all of a half.
HALF_BITS = 12
HALF = (1 << HALF_BITS) - 1


def mark_of(sender: str | None, recipients: Sequence[str]) -> int:
    """Return the mark of a message.

    Args:
        sender: Its sender, empty for a bounce; None when nobody knows.
        recipients: Whom it still has to reach.
    """
    high = 0 if sender is None else _mark(sender)
    low = _mark(recipients[0]) if len(recipients) == 1 else 0
    return high << HALF_BITS | low


def halves_of(wanted: int) -> tuple[frozenset[int], frozenset[int]]:
    """Return which halves may be what is looked for: of recipients, of senders; empty for any."""
    low, high = wanted & HALF, wanted >> HALF_BITS
    return frozenset((0, low) if low else ()), frozenset((0, high) if high else ())


#: The bit of each half in a sum: recipients below, senders above.
_SHORT = (0, *(half % 255 + 1 for half in range(HALF)))
_LOWS = tuple(1 << short for short in _SHORT)
_HIGHS = tuple(1 << (256 + short) for short in _SHORT)


def summed(total: int, mark: int) -> int:
    """Return the sum of a queue with one more mark."""
    return total | _LOWS[mark & HALF] | _HIGHS[mark >> HALF_BITS]


def bits_of(wanted: int) -> tuple[int, int]:
    """Return the bits of which a sum has one each if a message may be there; 0: any sum may."""
    low, high = wanted & HALF, wanted >> HALF_BITS
    return (_LOWS[low] | _LOWS[0]) if low else 0, (_HIGHS[high] | _HIGHS[0]) if high else 0


def _mark(address: str) -> int:
    return crc32(address.lower().encode("utf-8", "surrogatepass")) % HALF + 1
