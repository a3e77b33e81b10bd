"""The lines of one log segment as they come, also of one that is still being written.

Place in flow: ``engine.tools.segment_series`` reads segments by it, for ``cirrus tail``.

Invariants:
    * Only whole blocks are taken. Where a node died while it wrote one, the next node cuts that
      block off and ends the frame: nothing that was taken changes by that.
    * What is in memory is bounded by a few blocks and one line, however large the segment.
    * A segment that is deleted meanwhile is read to its end.

Failure: damage ends the segment after the last whole line before it; ``trouble`` says what it is.

Standard: RFC 8878, 3.1.1 (frames and blocks).
"""

from __future__ import annotations

import os
import stat
from collections import deque
from pathlib import Path

import zstandard

#: Octets read at once: at least one block, which has at most 128 KiB.
CHUNK = 1 << 18
#: Blocks unpacked at once, each into at most 128 KiB.
_BLOCKS_MAX = 8
#: No record is longer; what is has no line ends, and is no log.
LINE_MAX = 64 << 20
_FRAME_HEADER_MAX = 18
_RLE = 1


class SegmentStream:
    """Reads a segment from its beginning to where it ends now, and on.

    Args:
        path: The file.
        skip: Octets of lines that were read before.

    Attributes:
        offset: Octets of lines that were given out or skipped.
        trouble: What is wrong with it; None if nothing was found.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path, skip: int = 0) -> None:
        self.path = path
        self.offset = 0
        self.trouble: str | None = None
        self._skip = skip
        # Not to wait for whoever would write into a pipe of such a name.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        #: Where the next block or frame begins in the file.
        self._position = 0
        self._codec: zstandard.ZstdDecompressionObj | None = None
        self._has_checksum = False
        self._rest = bytearray()
        self._lines: deque[bytes] = deque()

    def next_line(self) -> bytes | None:
        """Return the next line with its end, or None where there is none yet.

        Raises:
            OSError: The file cannot be read.
        """
        if not self._lines and not self._fill():
            return None
        line = self._lines.popleft()
        self.offset += len(line)
        return line

    def peek(self) -> bytes | None:
        """Return the next line without taking it, or None where there is none yet.

        Raises:
            OSError: The file cannot be read.
        """
        if not self._lines and not self._fill():
            return None
        return self._lines[0]

    @property
    def is_ready(self) -> bool:
        """Return whether there is a line that was read already."""
        return bool(self._lines)

    def is_whole(self) -> bool:
        """Return whether all that was read so far ends with the end of a frame."""
        return self._codec is None and self._position > 0

    def is_finished_file(self) -> bool:
        """Return whether nobody writes to the file any more: it is read-only, or deleted.

        Raises:
            OSError: That cannot be found out.
        """
        status = os.fstat(self._fd)
        return not status.st_mode & stat.S_IWUSR or status.st_nlink == 0

    def end(self) -> None:
        """Note what is missing at the end of a segment to which nothing more is written."""
        if self.trouble is None and self._rest:
            self.trouble = "it ends in the middle of a record"
        elif self.trouble is None and self._codec is not None:
            self.trouble = "its end is cut off"
        self.close()

    def close(self) -> None:
        """Give the file back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _fill(self) -> bool:
        """Return whether there are lines, after reading on until there are or nothing is left."""
        while not self._lines and self.trouble is None:
            raw = os.pread(self._fd, CHUNK, self._position)
            if not raw:
                self._notice_cut()
                return False
            taken = self._begin_frame(raw) if self._codec is None else self._unpack(raw)
            if not taken:
                return bool(self._lines)
            self._position += taken
        return bool(self._lines)

    def _notice_cut(self) -> None:
        """Notice that a failing disk had the writer take back what was read."""
        if os.fstat(self._fd).st_size < self._position:
            self._rest.clear()
            self._codec = None
            self.trouble = "its end was taken back; records of it may come again"

    def _unpack(self, raw: bytes) -> int:
        """Return how many octets were taken: those of some blocks that are whole."""
        end = 0
        for _ in range(_BLOCKS_MAX):
            size, is_last = block_size(raw, end)
            if is_last and self._has_checksum:
                size += 4
            if self._codec is None or not size or end + size > len(raw):
                break
            try:
                self._split(self._codec.decompress(raw[end : end + size]))
            except zstandard.ZstdError as error:
                self._note_damage(self._position + end, error)
                break
            end += size
            if is_last:
                self._codec = None
        return end

    def _note_damage(self, position: int, error: zstandard.ZstdError) -> None:
        self.trouble = f"it is damaged at octet {position}: {error}"

    def _begin_frame(self, raw: bytes) -> int:
        """Return the octets of a frame's header; none where it is not whole."""
        try:
            size = zstandard.frame_header_size(raw[:_FRAME_HEADER_MAX])
            self._has_checksum = zstandard.get_frame_parameters(raw[:size]).has_checksum
            codec = zstandard.ZstdDecompressor().decompressobj()
            codec.decompress(raw[:size])
        except zstandard.ZstdError as error:
            if len(raw) >= _FRAME_HEADER_MAX:
                self._note_damage(self._position, error)
            return 0
        self._codec = codec
        return size

    def _split(self, text: bytes) -> None:
        if self._skip:
            skipped = min(self._skip, len(text))
            self._skip -= skipped
            self.offset += skipped
            text = text[skipped:]
        if not text:
            return
        self._rest += text
        if b"\n" not in text:
            if len(self._rest) > LINE_MAX:
                self.trouble = f"it has a line of more than {LINE_MAX >> 20} MiB"
                self._rest.clear()
            return
        lines = self._rest.split(b"\n")
        self._rest = lines.pop()
        self._lines.extend(bytes(line) + b"\n" for line in lines)


def block_size(raw: bytes, position: int) -> tuple[int, bool]:
    """Return the octets of a block with its header, and whether it is the last of its frame.

    Nothing (0) is returned where the header is not whole.
    """
    head = raw[position : position + 3]
    if len(head) < 3:
        return 0, False
    number = int.from_bytes(head, "little")
    # A block of one octet over and over holds that once, whatever size it says.
    content = 1 if (number >> 1) & 3 == _RLE else number >> 3
    return 3 + content, bool(number & 1)
