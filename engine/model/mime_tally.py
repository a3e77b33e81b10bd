"""What a tree of MIME parts holds and what parsing it took, with the bounds of both.

Place in flow: each ``engine.model.mime_part`` has that of its tree; ``engine.model.mime_parse``
counts its work with it.

Invariants:
    * A tree never has more parts or octets than the bounds, however it grew.
    * What goes beyond a bound is ``ValueError``, before it is done.
"""

from __future__ import annotations

PARTS_MAX = 10_000
DEPTH_MAX = 100
#: Octets of a tree that grows by what is appended and set.
OCTETS_MAX = 128 << 20
#: Octets that parsing looks at: each level of nesting looks at those inside it again.
_SCAN_FLOOR = 64 << 20
_SCAN_FACTOR = 10
#: Lines that look like a boundary and are none.
_NEAR_MISSES_MAX = 200_000


class Tally:
    """What a tree holds, shared by all its parts, and the work that parsing it took."""

    __slots__ = ("near_misses", "octets", "parts", "scanned")

    def __init__(self, octets: int) -> None:
        self.parts = 1
        self.octets = octets
        self.scanned = 0
        self.near_misses = 0

    def grow(self, parts: int, octets: int) -> None:
        """Count what is added to a tree, or refuse it."""
        if self.parts + parts > PARTS_MAX:
            raise ValueError(f"more than {PARTS_MAX} MIME parts")
        if octets > 0 and self.octets + octets > OCTETS_MAX:
            raise ValueError(f"more than {OCTETS_MAX >> 20} MiB in one message")
        self.parts += parts
        self.octets += octets

    def scan(self, octets: int, size: int) -> None:
        """Count the work of looking through octets."""
        self.scanned += octets
        if self.scanned > max(_SCAN_FLOOR, _SCAN_FACTOR * size):
            raise ValueError("the MIME parts are nested too deeply for their size")

    def near_miss(self) -> None:
        """Count a line that is no boundary after all."""
        self.near_misses += 1
        if self.near_misses > _NEAR_MISSES_MAX:
            raise ValueError("too many lines look like the boundary of a MIME part")
