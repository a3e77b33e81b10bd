"""The log records of a directory of segments, also of one that is still being written.

Place in flow: ``demo_world`` asks it; whoever watches a running node's records may.

Invariants:
    * Every line that is on the file system is seen: a segment is fed whole to the decoder. Its
      streaming reader may keep the last lines of an unfinished frame to itself.

Failure: what is no zstd frame, or no record, is passed over.

Standard: RFC 8878, 3.1 (frames).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import zstandard

from engine.model.log_record import LogRecord, decode_record


def read_segment(path: Path) -> bytes:
    """Return what can be read of a segment that may still be written to."""
    data = path.read_bytes()
    chunks: list[bytes] = []
    with contextlib.suppress(zstandard.ZstdError):
        while data:
            codec = zstandard.ZstdDecompressor().decompressobj()
            chunks.append(codec.decompress(data))
            data = codec.unused_data
    return b"".join(chunks)


def read_records(log_dir: Path) -> list[LogRecord]:
    """Return the log records written so far, in the order of the files."""
    found: list[LogRecord] = []
    for segment in sorted(log_dir.glob("*")) if log_dir.is_dir() else []:
        for line in read_segment(segment).splitlines():
            with contextlib.suppress(ValueError):
                found.append(decode_record(line))
    return found
