"""Log directories as nodes leave them, and what tests read from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.model.log_record import LogRecord, RecordKind, encode_record, format_event_time
from engine.records.segment_file import SegmentFile

#: When the first segment is opened, seconds since the Unix epoch.
BEGAN_AT = 1_800_000_000.0


def record(number: int, kind: RecordKind = RecordKind.DELIVERY, **fields: Any) -> LogRecord:
    """Return the record of a message that is known by its number, one a second."""
    at = BEGAN_AT + number
    return LogRecord(
        kind=kind,
        id=f"{number:032d}",
        timestamp=int(at),
        event_time=format_event_time(at),
        **fields,
    )


def lines(*numbers: int) -> bytes:
    return b"".join(encode_record(record(number)) for number in numbers)


def open_segment(log_dir: Path, number: int, suffix: str = "") -> SegmentFile:
    """Return a segment that was opened when the record of this number happened."""
    return SegmentFile(log_dir, suffix, opened_at=BEGAN_AT + number)


def whole_segment(log_dir: Path, *numbers: int, suffix: str = "") -> Path:
    """Return a finished segment with the records of these numbers."""
    segment = open_segment(log_dir, numbers[0], suffix)
    segment.write(lines(*numbers))
    segment.finish()
    return segment.path


def numbers_in(text: bytes) -> list[int]:
    """Return the numbers of the records in some lines of JSON."""
    return [int(line.split(b'"id":"', 1)[1][:32]) for line in text.splitlines()]
