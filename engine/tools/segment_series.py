"""The segments of log directories as one stream of lines that goes on while nodes write.

Place in flow: ``engine.tools.tail`` reads records by it; ``segment_stream`` reads each segment.

Invariants:
    * Segments of one series (a directory and the end of their names) are read in the order of their
      names. The next is begun only where nothing is left for now of those before it; those are
      watched on until nobody writes to them any more.
    * Lines of several series come in the order of their times, as far as they are there.
    * A position says of each series which segment was begun last, and how much was given out of
      those that are not finished: whoever starts there misses nothing.

Known limit: a segment whose name is older than one that was finished in an earlier run (the clock
was set back in between) is not seen.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.tools.segment_stream import SegmentStream

_NAME = re.compile(r"\d{8}-\d{6}\.\d+(.*)", re.DOTALL)
_TIME = b'"event_time":"'
_TIME_LENGTH = len("2026-01-01T00:00:00.000000Z")

#: Told what is wrong, and whether records cannot be read by that.
Tell = Callable[[str, bool], None]


class SeriesPosition(msgspec.Struct, frozen=True):
    """How far a series was read.

    Attributes:
        last: The segment that was begun last.
        unfinished: Octets of lines that were given out, by segments that may have more.
    """

    last: str = ""
    unfinished: dict[str, int] = {}


#: How far all was read: by directory and by the end of the names.
Position = dict[str, dict[str, SeriesPosition]]


class SegmentSeries:
    """The segments of one directory whose names end alike.

    Args:
        log_dir: The directory.
        tell: Told what is wrong.
        begin: Where to go on; None for the oldest segment.
    """

    def __init__(self, log_dir: Path, tell: Tell, begin: SeriesPosition | None = None) -> None:
        self.log_dir = log_dir
        self._tell = tell
        self._known: set[str] = set()
        self._waiting: list[str] = []
        self._open: list[SegmentStream] = []
        self._begin = begin or SeriesPosition()
        self._last = self._begin.last
        self._is_resumed = False

    def note(self, names: Sequence[str]) -> None:
        """Note which segments there are now, the oldest first."""
        if self._begin.last and not self._is_resumed:
            self._is_resumed = True
            self._resume(names)
        gone = set(self._waiting).difference(names)
        if gone:
            self._tell(f"{self.log_dir}: deleted before they were read: {len(gone)} segments", True)
            self._waiting = [name for name in self._waiting if name not in gone]
        fresh = [name for name in names if name not in self._known]
        self._waiting += fresh
        self._known = set(names)

    def _resume(self, names: Sequence[str]) -> None:
        unfinished = self._begin.unfinished
        for name in sorted(unfinished.keys() - set(names)):
            text = f"{self.log_dir / name}: gone since the checkpoint; going on with the oldest"
            self._tell(text, True)
        if self._begin.last not in {*names, *unfinished}:
            text = f"{self.log_dir / self._begin.last}: read to its end, and gone since; "
            self._tell(f"{text}others after it may be too; going on with the oldest", False)
        for name in names:
            if name <= self._begin.last:
                self._known.add(name)
                if name in unfinished:
                    self._start(name, unfinished[name])

    def skip(self, *, is_old: Callable[[Path], bool]) -> None:
        """Leave out those that were not begun yet, from the oldest on while they are old."""
        while self._waiting and is_old(self.log_dir / self._waiting[0]):
            self._last = max(self._last, self._waiting.pop(0))

    def _start(self, name: str, skip: int = 0) -> None:
        self._last = max(self._last, name)
        try:
            self._open.append(SegmentStream(self.log_dir / name, skip))
        except FileNotFoundError:
            self._tell(f"{self.log_dir / name}: deleted before it was read", True)
        except OSError as error:
            self._tell(f"{self.log_dir / name}: {error.strerror}", True)

    def head(self) -> SegmentStream | None:
        """Return the segment that has the next line, None where there is none for now."""
        while True:
            for stream in tuple(self._open):
                if self._has_line(stream):
                    return stream
            if not self._waiting:
                return None
            self._start(self._waiting.pop(0))

    def _has_line(self, stream: SegmentStream) -> bool:
        if stream.is_ready:
            return True
        try:
            # To be asked first: what is written in between is read below.
            is_finished = stream.is_finished_file()
            if stream.peek() is not None:
                return True
            is_finished = is_finished or (stream.is_whole() and bool(self._waiting))
        except OSError as error:
            self._tell(f"{stream.path}: {error.strerror}", True)
            stream.close()
            self._open.remove(stream)
            return False
        if is_finished or stream.trouble is not None:
            stream.end()
            self._open.remove(stream)
            if stream.trouble is not None:
                self._tell(f"{stream.path}: {stream.trouble}", True)
        return False

    @property
    def position(self) -> SeriesPosition:
        """Return how far it was read."""
        if not self._last:
            return self._begin
        return SeriesPosition(self._last, {one.path.name: one.offset for one in self._open})

    def close(self) -> None:
        """Give the files back."""
        for stream in self._open:
            stream.close()


class LogDirectories:
    """All series of some directories.

    Args:
        log_dirs: The directories.
        tell: Told what is wrong, and whether records cannot be read by that.
        pattern: Which names count, besides being those of segments.
        begin: Where to go on.
    """

    def __init__(
        self,
        log_dirs: Sequence[Path],
        tell: Tell,
        *,
        pattern: str = "*",
        begin: Position | None = None,
    ) -> None:
        self._dirs = list(dict.fromkeys(path.absolute() for path in log_dirs))
        self._tell = tell
        self._pattern = pattern
        self._begin: Position = begin or {}
        self._series: dict[tuple[Path, str], SegmentSeries] = {}
        self._unreadable: set[Path] = set()

    def look(self) -> None:
        """See which segments there are now."""
        for log_dir in self._dirs:
            found = self._list(log_dir)
            if found is None:
                continue
            known = self._begin.get(str(log_dir), {})
            for suffix in [*found, *(one for one in known if one not in found)]:
                if (log_dir, suffix) not in self._series:
                    begin = known.get(suffix)
                    self._series[log_dir, suffix] = SegmentSeries(log_dir, self._tell, begin)
            for (place, suffix), series in self._series.items():
                if place == log_dir:
                    series.note(found.get(suffix, []))

    def _list(self, log_dir: Path) -> Mapping[str, list[str]] | None:
        try:
            names = sorted(path.name for path in log_dir.iterdir())
        except OSError as error:
            if log_dir not in self._unreadable:
                self._unreadable.add(log_dir)
                self._tell(f"{log_dir}: {error.strerror}", True)
            return None
        self._unreadable.discard(log_dir)
        found: dict[str, list[str]] = {}
        for name in names:
            match = _NAME.fullmatch(name)
            if match is not None and fnmatch.fnmatchcase(name, self._pattern):
                found.setdefault(match[1], []).append(name)
        return found

    def skip(self, *, is_old: Callable[[Path], bool]) -> None:
        """Leave out segments that were not begun yet, from the oldest on while they are old."""
        for series in self._series.values():
            series.skip(is_old=is_old)

    def next_line(self) -> bytes | None:
        """Return the next line, None where there is none for now.

        Raises:
            OSError: A segment cannot be read on.
        """
        heads = [head for one in self._series.values() if (head := one.head()) is not None]
        if not heads:
            return None
        stream = heads[0] if len(heads) == 1 else min(heads, key=_time_of)
        return stream.next_line()

    @property
    def position(self) -> Position:
        """Return how far all was read."""
        position: Position = {name: dict(series) for name, series in self._begin.items()}
        for (log_dir, suffix), series in self._series.items():
            position.setdefault(str(log_dir), {})[suffix] = series.position
        return position

    def close(self) -> None:
        """Give the files back."""
        for series in self._series.values():
            series.close()


def _time_of(stream: SegmentStream) -> bytes:
    """Return the time of a segment's next line; one without comes first."""
    line: Any = stream.peek() or b""
    start = line.find(_TIME)
    return b"" if start < 0 else line[start + len(_TIME) : start + len(_TIME) + _TIME_LENGTH]
