"""Free space and inodes of the spool's and the logs' disks, judged against their floors.

Place in flow: asked by the gates of reception (``engine.app``), at most ten times a second for
each path.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

#: Default floor: a tenth of the disk, but not more than this many bytes of a large one.
FLOOR_BYTES_MAX = 2 << 30
#: Default floor of inodes on a large disk.
FLOOR_INODES_MAX = 100_000
#: How long a reading stays good, seconds: a small disk is filled in one.
READING_S = 0.1


@dataclass(frozen=True, slots=True)
class Floor:
    """The least that must be free: a share of the whole, or an absolute number.

    Attributes:
        share: Part of the whole, 0 to 1, or None.
        amount: Absolute number (bytes or inodes), or None. With both, the smaller one counts.
    """

    share: float | None
    amount: int | None

    def of(self, total: int) -> int:
        """Return the floor for a disk of this size."""
        marks = [] if self.share is None else [int(self.share * total)]
        if self.amount is not None:
            marks.append(self.amount)
        return min(marks, default=0)


def parse_floor(value: str | float | None, default_amount: int) -> Floor:
    """Return a floor from ``"10%"`` or a number; None means a tenth, capped by the default.

    Raises:
        ValueError: The value is neither.
    """
    if value is None:
        return Floor(0.1, default_amount)
    if isinstance(value, bool):
        raise ValueError('wants "10%" or a number')  # noqa: TRY004 - every bad value is a ValueError
    if isinstance(value, int | float):
        return Floor(None, int(value))
    text = value.strip()
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
            if not 0 <= share < 1:
                raise ValueError(text)
            return Floor(share, None)
        return Floor(None, int(text.replace("_", "").replace(",", "")))
    except ValueError:
        raise ValueError(f'wants "10%" or a number, not {value!r}') from None


class DiskGuard:
    """Watches the disk under one path."""

    def __init__(self, path: Path, space: Floor, inodes: Floor, mono: Callable[[], float]) -> None:
        self.path = path
        self._space = space
        self._inodes = inodes
        self._mono = mono
        self._read_mono = float("-inf")
        self._trouble: str | None = None
        self.free_bytes = 0
        self.total_bytes = 0
        self.free_inodes = 0
        self.total_inodes = 0

    def set_floors(self, space: Floor, inodes: Floor) -> None:
        """Judge by other floors from now on."""
        if (space, inodes) != (self._space, self._inodes):
            self._space, self._inodes = space, inodes
            self._read_mono = float("-inf")

    def trouble(self) -> str | None:
        """Return why this disk can take no more mail, or None."""
        now = self._mono()
        if now - self._read_mono >= READING_S:
            self._read_mono = now
            self._trouble = self._read()
        return self._trouble

    def _read(self) -> str | None:
        try:
            state = os.statvfs(self.path)
        except OSError as error:
            return f"cannot read the disk of {self.path}: {error.strerror}"
        self.free_bytes = state.f_bavail * state.f_frsize
        self.total_bytes = state.f_blocks * state.f_frsize
        self.free_inodes, self.total_inodes = state.f_favail, state.f_files
        if self.free_bytes < self._space.of(self.total_bytes):
            return f"too little free space for {self.path}"
        # Some filesystems count no inodes: a total of zero says nothing.
        if self.total_inodes and self.free_inodes < self._inodes.of(self.total_inodes):
            return f"too few free inodes for {self.path}"
        return None
