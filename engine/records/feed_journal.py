"""Records for the traffic shaping automation on disk, until every daemon has them.

Place in flow: ``record_feed`` appends; one ``feed_publisher`` for each daemon reads behind its own
checkpoint. Plain functions of the disk, called in threads.

Invariants:
    * A reader gets each whole line behind its checkpoint, in order; after a crash some again.
    * A line that a crash tore is skipped: each start writes into a segment of its own.
    * One thread appends, others read: each looks at a copy of what segments there are.
    * Segments go when every reader is past them, when they are too old to matter, or, the oldest
      first, when all of them together are too large; what a reader then misses is counted.

Failure: ``OSError`` reaches the caller; nothing that was read or appended before is touched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: Octets of one segment.
SEGMENT_OCTETS = 16 << 20
#: Octets of all segments.
JOURNAL_OCTETS = 1 << 30
_CHECKPOINTS = "checkpoints.json"
_SUFFIX = ".ndjson"


class Position(NamedTuple):
    """Where a reader goes on: a segment, and octets of it that are done."""

    segment: int
    offset: int


class Stretch(NamedTuple):
    """Lines that a reader has not had, and where it goes on after them."""

    lines: list[bytes]
    end: Position


class FeedJournal:
    """The segments in one folder.

    Args:
        folder: Belongs to the journal alone.
        segment_octets: A segment that is larger is followed by another.
        limit_octets: What all segments may take.
    """

    def __init__(
        self,
        folder: Path,
        *,
        segment_octets: int = SEGMENT_OCTETS,
        limit_octets: int = JOURNAL_OCTETS,
    ) -> None:
        self._folder = folder
        self._segment_octets = segment_octets
        self._limit_octets = limit_octets
        #: Octets by segment, the oldest first; the last one is being written.
        self._sizes: dict[int, int] = {}
        self._descriptor: int | None = None

    def open(self) -> dict[str, Position]:
        """Begin a segment; return the checkpoints of the readers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        found = sorted(int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}"))
        self._sizes = {number: self._path(number).stat().st_size for number in found}
        self._begin_segment()
        return self._load_checkpoints()

    def close(self) -> None:
        """Close the segment that is written."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @property
    def octets(self) -> int:
        """Return what all segments take."""
        return sum(list(self._sizes.values()))

    @property
    def start(self) -> Position:
        """Return where the oldest line is."""
        return Position(next(iter(self._sizes)), 0)

    @property
    def end(self) -> Position:
        """Return where the next line will be."""
        number = next(reversed(self._sizes))
        return Position(number, self._sizes[number])

    def octets_behind(self, position: Position) -> int:
        """Return how much a reader at a position has not had."""
        return sum(
            size - (position.offset if number == position.segment else 0)
            for number, size in list(self._sizes.items())
            if number >= position.segment
        )

    # -- writing --

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines behind all others."""
        if self._descriptor is None or self.end.offset >= self._segment_octets:
            self._begin_segment()
        assert self._descriptor is not None
        octets = memoryview(b"".join(line + b"\n" for line in lines))
        number = self.end.segment
        written = 0
        try:
            while written < len(octets):
                written += os.write(self._descriptor, octets[written:])
        except OSError:
            # Half a line may be there: it is no part of the segment, and the next one is new.
            os.ftruncate(self._descriptor, self._sizes[number])
            raise
        self._sizes[number] += written

    def _begin_segment(self) -> None:
        self.close()
        number = max(self._sizes, default=0) + 1
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(self._path(number), flags, 0o600)
        self._sizes[number] = 0

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010d}{_SUFFIX}"

    # -- reading --

    def read(self, position: Position, lines_max: int, octets_max: int) -> Stretch:
        """Return what comes behind a position, at least one line if there is one."""
        if position.segment not in self._sizes:
            position = self._next_segment(position) or self.end
        while True:
            size = self._sizes.get(position.segment, 0)
            stretch = self._read_in(position, min(size - position.offset, octets_max), lines_max)
            if stretch.lines:
                return stretch
            following = self._next_segment(position)
            if following is None:
                return Stretch([], position)
            position = following

    def _read_in(self, position: Position, wanted: int, lines_max: int) -> Stretch:
        if wanted <= 0:
            return Stretch([], position)
        with self._path(position.segment).open("rb") as file:
            file.seek(position.offset)
            octets = file.read(wanted)
            if b"\n" not in octets:
                # A line longer than what was asked for is given as a whole.
                octets += file.readline()
        lines = octets.split(b"\n")[:-1][:lines_max]
        done = sum(map(len, lines)) + len(lines)
        return Stretch(lines, Position(position.segment, position.offset + done))

    def _next_segment(self, position: Position) -> Position | None:
        following = [number for number in list(self._sizes) if number > position.segment]
        return Position(following[0], 0) if following else None

    # -- what is over --

    def trim(self, readers: Mapping[str, Position], oldest_at: float) -> dict[str, int]:
        """Drop segments; return how many lines each reader misses by it.

        Args:
            readers: The checkpoints in force.
            oldest_at: Segments whose newest record is older matter no more; seconds since the
                Unix epoch.
        """
        missed = dict.fromkeys(readers, 0)
        slowest = min((one.segment for one in readers.values()), default=self.end.segment)
        for number in list(self._sizes)[:-1]:
            path = self._path(number)
            is_over = number < slowest
            is_too_much = self.octets > self._limit_octets
            if not (is_over or is_too_much or path.stat().st_mtime < oldest_at):
                break
            if not is_over:
                for name, position in readers.items():
                    missed[name] += self._lines_behind(number, position)
            path.unlink()
            del self._sizes[number]
        return missed

    def _lines_behind(self, number: int, position: Position) -> int:
        if position.segment > number:
            return 0
        with self._path(number).open("rb") as file:
            if position.segment == number:
                file.seek(position.offset)
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))

    def save_checkpoints(self, readers: Mapping[str, Position]) -> None:
        """Keep where the readers are; a crash leaves the old or the new ones."""
        path = self._folder / _CHECKPOINTS
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(readers), encoding="utf-8")
        fresh.replace(path)

    def _load_checkpoints(self) -> dict[str, Position]:
        try:
            held = json.loads((self._folder / _CHECKPOINTS).read_text(encoding="utf-8"))
            found = {str(name): Position(*map(int, one)) for name, one in held.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError):
            # Rather some records twice, which the daemons notice, than none.
            return {}
        # A position behind the end of its segment is of a write that a power cut undid.
        return {
            name: Position(one.segment, min(one.offset, self._sizes.get(one.segment, 0)))
            for name, one in found.items()
        }
