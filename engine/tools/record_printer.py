"""Prints the records that are wanted, for people or for programs.

Place in flow: ``engine.tools.tail_files`` and ``engine.tools.tail_node`` give it lines.

Invariants:
    * For programs a line is printed as it was written; for people it cannot harm a terminal.
    * What was printed is with the reader after ``flush`` returned, not before.
"""

from __future__ import annotations

from typing import IO

from engine.cli.table import harmless_json
from engine.model.log_record import decode_record
from engine.model.record_filter import RecordMatcher
from engine.model.record_line import printable, show_record


class RecordPrinter:
    """Prints records.

    Args:
        out: Where to.
        matcher: Which of them.
        as_json: As they are, one a line.
        limit: How many at most; None for all.
        is_screen: Whether a terminal shows them: then JSON too holds nothing that it would obey.

    Attributes:
        printed: How many were.
        strange: Lines that are no records, which a filter could not look into.
    """

    def __init__(
        self,
        out: IO[bytes],
        matcher: RecordMatcher,
        *,
        as_json: bool = False,
        limit: int | None = None,
        is_screen: bool = False,
    ) -> None:
        self._is_screen = is_screen
        self._out = out
        self._matcher = matcher
        self._as_json = as_json
        self._limit = limit
        self.printed = 0
        self.strange = 0

    @property
    def is_full(self) -> bool:
        """Return whether as many were printed as are wanted."""
        return self._limit is not None and self.printed >= self._limit

    def print(self, line: bytes) -> None:
        """Print a line, if it is wanted.

        Raises:
            OSError: It cannot be written.
        """
        shown = self._shown(line)
        if shown is not None:
            if self._is_screen and self._as_json:
                text = shown.decode("utf-8", "replace").rstrip("\r\n")
                shown = f"{harmless_json(text)}\n".encode()
            self._out.write(shown)
            self.printed += 1

    def _shown(self, line: bytes) -> bytes | None:
        matcher = self._matcher
        if not matcher.fits_line(line):
            return None
        if matcher.is_by_line and self._as_json:
            return line
        try:
            record = decode_record(line)
        except ValueError:
            # A node may have been told to write its records by a template.
            if not matcher.is_by_line:
                self.strange += 1
                return None
            text = printable(line.rstrip(b"\r\n").decode("utf-8", "replace"))
        else:
            if not matcher.fits(record):
                return None
            text = show_record(record)
        return line if self._as_json else text.encode() + b"\n"

    def flush(self) -> None:
        """See to it that what was printed is with the reader.

        Raises:
            OSError: It cannot be written.
        """
        self._out.flush()
