"""The screen of this process's own terminal.

Place in flow: ``engine.cli.terminal`` opens it for the command line.

Invariants:
    * The terminal is as it was when the context ends: normally, with an error, or by a signal.
    * A signal that ends the process ends it with the status that a shell expects of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import termios
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TextIO

import click

from engine.cli.screen import AnsiScreen

#: Octets that are read at once.
_READ = 4096
_NO_TERMINAL = "standard input and output are no terminal: a script says --once or --json"
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@contextlib.asynccontextmanager
async def open_tty_screen(source: TextIO, target: TextIO) -> AsyncIterator[AnsiScreen]:
    """Take a terminal for a screen.

    Args:
        source: The keyboard.
        target: The screen.

    Raises:
        click.UsageError: One of them is no terminal.
    """
    if not (source.isatty() and target.isatty()):
        raise click.UsageError(_NO_TERMINAL)
    keyboard, out = source.fileno(), target.fileno()

    async def write(text: str) -> None:
        _write_all(out, text.encode("utf-8", "replace"))

    screen = AnsiScreen(write, lambda: _size_of(out))
    with _key_by_key(keyboard), _reading(keyboard, screen), _signals(screen.resized) as ended_by:
        try:
            async with screen:
                yield screen
        except asyncio.CancelledError:
            if ended_by:
                raise SystemExit(128 + ended_by[0]) from None
            raise


def _size_of(out: int) -> tuple[int, int]:
    try:
        size = os.get_terminal_size(out)
    except OSError:
        return 0, 0
    return size.columns, size.lines


def _write_all(out: int, octets: bytes) -> None:
    while octets:
        octets = octets[os.write(out, octets) :]


@contextlib.contextmanager
def _key_by_key(keyboard: int) -> Iterator[None]:
    """Let each key come at once, and unseen."""
    was = termios.tcgetattr(keyboard)
    wanted = termios.tcgetattr(keyboard)
    # Also the keys for signals and for stopping output: nothing may hold the screen while it is
    # taken.
    wanted[0] &= ~(termios.IXON | termios.ICRNL)
    wanted[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN)
    wanted[6][termios.VMIN], wanted[6][termios.VTIME] = 1, 0
    try:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, wanted)
        yield
    finally:
        # What was typed for the screen is not for the shell. A terminal that is gone has no modes.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSAFLUSH, was)


@contextlib.contextmanager
def _reading(keyboard: int, screen: AnsiScreen) -> Iterator[None]:
    """Feed the screen from the keyboard."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            octets = os.read(keyboard, _READ)
        except OSError:
            octets = b""
        if octets:
            screen.feed(octets)
        else:
            loop.remove_reader(keyboard)
            screen.closed()

    loop.add_reader(keyboard, read)
    try:
        yield
    finally:
        loop.remove_reader(keyboard)


@contextlib.contextmanager
def _signals(on_resized: Callable[[], None]) -> Iterator[list[int]]:
    """Cancel the present task for signals that end the process, and tell which one came."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    ended_by: list[int] = []

    def end(number: int) -> None:
        ended_by.append(number)
        task.cancel()

    was = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGWINCH)}
    for number in _ENDING:
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGWINCH, on_resized)
    try:
        yield ended_by
    finally:
        for number, handler in was.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
