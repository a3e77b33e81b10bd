"""The writer of log segments: one thread that compresses, writes, rotates and deletes.

Place in flow: ``engine.records.local_log`` appends records from the event loop; the thread makes
lines of them and writes them into ``engine.records.segment_file``.

Invariants:
    * The event loop never renders, compresses or writes: ``append`` only notes the record.
    * What was appended is on the file system within a second, or is kept and tried again.
    * At most twice ``back_pressure`` records are kept; producers are asked to wait at
      ``back_pressure``, and what comes past the double is dropped, counted and reported.
    * A segment this process has open is never taken for a left-over.

Failure: a full disk keeps the octets and tries again each tick; any other error ends the segment
after its last whole block and writes the batch into a new one. The thread itself never ends but by
``close``.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.base.clock import Clock
from engine.base.disk_guard import DiskGuard, Floor
from engine.model.log_record import LogRecord
from engine.records.record_template import Render
from engine.records.segment_file import SegmentFile, complete_segment, find_segments

log = logging.getLogger("cirrus.records")

#: Seconds between two rounds of the thread: half of what a kill may lose.
TICK_S = 0.5
#: Records written in one go.
BATCH = 512
#: This many waiting records wake the thread before its tick.
_WAKE_AT = 4096
#: Seconds between looks for segments to delete, and between reports of a lasting failure.
_SLOW_TICK_S = 60.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_open_paths: set[Path] = set()
_open_lock = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentOptions:
    """How segments are cut, kept and bounded."""

    max_file_size: int = 1_000_000_000
    max_segment_duration_s: float | None = None
    back_pressure: int = 128_000
    compression_level: int = 0
    keep_s: float = 30 * 86400.0
    min_free_space: Floor
    min_free_inodes: Floor


class SegmentTarget:
    """A series of segments: one directory and suffix.

    Args:
        log_dir: The directory.
        suffix: What the names end with.
        header: Written at the start of each segment.
    """

    def __init__(self, log_dir: Path, suffix: str = "", header: bytes = b"") -> None:
        self.log_dir = log_dir
        self.suffix = suffix
        self.header = header
        self.segment: SegmentFile | None = None
        self.opened_mono = 0.0


class SegmentWriter:
    """Writes the segments of one log sink.

    Args:
        name: For the diagnostic log.
        clock: Names and ages of segments.
        options: How segments are cut, kept and bounded.

    Attributes:
        dropped: Records lost because the queue stayed full.
        write_errors: Failed writes since the start.
        disks: The file system of each directory; read by the thread, once a second at most.
    """

    def __init__(self, name: str, clock: Clock, options: SegmentOptions) -> None:
        self.name = name
        self.options = options
        self.dropped = 0
        self.write_errors = 0
        self.disks: dict[Path, DiskGuard] = {}
        self._clock = clock
        self._targets: list[SegmentTarget] = []
        self._waiting: deque[tuple[SegmentTarget, Render, LogRecord]] = deque()
        self._unsafe: list[tuple[SegmentTarget, Render, LogRecord]] = []
        self._wake = threading.Event()
        self._is_stopping = False
        self._must_end = False
        self._has_ended = False
        self._shortage: str | None = None
        self._reported_mono = -_SLOW_TICK_S
        self._slow_mono = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"records {name}", daemon=True)

    def start(self, targets: Iterable[SegmentTarget]) -> None:
        """Take over the directories, mark left-over segments as done, and begin.

        Raises:
            OSError: A directory cannot be made or read.
        """
        self._targets = list(targets)
        for target in self._targets:
            target.log_dir.mkdir(parents=True, exist_ok=True)
            self._complete_left_overs(target)
        self._look_at_disks()
        self._slow_mono = self._clock.mono()
        self._thread.start()

    def _complete_left_overs(self, target: SegmentTarget) -> None:
        for path in find_segments(target.log_dir, target.suffix):
            with _open_lock:
                if path in _open_paths:
                    continue
                try:
                    if complete_segment(path):
                        log.info("the segment %s was left unfinished and is ended now", path)
                except OSError as error:
                    log.warning("the segment %s cannot be marked as done: %s", path, error)

    def append(self, target: SegmentTarget, render: Render, record: LogRecord) -> bool:
        """Return whether the record was noted for writing; False when it had to be dropped."""
        waiting = self._waiting
        count = len(waiting)
        if count >= _WAKE_AT and not self._wake.is_set():
            self._wake.set()
        if count >= 2 * self.options.back_pressure or self._has_ended:
            self.dropped += 1
            return False
        waiting.append((target, render, record))
        return True

    @property
    def backlog(self) -> int:
        """Return how many records are not yet written."""
        return len(self._waiting) + len(self._unsafe)

    @property
    def must_wait(self) -> bool:
        """Return whether producers should wait."""
        return self.backlog >= self.options.back_pressure

    async def wait_capacity(self) -> None:
        """Wait until there is room again."""
        while self.must_wait and self._thread.is_alive() and not self._has_ended:
            self._loop = asyncio.get_running_loop()
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            self._wake.set()
            await waiter

    def disk_state(self) -> str | None:
        """Return why the log directories' disks ask for no more mail, None if they do not.

        The figures are at most a second old; the caller never waits for a file system.
        """
        return self._shortage

    async def close(self, deadline_s: float = 10.0) -> int:
        """Return how many records could not be written within the deadline, in seconds."""
        if not self._thread.is_alive():
            return self.backlog
        self._loop = asyncio.get_running_loop()
        self._is_stopping = True
        self._wake.set()
        try:
            async with asyncio.timeout(deadline_s):
                await self._ended.wait()
        except TimeoutError:
            self._must_end = True
            self._wake.set()
        lost = self.backlog
        if lost:
            log.error("%s: %d records were not written before the end", self.name, lost)
        return lost

    # What follows runs in the thread.

    def _run(self) -> None:
        while True:
            self._wake.wait(TICK_S)
            self._wake.clear()
            is_stopping = self._is_stopping
            try:
                is_written = self._drain()
                self._rotate_aged()
                self._look_after_disks()
            except Exception:  # boundary: record sink
                log.exception("%s: the segment writer met a defect and goes on", self.name)
                is_written = self.backlog == 0
            self._call_loop(self._wake_waiters)
            if self._must_end or (is_stopping and is_written):
                break
        for target in self._targets:
            self._finish(target)
        self._call_loop(self._end)

    def _drain(self) -> bool:
        """Return whether everything that waited is on the file system."""
        try:
            for target in self._targets:
                if target.segment is not None and target.segment.has_unwritten:
                    self._push(target)
            self._unsafe = []
            while self._waiting and not self._must_end:
                self._write_batch()
                if self._waiters:
                    self._call_loop(self._wake_waiters)
        except OSError as error:
            self._report(error)
            return False
        return True

    def _push(self, target: SegmentTarget) -> None:
        assert target.segment is not None
        try:
            target.segment.push()
        except OSError as error:
            self._judge(error, target)
            raise

    def _judge(self, error: OSError, target: SegmentTarget) -> None:
        """Keep the segment if its disk is only full; else end it before the batch under way."""
        if error.errno in _FULL:
            return
        self._waiting.extendleft(reversed(self._unsafe))
        self._unsafe = []
        segment, target.segment = target.segment, None
        if segment is not None:
            segment.abandon()
            with _open_lock:
                _open_paths.discard(segment.path)

    def _write_batch(self) -> None:
        """Write the oldest records, up to a batch of one target and one segment.

        Raises:
            OSError: They stay noted, or are kept by the segment.
        """
        waiting = self._waiting
        target = waiting[0][0]
        segment = self._segment_of(target)
        room = self.options.max_file_size - segment.size
        lines: list[bytes] = []
        size = 0
        while waiting and waiting[0][0] is target and len(lines) < BATCH and size < room:
            item = waiting.popleft()
            self._unsafe.append(item)
            line = self._render(item[1], item[2])
            lines.append(line)
            size += len(line)
        try:
            if size:
                segment.write(b"".join(lines))
        except OSError as error:
            self._judge(error, target)
            raise
        self._unsafe = []
        if segment.size >= self.options.max_file_size:
            self._finish(target)

    def _render(self, render: Render, record: LogRecord) -> bytes:
        try:
            return render(record)
        except Exception as error:  # noqa: BLE001 - record sink
            log.error("%s: no line for %s: %s", self.name, record.record_id, error)
            return b""

    def _segment_of(self, target: SegmentTarget) -> SegmentFile:
        if target.segment is None:
            with _open_lock:
                segment = SegmentFile(
                    target.log_dir,
                    target.suffix,
                    opened_at=self._clock.wall(),
                    compression_level=self.options.compression_level,
                )
                _open_paths.add(segment.path)
            target.segment = segment
            target.opened_mono = self._clock.mono()
            if target.header:
                segment.write(target.header)
        return target.segment

    def _rotate_aged(self) -> None:
        limit_s = self.options.max_segment_duration_s
        if limit_s is None:
            return
        now_mono = self._clock.mono()
        for target in self._targets:
            segment = target.segment
            # What a full disk keeps waiting belongs into this segment and is nowhere else.
            if segment is None or segment.has_unwritten:
                continue
            if now_mono - target.opened_mono >= limit_s:
                self._finish(target)

    def _finish(self, target: SegmentTarget) -> None:
        segment, target.segment = target.segment, None
        if segment is None:
            return
        try:
            if segment.has_unwritten:
                segment.push()
            segment.finish()
        except OSError as error:
            self._report(error)
            segment.abandon()
        with _open_lock:
            _open_paths.discard(segment.path)

    def _report(self, error: OSError) -> None:
        self.write_errors += 1
        now_mono = self._clock.mono()
        if now_mono - self._reported_mono >= _SLOW_TICK_S:
            self._reported_mono = now_mono
            log.error(
                "%s: log records cannot be written, %d wait: %s", self.name, self.backlog, error
            )

    def _look_after_disks(self) -> None:
        self._look_at_disks()
        now_mono = self._clock.mono()
        if now_mono - self._slow_mono >= _SLOW_TICK_S:
            self._slow_mono = now_mono
            self.delete_expired()

    def _look_at_disks(self) -> None:
        for target in self._targets:
            if target.log_dir not in self.disks:
                space, inodes = self.options.min_free_space, self.options.min_free_inodes
                guard = DiskGuard(target.log_dir, space, inodes, self._clock.mono)
                self.disks[target.log_dir] = guard
        troubles = [guard.trouble() for guard in self.disks.values()]
        self._shortage = next(filter(None, troubles), None)

    def delete_expired(self) -> int:
        """Return how many finished segments were deleted because they are past ``keep``."""
        oldest_at = self._clock.wall() - self.options.keep_s
        count = 0
        for target in self._targets:
            try:
                for path in find_segments(target.log_dir, target.suffix):
                    with _open_lock:
                        is_open = path in _open_paths
                    if not is_open and path.stat().st_mtime < oldest_at:
                        path.unlink()
                        count += 1
            except OSError as error:
                log.warning("%s: old segments cannot be deleted: %s", self.name, error)
        return count

    def _call_loop(self, function: Callable[[], None]) -> None:
        loop = self._loop
        if loop is None:
            return
        # A loop that closed in between has nobody waiting any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(function)

    # What follows runs in the loop again.

    def _wake_waiters(self) -> None:
        if self.must_wait and not self._has_ended:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _end(self) -> None:
        self._has_ended = True
        self._wake_waiters()
        self._ended.set()
