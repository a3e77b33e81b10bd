"""One segment: a compressed file of lines that is readable at every instant.

Place in flow: opened, fed and finished by ``engine.records.segment_writer`` in its thread.

Invariants:
    * Each ``write`` ends at a block boundary of the compressed stream, so that a reader of a
      segment cut off by a kill gets every line written before.
    * A finished segment is read-only and a whole zstd frame; readers take read-only for done.
    * After an error the octets not yet written are kept and written first.

Standard: RFC 8878, 3.1.1 (frames and blocks).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

import zstandard

from engine.model.log_record import format_segment_name

#: The level for "default" (0).
DEFAULT_LEVEL = 3
#: An empty raw block marked as the last: what ends a frame that was cut at a block boundary.
_LAST_BLOCK = b"\x01\x00\x00"
_READ_ONLY = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_NAME = r"\d{8}-\d{6}\.\d+"


class SegmentFile:
    """A segment being written.

    Args:
        log_dir: Where it is made.
        suffix: What its name ends with.
        opened_at: Seconds since the Unix epoch, for the name.
        compression_level: The level of zstd; 0 for its default.

    Attributes:
        path: The file.
        size: Octets written, before compression.

    Raises:
        OSError: The file cannot be made.
    """

    def __init__(
        self, log_dir: Path, suffix: str, *, opened_at: float, compression_level: int = 0
    ) -> None:
        self.size = 0
        self._fd = -1
        while self._fd < 0:
            self.path = log_dir / (format_segment_name(opened_at) + suffix)
            try:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                # Another segment of the same microsecond.
                opened_at += 1e-6
        level = compression_level or DEFAULT_LEVEL
        self._codec = zstandard.ZstdCompressor(level=level).compressobj()
        self._unwritten = memoryview(b"")
        self._safe_bytes = 0
        self._file_bytes = 0

    @property
    def has_unwritten(self) -> bool:
        """Return whether an earlier write is still unfinished."""
        return bool(self._unwritten)

    def write(self, lines: bytes) -> None:
        """Add lines.

        Raises:
            OSError: They are not all on the file system; ``push`` tries again.
        """
        block = self._codec.compress(lines) + self._codec.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        self.size += len(lines)
        self._unwritten = memoryview(block)
        self.push()

    def push(self) -> None:
        """Write what an earlier error left unwritten.

        Raises:
            OSError: It failed again.
        """
        while self._unwritten:
            count = os.write(self._fd, self._unwritten)
            self._file_bytes += count
            self._unwritten = self._unwritten[count:]
        self._safe_bytes = self._file_bytes

    def finish(self) -> None:
        """End the frame, mark the segment as done and close it.

        Raises:
            OSError: The last octets are not on the file system; ``abandon`` still closes it.
        """
        self._unwritten = memoryview(self._codec.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))
        self.push()
        os.fchmod(self._fd, _READ_ONLY)
        self._close()

    def abandon(self) -> None:
        """Close a segment that cannot be written any more, ending it after its last whole block."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, self._safe_bytes)
            if self._safe_bytes:
                os.pwrite(self._fd, _LAST_BLOCK, self._safe_bytes)
        with contextlib.suppress(OSError):
            os.fchmod(self._fd, _READ_ONLY)
        self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


def find_segments(log_dir: Path, suffix: str) -> list[Path]:
    """Return the segments of a directory whose names end with the suffix, oldest first.

    Raises:
        OSError: The directory cannot be read.
    """
    pattern = re.compile(_NAME + re.escape(suffix))
    return sorted(path for path in log_dir.iterdir() if pattern.fullmatch(path.name))


def complete_segment(path: Path) -> bool:
    """Return whether a segment that a dead process left behind had to be ended.

    A block cut in the middle is cut off; an empty last block then makes the frame whole. The
    segment is marked as done.

    Raises:
        OSError: The file cannot be read or changed.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IWUSR:
        return False
    end = _last_boundary(path, status.st_size)
    if end is not None:
        fd = os.open(path, os.O_WRONLY)
        try:
            os.ftruncate(fd, end)
            if end:
                os.pwrite(fd, _LAST_BLOCK, end)
        finally:
            os.close(fd)
    path.chmod(_READ_ONLY)
    return end is not None


def _last_boundary(path: Path, size: int) -> int | None:
    """Return where an unfinished frame's last whole block ends, None if nothing is unfinished."""
    with path.open("rb") as file:
        position = 0
        while position < size:
            file.seek(position)
            head = file.read(18)
            try:
                length = zstandard.frame_header_size(head)
                has_checksum = zstandard.get_frame_parameters(head).has_checksum
            except zstandard.ZstdError:
                # Nothing of ours, or a header cut short: what is before it stays readable.
                return position if len(head) < 18 and position == 0 else None
            position += length
            is_last = False
            while not is_last:
                file.seek(position)
                head = file.read(3)
                number = int.from_bytes(head, "little")
                is_last = bool(number & 1)
                # An RLE block (type 1) holds one octet, whatever size it says.
                content = 1 if (number >> 1) & 3 == 1 else number >> 3
                if len(head) < 3 or position + 3 + content > size:
                    return position
                position += 3 + content
            position += 4 if has_checksum else 0
    return None
