"""A small mark of a message's sender and recipient: who looks for one of a million passes most by.

Place in flow: waiting entries carry it (``engine.schedule.timer_wheel``); ``engine.admin`` compares
it before it reads a message from the spool.

Invariants:
    * Equal addresses, upper and lower case apart, have equal marks. The half of what is not one
      address, or not known, is zero and equals everything.
    * A mark costs an entry nothing but its place: there are no more than ``MARKS`` numbers.
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


def may_be(mark: int, wanted: int) -> bool:
    """Return whether a message of a mark may be what is looked for by another."""
    for shift in (0, 8):
        one, other = mark >> shift & 0xFF, wanted >> shift & 0xFF
        if one and other and one != other:
            return False
    return True


def _mark(address: str) -> int:
    return crc32(address.lower().encode("utf-8", "surrogatepass")) % 255 + 1
