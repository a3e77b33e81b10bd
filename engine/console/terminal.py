"""An operator's terminal at the other end of an SSH channel.

Place in flow: ``engine.console.channel`` feeds it what the operator types and tells it when there
is room; verbs write to it as to any ``Terminal``.

Invariants:
    * A reader that takes nothing holds up its own session only, and not for longer than
      ``SEND_S``: then the session is over.
    * What a person types while nobody reads is bounded, and Ctrl-C is always heard; a script waits.
    * Long answers stop at the foot of the screen, on a terminal; never on a pipe.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import click

from engine.cli.screen import AnsiScreen, Screen
from engine.model.console_options import IDLE_S

#: How long a full channel may stay full, seconds.
SEND_S = 60.0
#: Characters that wait for whoever reads next.
TYPED_MAX = 4096
#: Characters written at once.
WRITE_CHARS = 32 << 10
#: A terminal that does not say how large it is.
COLUMNS, ROWS = 80, 24

INTERRUPT = "\x03"
END_OF_INPUT = "\x04"
_NO_TERMINAL = "there is no terminal: ssh -t asks for one, a script says --once or --json"
_MORE = "-- more: space, enter, q --"
_WIPE = "\r" + " " * len(_MORE) + "\r"


class OutputLostError(Exception):
    """The operator is gone, or takes nothing any more."""


class EnoughError(Exception):
    """The operator has seen enough of an answer."""


class ChannelPort(Protocol):
    """An SSH channel, as the terminal uses it."""

    def write(self, text: str) -> None:
        """Send text."""

    def write_stderr(self, text: str) -> None:
        """Send text that is not part of the answer."""

    def size(self) -> tuple[int, int]:
        """Return columns and rows; zeros where they are not known."""

    def take_input(self, *, more: bool) -> None:
        """Have the client wait with its input, or go on."""


class ConsoleTerminal:
    """The terminal of one session.

    Args:
        channel: Where it is.
        has_pty: Whether a person sits there.
        has_colour: Whether it shows colours.
        idle_s: How long whoever is asked may say nothing, seconds.
    """

    def __init__(
        self,
        channel: ChannelPort,
        *,
        has_pty: bool,
        has_colour: bool = False,
        idle_s: float = IDLE_S,
    ) -> None:
        self._idle_s = idle_s
        self.is_interactive = has_pty
        self.has_colour = has_colour
        self.pages = has_pty
        self.is_lost = False
        self._channel = channel
        self._room = asyncio.Event()
        self._room.set()
        self._typed: deque[str] = deque()
        self._arrived = asyncio.Event()
        self._at_end = False
        self._reader: Callable[[str], None] | None = None
        self._reader_end: Callable[[], None] | None = None
        self.on_interrupt: Callable[[], None] | None = None
        self._screen: AnsiScreen | None = None
        self._shown_rows = 0

    # -- size ---------------------------------------------------------------------------------

    @property
    def columns(self) -> int | None:
        """Return how wide it is; None for a pipe."""
        if not self.is_interactive:
            return None
        return max(20, min(self._channel.size()[0] or COLUMNS, 1000))

    @property
    def rows(self) -> int:
        """Return how high it is."""
        return max(5, min(self._channel.size()[1] or ROWS, 500))

    def resized(self) -> None:
        """Take note that the operator's window has another size."""
        if self._screen is not None:
            self._screen.resized()

    # -- out ----------------------------------------------------------------------------------

    def set_room(self, has_room: bool) -> None:
        """Note whether the channel takes more."""
        if has_room:
            self._room.set()
        else:
            self._room.clear()

    def begin_answer(self, *, pages: bool) -> None:
        """Begin at the top of the screen.

        Args:
            pages: Whether to stop at its foot.
        """
        self.pages = pages and self.is_interactive
        self._shown_rows = 0

    async def write(self, text: str) -> None:
        """Write text, screen by screen where that is wanted."""
        if not self.pages:
            await self._send(text, self._channel.write)
            return
        for line in text.splitlines(keepends=True):
            height = 1 + max(0, len(line.rstrip("\n")) - 1) // (self.columns or COLUMNS)
            if self._shown_rows + height >= self.rows:
                await self._wait_for_more()
            self._shown_rows += height
            await self._send(line, self._channel.write)

    async def note(self, text: str) -> None:
        """Write text that is not part of the answer."""
        await self._send(text, self._channel.write_stderr)

    async def _send(self, text: str, write: Callable[[str], None]) -> None:
        if self.is_interactive:
            text = text.replace("\n", "\r\n")
        for at in range(0, len(text), WRITE_CHARS):
            if self.is_lost:
                raise OutputLostError
            write(text[at : at + WRITE_CHARS])
            try:
                async with asyncio.timeout(SEND_S):
                    await self._room.wait()
            except TimeoutError:
                self.is_lost = True
                raise OutputLostError from None

    def write_raw(self, text: str) -> None:
        """Draw at once, or not at all where the channel is full: it is drawn again."""
        if self._room.is_set() and not self.is_lost:
            self._channel.write(text)

    async def _wait_for_more(self) -> None:
        await self._send(_MORE, self._channel.write_stderr)
        try:
            while True:
                key = await self.read_typed()
                if key in (" ", "f"):
                    self._shown_rows = 0
                    return
                if key in ("\r", "\n", "j"):
                    self._shown_rows -= 1
                    return
                if key in ("q", "Q", "\x1b", END_OF_INPUT, ""):
                    raise EnoughError
        finally:
            if not self.is_lost:
                await self._send(_WIPE, self._channel.write_stderr)

    # -- in -----------------------------------------------------------------------------------

    def feed(self, text: str) -> None:
        """Take what was typed."""
        if INTERRUPT in text and self._reader is None and self.on_interrupt is not None:
            # Whatever was typed before is about something that ends now.
            text = text.rpartition(INTERRUPT)[2]
            self._typed.clear()
            self.on_interrupt()
        if self._reader is not None:
            self._reader(text)
        elif text and (not self.is_interactive or len(self._typed) + len(text) <= TYPED_MAX):
            self._typed.extend(text)
            self._arrived.set()
            if len(self._typed) > TYPED_MAX:
                # A script: nothing of it may be lost.
                self._channel.take_input(more=False)

    def give_back(self, text: str) -> None:
        """Take back what a reader was given and did not need: whoever reads next gets it first."""
        if text:
            self._typed.extendleft(reversed(text))
            self._arrived.set()

    def feed_end(self) -> None:
        """Note that nothing more will be typed."""
        self._at_end = True
        self._arrived.set()
        if self._reader_end is not None:
            self._reader_end()

    async def read_typed(self) -> str:
        """Return the next character; empty when nothing comes any more."""
        while not self._typed:
            if self._at_end or self.is_lost:
                return ""
            self._arrived.clear()
            try:
                async with asyncio.timeout(self._idle_s):
                    await self._arrived.wait()
            except TimeoutError:
                # Whoever is asked and says nothing keeps a place from others.
                raise OutputLostError from None
        char = self._typed.popleft()
        if len(self._typed) == TYPED_MAX:
            self._channel.take_input(more=True)
        return char

    async def read_line(self, chars_max: int) -> tuple[str, bool]:
        """Return the next line without its end, and whether it is the last.

        Args:
            chars_max: A longer one is returned when it is one character longer.
        """
        chars: list[str] = []
        while len(chars) <= chars_max:
            char = await self.read_typed()
            if char in ("\n", ""):
                return "".join(chars), not char
            chars.append(char)
        return "".join(chars), True

    @asynccontextmanager
    async def reading(
        self, reader: Callable[[str], None], on_end: Callable[[], None]
    ) -> AsyncIterator[None]:
        """Give what is typed to a reader of its own meanwhile, Ctrl-C included.

        Args:
            reader: Takes text.
            on_end: Called when nothing more will be typed.
        """
        before, self._reader = self._reader, reader
        self._reader_end = on_end
        waiting = "".join(self._typed)
        self._typed.clear()
        if waiting:
            reader(waiting)
        if self._at_end:
            on_end()
        try:
            yield
        finally:
            self._reader = before
            self._reader_end = None

    async def ask(self, question: str) -> str:
        """Return what a person answers: a line, which they may correct with the erase key."""
        await self.note(question)
        answer = ""
        while True:
            char = await self.read_typed()
            if char in ("\r", "\n", END_OF_INPUT, ""):
                await self.note("\n")
                return answer
            if char in ("\x7f", "\b"):
                if answer:
                    answer = answer[:-1]
                    await self.note("\b \b")
            elif char.isprintable() and len(answer) < TYPED_MAX:
                answer += char
                await self.note(char)

    # -- a whole screen -----------------------------------------------------------------------

    @asynccontextmanager
    async def screen(self) -> AsyncIterator[Screen]:
        """Take the whole screen. See ``engine.cli.terminal.Terminal``."""
        if not self.is_interactive:
            raise click.UsageError(
                "there is no terminal: ssh -t asks for one, a script says --once or --json"
            )

        async def write(text: str) -> None:
            try:
                await self._send(text, self._channel.write)
            except OutputLostError:
                made.closed()

        made = AnsiScreen(write, self._channel.size)
        self._screen = made
        try:
            async with self.reading(lambda text: made.feed(text.encode()), made.closed), made:
                yield made
        finally:
            self._screen = None
