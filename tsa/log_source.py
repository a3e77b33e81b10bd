"""Log records of files and folders, one after the other in the order of their time.

Place in flow: ``tsa.dry_run`` reads through here what nodes wrote: zstd segments, finished or still
being written, or plain lines of JSON.

Invariants:
    * Files whose times do not overlap are read one after the other; those that do (of several
      nodes) are merged record by record. Only those are open.
    * Memory is bounded by the open files, whatever their sizes.
    * Records of kinds that nobody wants are counted, not decoded.

Failure: a file that cannot be read ends it; a line that is no record, and what is behind the
damaged place of a segment, is left out and noted.

Standard: RFC 8878, 3.1 (frames); lines of JSON.
"""

from __future__ import annotations

import contextlib
import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

import zstandard

from engine.model.log_record import RecordKind
from tsa.errors import ConfigurationError
from tsa.seen_record import SeenRecord, decode_seen

#: Octets that are read at once.
CHUNK_BYTES = 65_536
#: The longest line; a longer one belongs to a file of another kind.
LINE_MAX_BYTES = 16 * 1024 * 1024
#: Problems that are kept for people; the rest is counted.
PROBLEMS_MAX = 20
_ZSTD_FRAME = b"\x28\xb5\x2f\xfd"
_LATEST_AT = float("inf")


@dataclass(slots=True)
class LogTally:
    """What was read.

    Attributes:
        files: Files read to their end.
        records: Lines that are, or by their beginning seem to be, records.
        bad_lines: Lines that are no records.
        first_at, last_at: The time of the earliest and the latest record that was looked at,
            seconds since the Unix epoch; None before there was one.
        problems: What was left out and why, the first of them.
    """

    files: int = 0
    records: int = 0
    bad_lines: int = 0
    first_at: float | None = None
    last_at: float | None = None
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Keep a problem, if there are not too many already."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)

    def saw(self, instant_at: float) -> None:
        """Take the time of a record."""
        if self.first_at is None or instant_at < self.first_at:
            self.first_at = instant_at
        if self.last_at is None or instant_at > self.last_at:
            self.last_at = instant_at


def find_logs(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are meant, those of a folder and of the folders in it included.

    Raises:
        ConfigurationError: One is not there, or a folder holds no file.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise ConfigurationError(f"{path}: there is no such file")
            found[path] = None
            continue
        inside = sorted(
            one for one in path.rglob("*") if one.is_file() and not one.name.startswith(".")
        )
        if not inside:
            raise ConfigurationError(f"{path}: the folder holds no file")
        found.update(dict.fromkeys(inside))
    return list(found)


class LogSource:
    """The records of some files.

    Args:
        files: As ``find_logs`` returns them.
        skipped: Kinds of records that are not wanted.

    Attributes:
        tally: What was read so far.
    """

    def __init__(self, files: Sequence[Path], skipped: Iterable[RecordKind] = ()) -> None:
        self._files = files
        # A record begins with its kind; one that is written otherwise is decoded first.
        self._skipped = tuple(f'{{"type":"{kind.value}"'.encode() for kind in skipped)
        self.tally = LogTally()

    def records(self) -> Iterator[SeenRecord]:
        """Yield the records in the order of their time.

        Raises:
            ConfigurationError: A file cannot be read.
        """
        begins = [(self._first_at(path), number) for number, path in enumerate(self._files)]
        waiting = deque(sorted(begins))
        open_files: list[tuple[int, str, int, SeenRecord, Iterator[SeenRecord]]] = []
        while waiting or open_files:
            while waiting and (not open_files or waiting[0][0] <= open_files[0][0]):
                number = waiting.popleft()[1]
                _push(open_files, number, self._records_of(self._files[number]))
            if not open_files:
                continue
            _, _, number, record, more = heapq.heappop(open_files)
            yield record
            if open_files:
                _push(open_files, number, more)
                continue
            until_at = waiting[0][0] if waiting else _LATEST_AT
            for record in more:
                if record.timestamp >= until_at:
                    heapq.heappush(open_files, _entry(number, record, more))
                    break
                yield record

    def _first_at(self, path: Path) -> float:
        """Return the time of the first record of a file; the end of time if there is none."""
        # A pipe can be read but once: it is taken for the earliest.
        if not path.is_file():
            return 0.0
        for lines in read_lines(path, LogTally()):
            for line in lines:
                try:
                    return float(decode_seen(line).timestamp)
                except ValueError:
                    continue
        return _LATEST_AT

    def _records_of(self, path: Path) -> Iterator[SeenRecord]:
        tally, skipped = self.tally, self._skipped
        number, last = 0, b""
        for lines in read_lines(path, tally):
            for line in lines:
                if skipped and line.startswith(skipped):
                    continue
                try:
                    yield decode_seen(line)
                except ValueError as error:
                    if line.strip():
                        tally.bad_lines += 1
                        where = number + lines.index(line) + 1
                        tally.note(f"{path}:{where}: {str(error)[:200]}")
                    tally.records -= 1
            self._take_time(lines[0] if not number else b"")
            number += len(lines)
            tally.records += len(lines)
            last = lines[-1]
        self._take_time(last)
        tally.files += 1

    def _take_time(self, line: bytes) -> None:
        """Take the time of a line at the edge of a file, which may be of a kind nobody wants."""
        with contextlib.suppress(ValueError):
            self.tally.saw(decode_seen(line).at)


def _entry(
    number: int, record: SeenRecord, more: Iterator[SeenRecord]
) -> tuple[int, str, int, SeenRecord, Iterator[SeenRecord]]:
    return record.timestamp, record.event_time, number, record, more


def _push(
    open_files: list[tuple[int, str, int, SeenRecord, Iterator[SeenRecord]]],
    number: int,
    more: Iterator[SeenRecord],
) -> None:
    record = next(more, None)
    if record is not None:
        heapq.heappush(open_files, _entry(number, record, more))


# -- octets -------------------------------------------------------------------------------------


def read_lines(path: Path, tally: LogTally) -> Iterator[list[bytes]]:
    """Yield the lines of a file, some at a time, never none.

    Args:
        path: A segment, or plain lines.
        tally: Where it is noted that a segment is damaged.

    Raises:
        ConfigurationError: It cannot be read, or is no log.
    """
    rest = b""
    try:
        with path.open("rb") as file:
            for octets in _octets(file, path, tally):
                lines = (rest + octets).split(b"\n")
                rest = lines.pop()
                if lines:
                    yield lines
                elif len(rest) > LINE_MAX_BYTES:
                    raise ConfigurationError(f"{path}: no log: a line without an end")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    if rest:
        yield [rest]


def _octets(file: BufferedReader, path: Path, tally: LogTally) -> Iterator[bytes]:
    octets = file.read(CHUNK_BYTES)
    if octets.startswith(_ZSTD_FRAME):
        yield from _unpacked(octets, file, path, tally)
        return
    while octets:
        yield octets
        octets = file.read(CHUNK_BYTES)


def _unpacked(octets: bytes, file: BufferedReader, path: Path, tally: LogTally) -> Iterator[bytes]:
    codec = zstandard.ZstdDecompressor().decompressobj()
    while octets:
        try:
            unpacked = codec.decompress(octets)
        except zstandard.ZstdError as error:
            tally.note(f"{path}: the rest of the segment is damaged: {error}")
            return
        if unpacked:
            yield unpacked
        octets = b""
        if codec.eof:
            octets = codec.unused_data
            codec = zstandard.ZstdDecompressor().decompressobj()
        octets = octets or file.read(CHUNK_BYTES)
