"""One SSH session channel: a shell, one line of ``ssh``, or a script on its standard input.

Place in flow: made by ``engine.console.server`` for each channel that a client opens; runs lines by
``engine.console.line``, and ``engine.console.shell`` for whoever sits at a terminal.

Invariants:
    * Nothing but the console's verbs: subsystems, SFTP and agents are refused, a command that is
      no verb is wrong usage.
    * When the channel is gone, what ran for it ends.
    * A channel on which nothing is asked for ends after ``REQUEST_S``; what a client wants to be in
      the environment is not even kept.
    * A session ends: after the idle time at its prompt, and in any case after ``SESSION_MAX_S``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import asyncssh

from engine.base.command_line import FAILED, FINE
from engine.base.lifecycle import Supervisor
from engine.console.catalogue import ALIASES, console_verbs
from engine.console.line import LINE_MAX, LeaveError, run_line
from engine.console.local_node import LocalNode
from engine.console.shell import Shell
from engine.console.terminal import ConsoleTerminal, OutputLostError

log = logging.getLogger("cirrus.console")

#: The longest that a session may last, whatever it does, seconds.
SESSION_MAX_S = 24 * 3600.0
#: How long a client may take to say what it wants of a channel, seconds.
REQUEST_S = 30.0
#: Octets that wait for a reader before a verb waits.
WRITE_HIGH = 256 << 10
#: What a client that was ended by Ctrl-C is told, as shells do.
INTERRUPTED = 130


def _nothing() -> None:
    return


class _NoEnvironment(dict[bytes, bytes]):
    """The environment of a session: the library would keep whatever a client sends."""

    def __setitem__(self, key: bytes, value: bytes) -> None:
        """Keep nothing."""


class ConsoleChannel(asyncssh.SSHServerSession[str]):
    """A session channel.

    Args:
        node: The node, as this operator reaches it.
        supervisor: Starts its task.
        idle_s: How long nothing may be typed at the prompt, seconds.
        on_end: Called when nothing runs in the channel any more.
        on_closed: Called when the channel is gone.
    """

    def __init__(
        self,
        node: LocalNode,
        supervisor: Supervisor,
        idle_s: float,
        on_end: Callable[[], None],
        on_closed: Callable[[], None] = _nothing,
    ) -> None:
        self._node = node
        self._supervisor = supervisor
        self._idle_s = idle_s
        self._on_end = on_end
        self._on_closed = on_closed
        self._waiting: asyncio.TimerHandle | None = None
        self._verbs = console_verbs()
        self._chan: asyncssh.SSHServerChannel[str] | None = None
        self._command: str | None = None
        self._term = ""
        self._terminal: ConsoleTerminal | None = None
        self._shell: Shell | None = None
        self._task: asyncio.Task[Any] | None = None

    # -- what the library tells ---------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[str]) -> None:
        """Take the channel."""
        self._chan = chan
        chan._env = _NoEnvironment()
        chan.set_write_buffer_limits(high=WRITE_HIGH)
        self._waiting = asyncio.get_running_loop().call_later(REQUEST_S, chan.abort)

    def pty_requested(self, term_type: str | None, term_size: Any, term_modes: Any) -> bool:
        """Have a terminal."""
        self._term = (term_type or "dumb")[:64]
        return True

    def shell_requested(self) -> bool:
        """Have a prompt, or take a script."""
        return True

    def exec_requested(self, command: str) -> bool:
        """Take one line."""
        self._command = command
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        """Have none: no files go through a console."""
        self._node.note_denied("console-subsystem", f"the console has no {subsystem[:64]!r}")
        return False

    def session_started(self) -> None:
        """Begin."""
        assert self._chan is not None
        if self._waiting is not None:
            self._waiting.cancel()
        has_pty = bool(self._term)
        self._terminal = ConsoleTerminal(
            self, has_pty=has_pty, has_colour=has_pty and self._term != "dumb", idle_s=self._idle_s
        )
        self._terminal.on_interrupt = self._interrupt
        if self._command is None and has_pty:
            self._shell = Shell(self._node, self._terminal, self._supervisor, self._idle_s)
        self._task = self._supervisor.start(self._run(self._terminal), "console-session")

    def data_received(self, data: str, datatype: Any) -> None:
        """Take what was typed."""
        if self._terminal is not None:
            self._terminal.feed(data)

    def eof_received(self) -> bool:
        """Note that nothing more will be typed; what runs goes on."""
        if self._terminal is not None:
            self._terminal.feed_end()
        return True

    def break_received(self, msec: int) -> bool:
        """Take it for Ctrl-C."""
        self._interrupt()
        return True

    def signal_received(self, signal: str) -> None:
        """Take the usual ones for Ctrl-C."""
        if signal in ("INT", "TERM", "HUP", "QUIT"):
            self._interrupt()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """Draw the prompt or the live view anew."""
        if self._shell is not None:
            self._shell.resize()
        if self._terminal is not None:
            self._terminal.resized()

    def pause_writing(self) -> None:
        """Have the verb wait."""
        if self._terminal is not None:
            self._terminal.set_room(False)

    def resume_writing(self) -> None:
        """Let the verb go on."""
        if self._terminal is not None:
            self._terminal.set_room(True)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what ran."""
        if self._terminal is not None:
            self._terminal.is_lost = True
            self._terminal.set_room(True)
            self._terminal.feed_end()
        if self._waiting is not None:
            self._waiting.cancel()
        if self._task is not None:
            self._task.cancel()
        self._give_place_back()
        self._on_closed()

    # -- the channel, as the terminal uses it --------------------------------------------------

    def write(self, text: str) -> None:
        """Send text."""
        self._send(text, is_note=False)

    def write_stderr(self, text: str) -> None:
        """Send text that is not part of the answer; a terminal has one screen for both."""
        self._send(text, is_note=not self._term)

    def _send(self, text: str, *, is_note: bool) -> None:
        assert self._chan is not None
        try:
            if is_note:
                self._chan.write_stderr(text)
            else:
                self._chan.write(text)
        except OSError as error:
            raise OutputLostError from error

    def size(self) -> tuple[int, int]:
        """Return columns and rows."""
        assert self._chan is not None
        columns, rows, *_ = self._chan.get_terminal_size()
        return columns, rows

    def take_input(self, *, more: bool) -> None:
        """Have the client wait with its input, or go on."""
        assert self._chan is not None
        if more:
            self._chan.resume_reading()
        else:
            self._chan.pause_reading()

    def _give_place_back(self) -> None:
        on_end, self._on_end = self._on_end, _nothing
        on_end()

    # -- what runs ----------------------------------------------------------------------------

    def _interrupt(self) -> None:
        if self._shell is not None:
            self._shell.interrupt()
        elif self._task is not None:
            self._task.cancel()

    async def _run(self, terminal: ConsoleTerminal) -> None:
        status = FAILED
        try:
            async with asyncio.timeout(SESSION_MAX_S):
                status = await self._serve(terminal)
        except (OutputLostError, TimeoutError):
            status = FAILED
        except asyncio.CancelledError:
            status = INTERRUPTED
        finally:
            # Before the client hears: it may want the next one at once.
            self._give_place_back()
            if self._chan is not None and not terminal.is_lost:
                self._chan.exit(status)
            elif self._chan is not None:
                self._chan.abort()

    async def _serve(self, terminal: ConsoleTerminal) -> int:
        if self._shell is not None:
            await self._shell.run(self._term)
            return FINE
        if self._command is not None:
            return await self._run_one(terminal, self._command)
        return await self._run_script(terminal)

    async def _run_one(self, terminal: ConsoleTerminal, line: str) -> int:
        try:
            return await run_line(self._node, terminal, self._verbs, ALIASES, line)
        except LeaveError:
            return FINE

    async def _run_script(self, terminal: ConsoleTerminal) -> int:
        """Return the status of the first line of standard input that fails, else 0."""
        while True:
            async with asyncio.timeout(self._idle_s):
                line, is_last = await terminal.read_line(LINE_MAX)
            if line.strip() and not line.lstrip().startswith("#"):
                status = await self._run_one(terminal, line)
                if status != FINE:
                    return status
            if is_last:
                return FINE
