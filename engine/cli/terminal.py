"""Where a verb writes: the terminal of an operator, or a pipe.

Place in flow: ``StandardTerminal`` is that of the command line, the console has one a session;
verbs write to it through ``engine.cli.verb.Session``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import click

from engine.cli.screen import Screen
from engine.cli.tty_screen import open_tty_screen


class Terminal(Protocol):
    """What a verb may do with whoever asked.

    Attributes:
        is_interactive: Whether a person sits there, who can be asked.
        has_colour: Whether colours are wanted.
    """

    is_interactive: bool
    has_colour: bool

    @property
    def columns(self) -> int | None:
        """Return how wide it is; None where nothing bounds it."""

    @property
    def rows(self) -> int:
        """Return how high it is."""

    async def write(self, text: str) -> None:
        """Write text; returns when there is room for more."""

    async def note(self, text: str) -> None:
        """Write text that is not part of the answer."""

    async def ask(self, question: str) -> str:
        """Return what a person answers, without the line's end."""

    def screen(self) -> AbstractAsyncContextManager[Screen]:
        """Return the screen as a whole, for a live view; it is given back when the context ends.

        Raises:
            click.UsageError: When it is entered: there is none.
        """


class StandardTerminal:
    """Standard input and output of this process."""

    def __init__(self) -> None:
        self.is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self.has_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    @property
    def columns(self) -> int | None:
        """Return how wide it is; None for a file or a pipe."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    @property
    def rows(self) -> int:
        """Return how high it is."""
        return shutil.get_terminal_size().lines

    async def write(self, text: str) -> None:
        """Write text."""
        click.echo(text, nl=False)

    async def note(self, text: str) -> None:
        """Write text to standard error."""
        click.echo(text, nl=False, err=True)

    async def ask(self, question: str) -> str:
        """Return what a person answers."""
        click.echo(question, nl=False, err=True)
        line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        return str(line).strip()

    def screen(self) -> AbstractAsyncContextManager[Screen]:
        """Return the screen as a whole. See ``Terminal``."""
        return open_tty_screen(sys.stdin, sys.stdout)
