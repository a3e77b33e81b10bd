"""The record feed: records that rules could count, to the daemons that evaluate them.

Place in flow: a sink of the recorder; filters, gathers in memory for a moment, appends to the
journal, and wakes a publisher for each daemon.

Invariants:
    * It never holds mail up: what cannot be written waits in memory up to a bound, then is dropped
      and counted.
    * A record about a message that was itself made from a record is not fed: no loop.
    * Records that are older than anything a rule could do with them are given up, and counted.
    * Lines that a thread is writing are never cut off by the stop, nor written a second time by it.

Failure: a disk that cannot be written is said once; the publishers go on with what is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.model.log_record import LogRecord, RecordKind
from engine.model.message import Message
from engine.model.transfer_target import DELIVERY_PROTOCOL
from engine.records.feed_journal import FeedJournal, Position, Stretch
from engine.records.feed_publisher import FeedPublisher
from engine.records.record_selection import RecordSelection

log = logging.getLogger("cirrus.records")

#: Records that wait in memory for the disk; more are dropped.
WAITING_MAX = 100_000
#: Pause before a disk that failed is tried again, seconds.
RETRY_S = 1.0
#: How often checkpoints are kept and old segments dropped, seconds.
KEEP_S = 1.0
#: How long the stop waits for a disk that is writing, seconds.
STOP_S = 5.0
#: Records younger than this are kept whatever the rules say, seconds.
AGE_MIN_S = 300.0

#: Port: run a function beside the event loop.
InThread = Callable[..., Awaitable[Any]]


class RecordFeed:
    """The feed of one node.

    Attributes:
        wants_record: Tells which records rules could count.
        longest_duration_s: Tells how long a record can matter, seconds.
        waiting_max: Records that may wait in memory for the disk.
        dropped: Records that found no room in memory.
        missed: Records given up, by daemon.
    """

    is_hook = True
    must_wait = False
    selection = RecordSelection()

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        supervisor: Supervisor,
        *,
        wants_record: Callable[[LogRecord], bool],
        longest_duration_s: Callable[[], float],
        skipped: frozenset[RecordKind],
        timeout_s: float,
        waiting_max: int = WAITING_MAX,
        in_thread: InThread = asyncio.to_thread,
        journal: FeedJournal | None = None,
    ) -> None:
        self.wants_record = wants_record
        self.longest_duration_s = longest_duration_s
        self.skipped = skipped
        self.timeout_s = timeout_s
        self.waiting_max = waiting_max
        self.dropped = 0
        self.missed: dict[str, int] = {}
        self.publishers: dict[str, FeedPublisher] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._journal = journal or FeedJournal(folder)
        self._clock = clock
        self._supervisor = supervisor
        self._in_thread = in_thread
        self._encode = msgspec.json.Encoder().encode
        self._waiting: list[bytes] = []
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        # Held from the moment lines leave the waiting list until they are on disk (or back in it).
        self._writing = asyncio.Lock()
        self._known: dict[str, Position] = {}
        self._kept: dict[str, Position] = {}
        self._session: aiohttp.ClientSession | None = None
        self._is_failing = False

    # -- the sink --

    def wants(self, kind: RecordKind) -> bool:
        """Return whether records of this kind may be fed."""
        return kind not in self.skipped

    def write(self, record: LogRecord, message: Message | None) -> None:
        """Take a record, if a rule could count it."""
        del message
        if record.reception_protocol == "LogRecord" or not self.wants_record(record):
            return
        if record.delivery_protocol == DELIVERY_PROTOCOL:
            # Another node that takes no mail is no destination to go easy on.
            return
        if len(self._waiting) >= self.waiting_max:
            self.dropped += 1
            return
        self._waiting.append(self._encode(record))
        self._wake.set()

    async def wait_capacity(self) -> None:
        """Return at once: the feed never holds anybody up."""

    # -- at work --

    async def start(self, urls: Sequence[str]) -> None:
        """Open the journal and send to these daemons.

        Raises:
            OSError: The folder cannot be used.
        """
        self._known = self._kept = await self._in_thread(self._journal.open)
        self._tasks[""] = self._supervisor.start(self._write_forever(), "record-feed")
        self._tasks["keep"] = self._supervisor.start(self._keep_forever(), "record-feed-keep")
        self.publish_to(urls)

    def publish_to(self, urls: Sequence[str]) -> None:
        """Send to these daemons and to no other; each goes on where it was."""
        for url in self.publishers.keys() - set(urls):
            self._tasks.pop(url).cancel()
            self._known.pop(url, None)
            del self.publishers[url]
        for url in urls:
            if url in self.publishers:
                continue
            position = self._known.get(url, self._journal.start)
            publisher = FeedPublisher(
                url, self, position, timeout_s=self.timeout_s, session=self._connections
            )
            self.publishers[url] = publisher
            self._tasks[url] = self._supervisor.start(publisher.run(), f"feed {url}")

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        return self._session

    async def _write_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            async with self._writing:
                is_written = await self._write_waiting()
            if not is_written:
                await asyncio.sleep(RETRY_S)

    async def _write_waiting(self) -> bool:
        lines, self._waiting = self._waiting, []
        if not lines:
            return True
        try:
            await self._in_thread(self._journal.append, lines)
        except OSError as error:
            if not self._is_failing:
                log.error("records for the automation cannot be written: %s", error)
            self._is_failing = True
            self._waiting = (lines + self._waiting)[: self.waiting_max]
            self._wake.set()
            return False
        if self._is_failing:
            log.info("records for the automation can be written again")
        self._is_failing = False
        self._news.set()
        self._news = asyncio.Event()
        return True

    async def read(self, position: Position, lines_max: int, octets_max: int) -> Stretch:
        """Return lines behind a position; waits until there is one."""
        while True:
            news = self._news
            try:
                found: Stretch = await self._in_thread(
                    self._journal.read, position, lines_max, octets_max
                )
            except OSError as error:
                log.error("records for the automation cannot be read: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            if found.lines:
                return found
            await news.wait()

    # -- keeping --

    async def _keep_forever(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            try:
                await self.keep()
            except OSError as error:
                log.error("the checkpoints of the record feed cannot be kept: %s", error)
                await asyncio.sleep(10 * KEEP_S)

    async def keep(self) -> None:
        """Keep the checkpoints, and drop what nobody needs any more.

        Raises:
            OSError: They cannot be written.
        """
        positions = {url: one.position for url, one in self.publishers.items()}
        if positions != self._kept:
            await self._in_thread(self._journal.save_checkpoints, positions)
            self._kept = positions
        oldest_at = self._clock.wall() - max(AGE_MIN_S, self.longest_duration_s())
        missed = await self._in_thread(self._journal.trim, positions, oldest_at)
        for url, count in missed.items():
            if count:
                self.missed[url] = self.missed.get(url, 0) + count
                log.error("%d records were given up: %s did not take them in time", count, url)

    async def stop(self) -> None:
        """Write what waits, keep the checkpoints, and end."""
        is_quiet = await self._end_tasks()
        if is_quiet:
            await self._write_last()
        else:
            log.error("the disk of the record feed does not answer: its last records may be lost")
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _end_tasks(self) -> bool:
        # Cancelled at work, the writer would leave its lines to a thread that may not have begun,
        # and the journal would be closed under it.
        try:
            async with asyncio.timeout(STOP_S):
                await self._writing.acquire()
            is_quiet = True
        except TimeoutError:
            is_quiet = False
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if is_quiet:
            self._writing.release()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)
        return is_quiet

    async def _write_last(self) -> None:
        try:
            if self._waiting:
                await self._in_thread(self._journal.append, self._waiting)
                self._waiting = []
            await self.keep()
        except OSError as error:
            log.error("the end of the record feed cannot be written: %s", error)
        self._journal.close()

    def backlog(self, url: str) -> int:
        """Return the octets that a daemon has not had."""
        publisher = self.publishers.get(url)
        return self._journal.octets_behind(publisher.position) if publisher else 0
