"""A screen that is drawn again and again: what a live view needs of a terminal.

Place in flow: a verb gets one of ``Terminal.screen``. ``AnsiScreen`` knows neither sockets nor
files: the command line (``engine.cli.tty_screen``) and the console each give it their way out, and
feed it with what comes in.

Invariants:
    * Only lines that changed are sent, in one piece, so that nothing flickers and a slow line
      carries little.
    * A line cannot spill into the next one: the terminal does not wrap.
    * Sizes and unread keys are bounded, whatever a client claims or sends.
    * Whoever leaves the screen finds the terminal as it was.

Standard: ECMA-48, and the private modes 7, 25 and 1049 of xterm.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from rich.cells import cell_len

from engine.cli.keys import KeyDecoder

#: A size that a client does not say, or that no screen has.
COLUMNS, ROWS = 80, 24
COLUMNS_MAX, ROWS_MAX = 500, 200
#: Keys that wait for somebody who reads them; what comes faster is lost.
KEYS_MAX = 256
#: How long the rest of a sequence may take before its beginning is the key Esc, seconds.
ESC_S = 0.1

#: Told instead of a key: the size is another one, or nothing will come any more.
RESIZED = "resized"
CLOSED = "closed"

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_STYLED = re.compile(r"\x1b\[[0-9;]*m")


class Screen(Protocol):
    """A screen of its own, until its context ends."""

    @property
    def columns(self) -> int:
        """Return how wide it is."""

    @property
    def rows(self) -> int:
        """Return how high it is."""

    async def draw(self, lines: Sequence[str]) -> None:
        """Show lines from the top; returns when there is room for more.

        Args:
            lines: Text with no control character but those of colours, no wider than the screen.
        """

    async def next_key(self, timeout_s: float) -> str | None:
        """Return the next key; None when none was pressed in time.

        It is a character, or a name as in ``engine.cli.keys``, or ``RESIZED``; ``CLOSED`` when the
        person is gone.

        Args:
            timeout_s: How long to wait, seconds.
        """


class AnsiScreen:
    """A screen at the other end of a stream of text.

    Entered, it takes the screen; left, it gives it back.

    Args:
        write: Sends text, and returns when there is room for more.
        size: Says columns and rows, as they are now.
    """

    def __init__(
        self, write: Callable[[str], Awaitable[None]], size: Callable[[], tuple[int, int]]
    ) -> None:
        self._write = write
        self._ask_size = size
        self._decoder = KeyDecoder()
        self._keys: deque[str] = deque(maxlen=KEYS_MAX)
        self._arrived = asyncio.Event()
        self._settling: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._drawn: list[str] | None = None
        self._drawn_size = (0, 0)

    @property
    def columns(self) -> int:
        """Return how wide it is."""
        return self._size()[0]

    @property
    def rows(self) -> int:
        """Return how high it is."""
        return self._size()[1]

    def _size(self) -> tuple[int, int]:
        columns, rows = self._ask_size()
        # A client that knows no size says nought.
        return (
            min(columns, COLUMNS_MAX) if columns > 0 else COLUMNS,
            min(rows, ROWS_MAX) if rows > 0 else ROWS,
        )

    async def __aenter__(self) -> AnsiScreen:
        await self._write(_ENTER)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._settling is not None:
            self._settling.cancel()
        # Whoever is gone needs no screen.
        with contextlib.suppress(OSError):
            await self._write(_LEAVE)

    async def draw(self, lines: Sequence[str]) -> None:
        """Show lines. See ``Screen``."""
        size = self._size()
        before = self._drawn if size == self._drawn_size else None
        wanted = list(lines[: size[1]])
        text = write_changes(before, wanted, size[0])
        self._drawn, self._drawn_size = wanted, size
        if text:
            await self._write(text)

    def forget(self) -> None:
        """Draw everything the next time: somebody else wrote on the screen."""
        self._drawn = None

    async def next_key(self, timeout_s: float) -> str | None:
        """Return the next key. See ``Screen``."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self._keys:
                    if self._is_closed:
                        return CLOSED
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None
        return self._keys.popleft()

    def feed(self, octets: bytes) -> None:
        """Take what came from the keyboard."""
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        self._add(self._decoder.feed(octets))
        if self._decoder.is_halfway:
            loop = asyncio.get_running_loop()
            self._settling = loop.call_later(ESC_S, self._settle)

    def resized(self) -> None:
        """Take note that the size changed."""
        if RESIZED not in self._keys:
            self._add([RESIZED])

    def closed(self) -> None:
        """Take note that nothing will come from the keyboard any more."""
        self._is_closed = True
        self._arrived.set()

    def _settle(self) -> None:
        self._settling = None
        self._add(self._decoder.flush())

    def _add(self, keys: Sequence[str]) -> None:
        if keys:
            self._keys.extend(keys)
            self._arrived.set()


def write_changes(before: Sequence[str] | None, after: Sequence[str], columns: int) -> str:
    """Return what makes one picture of another.

    Args:
        before: The lines on the screen; None when nobody knows.
        after: The lines that are wanted.
        columns: How wide the screen is.
    """
    parts = []
    if before is None:
        parts.append("\x1b[0m\x1b[2J")
        before = ()
    for number, line in enumerate(after):
        if number < len(before) and before[number] == line:
            continue
        parts.append(f"\x1b[{number + 1};1H{line}")
        if "\x1b" in line:
            parts.append("\x1b[0m")
        # Behind a line that is full the cursor stands on its last character: it would be erased.
        if number < len(before) and cell_len(_STYLED.sub("", line)) < columns:
            parts.append("\x1b[K")
    parts += [f"\x1b[{number + 1};1H\x1b[K" for number in range(len(after), len(before))]
    return "".join(parts)
