"""Follows log directories: prints what is wanted of them and notes how far it came.

Place in flow: ``cirrus tail DIR...``; reads by ``segment_series``, prints by ``record_printer``.

Invariants:
    * The checkpoint is saved after the output up to it was flushed: at least once.
    * Where nothing is to be done it sleeps; it never asks more often than its interval says.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.base.clock import Clock
from engine.model.record_filter import RecordMatcher
from engine.tools.record_printer import RecordPrinter
from engine.tools.segment_series import LogDirectories
from engine.tools.tail_checkpoint import Checkpoint

#: After the end of what is wanted, how long its last records may take into the files, seconds.
LATE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TailOptions:
    """How directories are followed.

    Attributes:
        is_at_end: What is there already is not wanted.
        must_follow: Go on at the end.
        poll_s: Seconds between looks for more.
        batch_size: Records after which the checkpoint is saved.
        batch_s: Seconds after which it is, while records come.
    """

    is_at_end: bool = False
    must_follow: bool = True
    poll_s: float = 0.5
    batch_size: int = 1000
    batch_s: float = 1.0


class FileTail:
    """Follows log directories.

    Args:
        files: The directories.
        matcher: Which records are wanted.
        printer: Prints them.
        options: How to follow.
        clock: Tells when to save and when to end.
        sleep: Lets seconds pass.
        checkpoint: Where to note how far it came, if anywhere.

    Attributes:
        is_stopping: Set it to have the tail end after the record at hand.
    """

    def __init__(
        self,
        files: LogDirectories,
        matcher: RecordMatcher,
        printer: RecordPrinter,
        options: TailOptions,
        *,
        clock: Clock,
        sleep: Callable[[float], None],
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.is_stopping = False
        self._files = files
        self._matcher = matcher
        self._printer = printer
        self._options = options
        self._clock = clock
        self._sleep = sleep
        self._checkpoint = checkpoint
        self._unsaved = 0
        self._saved_mono = clock.mono()

    def run(self) -> None:
        """Print records until it is told to stop, the limit is reached, or there is no more.

        Raises:
            OSError: The output or the checkpoint cannot be written.
        """
        self._files.look()
        self._skip()
        while not (self.is_stopping or self._printer.is_full):
            line = self._files.next_line()
            if line is not None:
                self._unsaved += 1
                self._printer.print(line)
                if self._is_batch():
                    self._save()
                continue
            self._save()
            if not self._may_come():
                break
            self._sleep(self._options.poll_s)
            self._files.look()
        self._save()

    def _skip(self) -> None:
        since_at = self._matcher.since_at
        if self._options.is_at_end:
            self._files.skip(is_old=is_finished)
            while not self.is_stopping and self._files.next_line() is not None:
                pass
            self._save()
        elif since_at is not None:
            self._files.skip(is_old=lambda path: is_finished(path) and _ended_at(path) < since_at)

    def _is_batch(self) -> bool:
        options = self._options
        if self._unsaved >= options.batch_size:
            return True
        # The clock is not asked for each record.
        return self._unsaved % 64 == 0 and self._clock.mono() - self._saved_mono >= options.batch_s

    def _save(self) -> None:
        self._printer.flush()
        if self._checkpoint is not None:
            self._checkpoint.save(self._files.position)
        self._unsaved = 0
        self._saved_mono = self._clock.mono()

    def _may_come(self) -> bool:
        if not self._options.must_follow:
            return False
        until_at = self._matcher.until_at
        return until_at is None or self._clock.wall() < until_at + LATE_S


def is_finished(path: Path) -> bool:
    """Return whether nobody writes to a segment any more."""
    try:
        return not path.stat().st_mode & stat.S_IWUSR
    except OSError:
        return False


def _ended_at(path: Path) -> float:
    """Return when a segment was written last, seconds since the Unix epoch."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
