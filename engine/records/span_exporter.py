"""Spans on their way to a collector: a bounded queue, and a thread that empties it.

Place in flow: takes what ``engine.records.span_maker`` makes, on the event loop; gives batches to
a sender, ``engine.records.span_otlp``, in the thread.

Invariants:
    * ``put`` never waits and never raises; what finds the queue full is counted and forgotten.
    * A batch that was not taken is not sent again: the sender has tried for as long as it may.
    * A collector that fails is told of once, and once more when it takes spans again.

Failure: a collector that is dead, slow or hangs costs spans, and nothing else. The stop waits for
it no longer than it is told to; the thread does not keep the process.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable

from engine.records.span_maker import Span

log = logging.getLogger("cirrus.records")

#: Spans that wait at most, spans of one request; how long a span waits for others, and how long
#: the thread pauses after a failure, seconds.
QUEUE_MAX = 20_000
BATCH_MAX = 512
GATHER_S = 1.0
PAUSE_S = 5.0

#: Send spans; return None, or why they were not taken. Runs in the thread, for a bounded time.
Send = Callable[[list[Span]], str | None]


class SpanExporter:
    """The queue to one collector.

    Args:
        send: Sends a batch.
        where: The collector, as the log names it.
        abort: Has a ``send`` under way return soon; called when the stop is out of time.

    Attributes:
        sent: Spans that the collector took.
        failed: Spans that it did not take.
        overflowed: Spans that found no room.
    """

    def __init__(self, send: Send, where: str, abort: Callable[[], None] = lambda: None) -> None:
        self._send = send
        self._abort = abort
        self._where = where
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._is_failing = False
        self._thread = threading.Thread(target=self._run, name="span-exporter", daemon=True)
        self.sent = self.failed = self.overflowed = 0

    @property
    def waiting(self) -> int:
        """Return how many spans wait."""
        return len(self._waiting)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, span: Span) -> None:
        """Take a span, if there is room."""
        count = len(self._waiting)
        if count >= QUEUE_MAX:
            self.overflowed += 1
            return
        self._waiting.append(span)
        if count + 1 == BATCH_MAX:
            self._wake.set()

    async def close(self, deadline_s: float) -> None:
        """Send what waits, for ``deadline_s`` seconds at most."""
        self._ending.set()
        self._wake.set()
        if not self._thread.is_alive():
            return
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join, deadline_s)
        if self._thread.is_alive():
            self._abort()
            log.warning("%d spans were not sent to %s in time", self.waiting, self._where)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._wake.wait(GATHER_S)
            self._wake.clear()
            while self._waiting:
                if not self.send_batch():
                    # What comes in the meantime waits, as far as there is room.
                    self._ending.wait(PAUSE_S)
                    break
        # The last try: as long as the collector takes something.
        while self._waiting and self.send_batch():
            pass
        self.failed += len(self._waiting)
        self._waiting.clear()

    def send_batch(self) -> bool:
        """Send the oldest spans; return whether they were taken."""
        batch = [self._waiting.popleft() for _ in range(min(BATCH_MAX, len(self._waiting)))]
        try:
            trouble = self._send(batch)
        except Exception as error:  # noqa: BLE001 - record sink
            trouble = f"{type(error).__name__}: {error}"
        if trouble is None:
            self.sent += len(batch)
        else:
            self.failed += len(batch)
        self._tell(trouble)
        return trouble is None

    def _tell(self, trouble: str | None) -> None:
        if trouble is not None and not self._is_failing:
            log.warning("spans are lost, %s does not take them: %s", self._where, trouble[:500])
        elif trouble is None and self._is_failing:
            log.info("%s takes spans again; %d were lost", self._where, self.failed)
        self._is_failing = trouble is not None
