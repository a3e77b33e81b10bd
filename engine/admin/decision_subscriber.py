"""Decisions of the automation, from the first of its daemons that can be reached.

Place in flow: ``engine.automation`` runs one for the node; frames go into ``decision_book``, the
overlay into ``engine.control.shaping_overrides``.

Invariants:
    * After each connect the whole state of the daemon is taken anew: what it decided before and
      does not name any more is taken back once its snapshot has ended.
    * What is known stays in force while nobody can be reached; that is said once, and counted.
    * A frame that cannot be understood is skipped and counted; the others around it count.
    * Frames that wait are bounded; so is the time of each request.

Failure: a daemon that ends or cannot be reached makes room for the next of the list; after a round
of all there is a pause of at most ``PAUSE_MAX_S``.

Standard: the websocket ``/subscribe_event_v1``, for older daemons ``/subscribe_suspension_v1``; the
overlay at ``/get_config_v1/shaping.toml``, asked for when ``ShapingChanged`` says so, and now and
then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from engine.admin.decision_book import DecisionBook
from engine.admin.decision_file import keep, load_decisions, save_decisions
from engine.base.clock import Clock
from engine.base.data_file import DataFileError
from engine.base.lifecycle import Supervisor
from engine.base.os_reason import os_reason
from engine.base.shaping_source import FetchError, fetch, parse_shaping, shown_source
from engine.control.shaping_overrides import ShapingOverrides
from engine.model.decision import SHAPING_CHANGED, Decision, DecisionKind, parse_frame

log = logging.getLogger("cirrus.automation")

#: Seconds that a connect, or a fetch of the overlay, may take.
CONNECT_S = 3.0
#: How long the stop waits for a task, and for the disk, seconds.
STOP_S = 5.0
#: Pauses after a round in which no daemon could be reached, seconds.
PAUSE_FIRST_S = 0.25
PAUSE_MAX_S = 2.0
#: Signs of life on the websocket, seconds; two without an answer end it.
HEARTBEAT_S = 10.0
#: How often the overlay is asked for though nobody says that it changed, seconds.
OVERLAY_S = 60.0
#: An overlay that failed is asked for again after this time, seconds.
OVERLAY_AGAIN_S = 1.0
#: The least time between two requests for the overlay, seconds, and as a multiple of what the last
#: one took: a large overlay that changes all the time must not take the machine.
OVERLAY_GAP_S = 0.2
OVERLAY_GAP_SHARE = 2.0
#: How often what changed is written down, seconds.
SAVE_S = 1.0
#: Frames that wait, and those that are taken together.
FRAMES_MAX = 10_000
#: Octets of one frame.
FRAME_OCTETS = 1 << 20
OVERLAY_PATH = "/get_config_v1/shaping.toml"
#: Paths of the websocket, and what its older frames are called today.
_PATHS = ("/subscribe_event_v1", "/subscribe_suspension_v1")
_LEGACY = {
    "ReadyQ": DecisionKind.SUSPEND_READY.value,
    "SchedQ": DecisionKind.SUSPEND_SCHEDULED.value,
}
#: Port: run a function beside the event loop.
InThread = Callable[..., Awaitable[Any]]


class _EndedError(Exception):
    """A daemon cannot be followed now; the text says why, for people."""


class DecisionSubscriber:
    """Follows the decisions of one daemon at a time.

    Attributes:
        connected: The URL of the daemon that is followed; empty while there is none.
        trouble: Why none can be reached; None while one is, or nobody tried yet.
        bad_frames: Frames that were skipped.
        is_off: Whether an operator has the node obey nobody.
    """

    def __init__(
        self,
        book: DecisionBook,
        overrides: ShapingOverrides,
        file: Path,
        clock: Clock,
        supervisor: Supervisor,
        *,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        """Make a subscriber.

        Args:
            book: Takes decisions about queues.
            overrides: Takes the overlay.
            file: Where both are kept over a restart.
            clock: Of the node.
            supervisor: Owns the tasks.
            sleep: Waits between attempts.
            in_thread: Runs a function beside the event loop.
        """
        self.connected = ""
        self.trouble: str | None = None
        self.bad_frames = 0
        self.is_off = False
        self._book = book
        self._overrides = overrides
        self._file = file
        self._mono = clock.mono
        self._supervisor = supervisor
        self._sleep = sleep
        self._in_thread = in_thread
        self._urls: tuple[str, ...] = ()
        self._following: asyncio.Task[Any] | None = None
        self._keeping: asyncio.Task[Any] | None = None
        self._is_unsaved = False
        self._saving = asyncio.Lock()
        self._failing_overlay = ""
        self._overlay_at = 0.0
        self._overlay_soonest = 0.0

    # -- at work --------------------------------------------------------------------------------

    async def start(self, urls: Sequence[str]) -> None:
        """Take back what was known before a restart, and follow one of these daemons."""
        await self._recall()
        self._keeping = self._supervisor.start(self._save_forever(), "decisions-kept")
        await self.follow(urls)

    async def follow(self, urls: Sequence[str]) -> None:
        """Follow one of these daemons; what others decided is taken back."""
        self._urls = tuple(urls)
        await self._end(self._following)
        self._following = None
        gone = self._book.origins() - set(urls)
        for origin in gone:
            self._note_change(self._book.drop(origin))
        if self._overrides.origin not in self._urls:
            self._note_change(self._overrides.clear())
        self.trouble = None
        if self._urls and not self.is_off:
            self._following = self._supervisor.start(self._run(), "decisions")

    async def switch(self, *, is_off: bool) -> None:
        """Obey nobody from now on, or again those that the policy names."""
        if is_off == self.is_off:
            return
        self.is_off = is_off
        self._is_unsaved = True
        urls = self._urls
        await self.follow(() if is_off else urls)
        self._urls = urls
        await self._save()

    async def stop(self) -> None:
        """End; what is known is written down first."""
        await self._end(self._following)
        # Cancelled at work it would leave the file to a thread that may not have begun.
        try:
            async with asyncio.timeout(STOP_S):
                await self._save()
        except TimeoutError:
            log.error("what the automation decided cannot be kept: the disk does not answer")
        await self._end(self._keeping)
        self._following = self._keeping = None

    @staticmethod
    async def _end(task: asyncio.Task[Any] | None) -> None:
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=STOP_S)

    async def _run(self) -> None:
        """Follow the daemons in turn until cancelled, always one that answers."""
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        ) as session:
            number, pause_s, reasons = 0, PAUSE_FIRST_S, dict[str, str]()
            while True:
                url = self._urls[number % len(self._urls)]
                began = self._mono()
                try:
                    await self._follow(session, url)
                except _EndedError as error:
                    reasons[url] = str(error)
                except Exception:  # boundary: supervisor
                    log.exception("following the decisions of %s failed", shown_source(url))
                    reasons[url] = "a defect"
                was_connected, self.connected = bool(self.connected), ""
                if was_connected and self._mono() - began > PAUSE_MAX_S:
                    # It was up for a while: most likely it restarts, and is back soonest.
                    log.warning("%s: %s", shown_source(url), reasons[url])
                    pause_s, reasons = PAUSE_FIRST_S, {}
                    await self._sleep(PAUSE_FIRST_S)
                    continue
                number += 1
                if number % len(self._urls) == 0:
                    self._note_trouble(reasons)
                    await self._sleep(pause_s)
                    pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _note_trouble(self, reasons: dict[str, str]) -> None:
        text = "; ".join(f"{shown_source(url)}: {why}" for url, why in reasons.items())
        if self.trouble is None:
            log.error("no TSA can be reached (%s); what is known stays in force", text)
        self.trouble = text

    # -- one daemon -----------------------------------------------------------------------------

    async def _follow(self, session: aiohttp.ClientSession, url: str) -> None:
        """Follow a daemon until it ends.

        Raises:
            _EndedError: It ended, or could not be reached.
        """
        socket = await self._connect(session, url)
        frames: asyncio.Queue[Any] = asyncio.Queue(FRAMES_MAX)
        reading = self._supervisor.start(_read(socket, frames), f"decisions {shown_source(url)}")
        try:
            self._book.begin_snapshot(url)
            self.connected = url
            if self.trouble is not None:
                log.info("%s can be reached again", shown_source(url))
            self.trouble = None
            self._overlay_at = 0.0
            while True:
                await self._take_frames(url, await self._next(frames))
                await self._look_at_overlay(url)
        finally:
            reading.cancel()
            with contextlib.suppress(TimeoutError, ConnectionError, RuntimeError):
                async with asyncio.timeout(1.0):
                    await socket.close()

    async def _connect(
        self, session: aiohttp.ClientSession, url: str
    ) -> aiohttp.ClientWebSocketResponse:
        for path in _PATHS:
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await session.ws_connect(
                        url.rstrip("/") + path, heartbeat=HEARTBEAT_S, max_msg_size=FRAME_OCTETS
                    )
            except aiohttp.WSServerHandshakeError as error:
                if error.status != 404:
                    raise _EndedError(f"it answered {error.status}") from error
            except TimeoutError as error:
                raise _EndedError("it gave no answer in time") from error
            except aiohttp.ClientConnectorError as error:
                raise _EndedError(os_reason(error.os_error)) from error
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise _EndedError(type(error).__name__) from error
        raise _EndedError("it tells no decisions there")

    async def _next(self, frames: asyncio.Queue[Any]) -> list[Any]:
        """Return the frames that came; none when it is time to look at the overlay."""
        wait_s = max(0.0, self._overlay_at - self._mono())
        try:
            async with asyncio.timeout(wait_s):
                found = [await frames.get()]
        except TimeoutError:
            return []
        while not frames.empty() and len(found) < FRAMES_MAX:
            found.append(frames.get_nowait())
        return found

    async def _take_frames(self, url: str, frames: Sequence[Any]) -> None:
        decisions: list[Decision] = []
        for frame in frames:
            if isinstance(frame, _EndedError):
                self._note_change(self._book.take(url, decisions))
                raise frame
            is_change, decision = self._understand(frame)
            if decision is not None:
                decisions.append(decision)
            if is_change:
                # The first of a connection also ends its snapshot.
                self._note_change(self._book.take(url, decisions))
                self._note_change(self._book.end_snapshot(url))
                decisions = []
                soonest = max(self._mono(), self._overlay_soonest)
                self._overlay_at = min(self._overlay_at, soonest)
        self._note_change(self._book.take(url, decisions))

    def _understand(self, frame: str | bytes) -> tuple[bool, Decision | None]:
        """Return whether a frame says that the overlay changed, and the decision it holds."""
        try:
            content = msgspec.json.decode(frame)
            if isinstance(content, dict) and len(content) == 1:
                ((name, inner),) = content.items()
                if name == SHAPING_CHANGED:
                    return True, None
                content = {_LEGACY.get(name, name): inner}
            return False, parse_frame(content)
        except ValueError as error:
            if not self.bad_frames:
                log.error("a frame of the TSA is skipped: %s", error)
            self.bad_frames += 1
            return False, None

    # -- the overlay ----------------------------------------------------------------------------

    async def _look_at_overlay(self, url: str) -> None:
        """Get the overlay if it is time."""
        if self._mono() < self._overlay_at:
            return
        began, again_s = self._mono(), OVERLAY_S
        try:
            text = await fetch(url.rstrip("/") + OVERLAY_PATH, CONNECT_S)
            name = shown_source(url) + OVERLAY_PATH
            layer = await self._in_thread(parse_shaping, text, name, is_remote=True)
        except (FetchError, DataFileError) as error:
            trouble = str(error)
            again_s = OVERLAY_AGAIN_S
        else:
            trouble = ""
            self._note_change(self._overrides.replace(url, text, layer))
        if trouble and trouble != self._failing_overlay:
            log.error("the overlay of %s: %s; the last one stays", shown_source(url), trouble)
        self._failing_overlay = trouble
        now = self._mono()
        self._overlay_at = now + again_s
        self._overlay_soonest = now + max(OVERLAY_GAP_S, OVERLAY_GAP_SHARE * (now - began))

    # -- over a restart -------------------------------------------------------------------------

    def _note_change(self, is_changed: bool) -> None:
        self._is_unsaved = self._is_unsaved or is_changed

    async def _recall(self) -> None:
        try:
            kept = await self._in_thread(load_decisions, self._file)
            self.is_off = kept.is_off
            for origin, decisions in kept.decisions():
                self._book.take(origin, decisions)
            if kept.overlay:
                text = kept.overlay.encode()
                name = shown_source(kept.overlay_origin) + OVERLAY_PATH
                layer = await self._in_thread(parse_shaping, text, name, is_remote=True)
                self._overrides.replace(kept.overlay_origin, text, layer)
        except (OSError, DataFileError) as error:
            log.error("what the automation decided before cannot be read: %s", error)

    async def _save_forever(self) -> None:
        while True:
            await self._sleep(SAVE_S)
            self._book.prune()
            await self._save()

    async def _save(self) -> None:
        # One at a time: a thread that is late must not write what was so before over what is so.
        async with self._saving:
            if self._is_unsaved:
                self._is_unsaved = False
                await self._write()

    async def _write(self) -> None:
        kept = keep(
            ((one.origin, one.decision) for one in self._book.everything()),
            is_off=self.is_off,
            origin=self._overrides.origin,
            overlay=self._overrides.text,
        )
        try:
            await self._in_thread(save_decisions, self._file, kept)
        except OSError as error:
            log.error("what the automation decided cannot be kept: %s", error)


async def _read(socket: aiohttp.ClientWebSocketResponse, frames: asyncio.Queue[Any]) -> None:
    """Hand the frames of a daemon on; the last thing is why there are no more."""
    why = "the connection ended"
    try:
        async for message in socket:
            if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                await frames.put(message.data)
            elif message.type is aiohttp.WSMsgType.ERROR:
                why = f"the connection broke: {type(message.data).__name__}"
    except (aiohttp.ClientError, OSError) as error:
        why = f"the connection broke: {type(error).__name__}"
    await frames.put(_EndedError(why))
