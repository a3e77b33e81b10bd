"""Records to one daemon of the traffic shaping automation, in batches, until it has them.

Place in flow: ``record_feed`` runs one for each daemon, behind the journal.

Invariants:
    * The checkpoint moves when the daemon said that a batch is safe, never before.
    * A line that the daemon refuses is counted and not sent again; anything else is.
    * One batch is under way at a time; what waits, waits on disk.

Failure: a daemon that cannot be reached is tried again within seconds, for ever. Said once when it
begins and once when it is over.

Standard: lines of JSON to ``/publish_log_v1``; a daemon that takes no batches gets single records.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import aiohttp
import msgspec

from engine.base.os_reason import os_reason
from engine.base.shaping_source import shown_source
from engine.records.feed_journal import Position, Stretch

log = logging.getLogger("cirrus.records")

#: Lines and octets of a batch.
BATCH_LINES = 2000
BATCH_OCTETS = 1 << 20
#: Pauses before a daemon that failed is tried again, seconds.
PAUSE_FIRST_S = 0.25
PAUSE_MAX_S = 3.0
#: Requests under way to a daemon that takes single records only.
SINGLES_AT_ONCE = 16
#: Statuses that say nothing about whether batches are understood.
_NOT_ABOUT_BATCHES = frozenset({401, 403, 408, 413, 421, 429})


class _FailedError(Exception):
    """The daemon did not take a batch; the text says why."""


class Lines(Protocol):
    """Where lines come from: ``record_feed``."""

    async def read(self, position: Position, lines_max: int, octets_max: int) -> Stretch:
        """Return lines behind a position; waits until there is one."""
        ...


class FeedPublisher:
    """Sends the lines of a journal to one daemon.

    Attributes:
        position: Up to where the daemon has them.
        refused: Lines that it called no records.
        trouble: Why it cannot be reached now; None while it can.
    """

    def __init__(
        self,
        url: str,
        lines: Lines,
        position: Position,
        *,
        timeout_s: float,
        session: Callable[[], aiohttp.ClientSession],
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        """Send to a daemon.

        Args:
            url: Its base, such as ``http://tsa.example:8008``.
            lines: Where they come from.
            position: Where to begin.
            timeout_s: How long a request may take, seconds.
            session: The connections.
            sleep: Waits between attempts.
        """
        self.url = url
        self.position = position
        self.refused = 0
        self.trouble: str | None = None
        self._target = url.rstrip("/") + "/publish_log_v1"
        self._lines = lines
        self._timeout_s = timeout_s
        self._session = session
        self._sleep = sleep
        self._takes_batches = True

    async def run(self) -> None:
        """Send until cancelled."""
        pause_s = PAUSE_FIRST_S
        while True:
            stretch = await self._lines.read(self.position, BATCH_LINES, BATCH_OCTETS)
            try:
                await self._send(stretch.lines)
            except _FailedError as error:
                self._note(str(error))
                await self._sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
                continue
            self._note(None)
            pause_s = PAUSE_FIRST_S
            self.position = stretch.end

    async def _send(self, lines: list[bytes]) -> None:
        if self._takes_batches:
            status, answer = await self._post(b"\n".join(lines), "application/x-ndjson")
            if 200 <= status < 300:
                self._count_refused(answer)
                return
            if not 400 <= status < 500 or status in _NOT_ABOUT_BATCHES:
                raise _FailedError(f"it answered {status} {_shown(answer)}")
            log.info("%s takes single records only", shown_source(self.url))
            self._takes_batches = False
        for start in range(0, len(lines), SINGLES_AT_ONCE):
            some = lines[start : start + SINGLES_AT_ONCE]
            answers = await asyncio.gather(
                *(self._post(line, "application/json") for line in some), return_exceptions=True
            )
            for one in answers:
                self._judge_single(one)

    def _judge_single(self, answer: Any) -> None:
        if isinstance(answer, BaseException):
            raise answer
        status, text = answer
        if status == 422:
            self._note_refused(1, _shown(text))
        elif not 200 <= status < 300:
            raise _FailedError(f"it answered {status} {_shown(text)}")

    async def _post(self, body: bytes, content_type: str) -> tuple[int, bytes]:
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._session().post(
                    self._target,
                    data=body,
                    headers={"Content-Type": content_type},
                    allow_redirects=False,
                ) as answer,
            ):
                return answer.status, await answer.content.read(65_536)
        except TimeoutError as error:
            raise _FailedError("it gave no answer in time") from error
        except aiohttp.ClientConnectorError as error:
            raise _FailedError(os_reason(error.os_error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise _FailedError(type(error).__name__) from error

    def _count_refused(self, answer: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError):
            told = msgspec.json.decode(answer)
            if isinstance(told, dict) and told.get("refused"):
                self._note_refused(int(told["refused"]), _shown(answer))

    def _note_refused(self, count: int, text: str) -> None:
        if not self.refused:
            log.error("%s refuses records: %s", shown_source(self.url), text)
        self.refused += count

    def _note(self, trouble: str | None) -> None:
        if trouble is not None and self.trouble is None:
            log.error("records for %s wait on disk: %s", shown_source(self.url), trouble)
        elif trouble is None and self.trouble is not None:
            log.info("%s takes records again", shown_source(self.url))
        self.trouble = trouble


def _shown(answer: bytes) -> str:
    text = " ".join(answer[:400].decode("utf-8", "replace").split())
    return "".join(mark if mark.isprintable() else " " for mark in text)[:200]
