"""The terminal of a process as a screen: in a pseudo-terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import termios

import click
import pytest

from engine.cli.screen import CLOSED, RESIZED
from engine.cli.tty_screen import open_tty_screen

pytestmark = pytest.mark.real_time


class Pseudo:
    """A pseudo-terminal that stands for standard input and output."""

    def __init__(self) -> None:
        self.keyboard, self.process_end = pty.openpty()
        self.file = os.fdopen(self.process_end, "r+b", buffering=0)
        self.resize(80, 24)
        self.modes = termios.tcgetattr(self.process_end)

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.process_end

    def resize(self, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.process_end, termios.TIOCSWINSZ, size)

    def press(self, octets: bytes) -> None:
        os.write(self.keyboard, octets)

    def shown(self, end: bytes) -> bytes:
        """Return what was written, up to its end: it may come in pieces."""
        octets = b""
        while not octets.endswith(end):
            assert select.select([self.keyboard], [], [], 10)[0], octets
            octets += os.read(self.keyboard, 65536)
        return octets

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.process_end) == self.modes


@pytest.fixture
def pseudo():
    made = Pseudo()
    yield made
    made.file.close()
    os.close(made.keyboard)


async def test_keys_come_at_once_and_are_not_seen(pseudo):
    async with open_tty_screen(pseudo, pseudo) as screen:
        pseudo.press(b"q\x1b[A\x03\x1a\x13")
        keys = [await screen.next_key(5) for _ in range(3)]
        await screen.draw(["drawn"])

        assert keys == ["q", "up", "ctrl-c"]
        assert b"^" not in pseudo.shown(b"drawn")
    assert pseudo.is_as_before()
    assert pseudo.shown(b"\x1b[?1049l")


async def test_an_error_gives_the_terminal_back(pseudo):
    with pytest.raises(ZeroDivisionError):
        async with open_tty_screen(pseudo, pseudo):
            assert not pseudo.is_as_before()
            raise ZeroDivisionError
    assert pseudo.is_as_before()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_signal_gives_the_terminal_back_and_ends_with_its_status(pseudo, number):
    handler = signal.getsignal(number)
    ended: list[int] = []

    async def act() -> None:
        # Not let out of the task: it would end the loop of the test as well.
        try:
            async with open_tty_screen(pseudo, pseudo) as screen:
                os.kill(os.getpid(), number)
                await screen.next_key(30)
        except SystemExit as end:
            ended.append(end.code)

    await asyncio.get_running_loop().create_task(act())

    assert ended == [128 + number]
    assert pseudo.is_as_before()
    assert signal.getsignal(number) is handler


async def test_another_size_is_noticed(pseudo):
    async with open_tty_screen(pseudo, pseudo) as screen:
        assert (screen.columns, screen.rows) == (80, 24)
        pseudo.resize(100, 30)
        os.kill(os.getpid(), signal.SIGWINCH)

        assert await screen.next_key(5) == RESIZED
        assert (screen.columns, screen.rows) == (100, 30)


async def test_a_terminal_that_goes_away_is_noticed():
    gone = Pseudo()
    async with open_tty_screen(gone, gone) as screen:
        os.close(gone.keyboard)

        assert await screen.next_key(5) == CLOSED
    gone.file.close()


async def test_a_pipe_is_refused(pseudo):
    reads, writes = os.pipe()
    with os.fdopen(reads) as pipe, os.fdopen(writes, "w"):
        with pytest.raises(click.UsageError, match="no terminal"):
            async with open_tty_screen(pipe, pseudo):
                pass
