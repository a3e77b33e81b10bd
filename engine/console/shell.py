"""The prompt of somebody at a terminal: a line is edited, completed, remembered and run.

Place in flow: ``engine.console.channel`` makes one for a session with a terminal; the library
prompt-toolkit edits lines, ``engine.console.line`` runs them.

Invariants:
    * Ctrl-C ends the verb that runs, never the session; Ctrl-D at an empty prompt ends the session.
    * The history is of this session only, and in memory: nobody reads what another typed.
    * Completion asks the node in a thread of its own and gives up after a second.
    * No key makes a line longer than ``TYPED_LINE_MAX``: memory is bounded.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from typing import Any, TextIO, cast

import click
from click.shell_completion import ShellComplete
from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.output.vt100 import Vt100_Output

from engine.base.lifecycle import Supervisor
from engine.cli.table import printable
from engine.cli.verb import Session
from engine.console.catalogue import ALIASES, console_group, console_verbs
from engine.console.line import LeaveError, run_line, split_line
from engine.console.local_node import LocalNode
from engine.console.terminal import INTERRUPT, ConsoleTerminal, OutputLostError

#: Lines that the history keeps, and completions that are offered.
HISTORY_MAX = 1000
OFFERED_MAX = 100
#: Characters of a line that is edited, and steps back that are remembered. A longer line takes the
#: editor tens of milliseconds for each key.
TYPED_LINE_MAX = 4096
UNDONE_MAX = 100
#: Windows that are drawn larger and smaller send hundreds of sizes; a prompt is drawn once in so
#: long, seconds.
REDRAW_S = 0.1
#: What a terminal puts around pasted text (xterm's bracketed paste).
_PASTE_BEGIN, _PASTE_END = "\x1b[200~", "\x1b[201~"


class Shell:
    """The prompt of one session.

    Args:
        node: The node, as this operator reaches it.
        terminal: The operator's terminal.
        supervisor: Starts the verbs.
        idle_s: How long nothing may be typed, seconds.
    """

    def __init__(
        self, node: LocalNode, terminal: ConsoleTerminal, supervisor: Supervisor, idle_s: float
    ) -> None:
        self._node = node
        self._terminal = terminal
        self._supervisor = supervisor
        self._idle_s = idle_s
        self._running: asyncio.Task[int] | None = None
        self._prompt: PromptSession[str] | None = None
        self._redrawing: asyncio.TimerHandle | None = None

    def interrupt(self) -> None:
        """End the verb that runs."""
        if self._running is not None:
            self._running.cancel()

    def resize(self) -> None:
        """Draw the prompt for another size of the screen, soon."""
        if self._redrawing is None:
            loop = asyncio.get_running_loop()
            self._redrawing = loop.call_later(REDRAW_S, self._redraw)

    def _redraw(self) -> None:
        self._redrawing = None
        if self._prompt is not None and self._prompt.app.is_running:
            self._prompt.app._on_resize()

    async def run(self, term: str) -> None:
        """Show prompts and run lines until the operator goes.

        Args:
            term: The kind of terminal, such as ``xterm``.
        """
        screen = cast(TextIO, _Output(self._terminal))
        output = Vt100_Output(screen, self._size, term=term, enable_cpr=False)
        session = Session(self._node, self._terminal)
        group = console_group(console_verbs(self._node.operator.role))
        with create_pipe_input() as keys, create_app_session(input=keys, output=output):
            self._prompt = PromptSession(
                history=_History(),
                completer=VerbCompleter(session, group),
                complete_while_typing=False,
                complete_in_thread=True,
                enable_open_in_editor=False,
                enable_suspend=False,
                enable_system_prompt=False,
                key_bindings=without_multipliers(),
            )
            for buffer in (self._prompt.default_buffer, self._prompt.search_buffer):
                buffer.on_text_changed += bound_line
            await self._terminal.note(self._greeting())
            try:
                while (line := await self._read_line(keys)) is not None:
                    await self._run_line(line)
            except LeaveError:
                return
            finally:
                if self._redrawing is not None:
                    self._redrawing.cancel()

    def _greeting(self) -> str:
        operator = self._node.operator
        return (
            f"Cirrus. You are {operator.name}, {operator.role.label}. "
            "Type help for the verbs, exit to go.\n"
        )

    async def _read_line(self, keys: PipeInput) -> str | None:
        """Return the next line, None when the operator goes."""
        assert self._prompt is not None
        loop = asyncio.get_running_loop()
        while True:
            feeder = KeyFeeder(loop, keys.send_text)
            try:
                async with asyncio.timeout(self._idle_s) as idle:

                    def take(
                        text: str, idle: asyncio.Timeout = idle, feeder: KeyFeeder = feeder
                    ) -> None:
                        idle.reschedule(loop.time() + self._idle_s)
                        feeder.take(text)

                    def end(feeder: KeyFeeder = feeder) -> None:
                        feeder.end(keys.close)

                    async with self._terminal.reading(take, end):
                        return await self._prompt.prompt_async(
                            "cirrus> ", handle_sigint=False, set_exception_handler=False
                        )
            except KeyboardInterrupt:
                continue
            except EOFError:
                return None
            except TimeoutError:
                await self._terminal.note("\nNothing was typed for too long. Good bye.\n")
                return None
            finally:
                # Typed ahead: of the verb, or of the next prompt.
                self._terminal.give_back(feeder.close())

    async def _run_line(self, line: str) -> None:
        """Run a line in a task of its own, which Ctrl-C ends.

        Raises:
            LeaveError: The operator wants to go.
            OutputLostError: The operator is gone.
        """
        work = _told(run_line(self._node, self._terminal, console_verbs(), ALIASES, line))
        self._running = running = self._supervisor.start(work, "console-verb")
        try:
            await asyncio.wait({running})
        finally:
            self._running = None
            running.cancel()
        if running.cancelled():
            await self._terminal.note("^C\n")
        elif running.exception() is None and isinstance(outcome := running.result(), Exception):
            raise outcome

    def _size(self) -> Size:
        return Size(rows=self._terminal.rows, columns=self._terminal.columns or 80)


async def _told(work: Any) -> int | Exception:
    """Return what ends a session as a value: it is no defect of the task."""
    try:
        status: int = await work
    except (LeaveError, OutputLostError) as error:
        return error
    return status


class KeyFeeder:
    """Hands typed text to the line editor in pieces.

    The editor reads a pipe, a kilobyte in a turn of the loop: to write a full one would hold up the
    loop for ever, since nobody else empties it. And it takes a millisecond for each key, which
    everybody else on this node would wait for; what a terminal marks as pasted it takes at once.
    """

    #: Characters in a turn, those of a paste, and seconds between two turns.
    PIECE = 8
    PASTED_PIECE = 256
    PAUSE_S = 0.02
    #: Characters that wait.
    WAITING_MAX = 4 << 10

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[str], None]) -> None:
        self._loop = loop
        self._send = send
        self._waiting = ""
        self._is_pumping = False
        self._in_paste = False
        self._is_closed = False
        self._on_end: Callable[[], None] | None = None

    def take(self, text: str) -> None:
        """Take text; what is too much is lost, but not the end of a paste, and not Ctrl-C."""
        is_too_much = len(self._waiting) + len(text) > self.WAITING_MAX
        if is_too_much and INTERRUPT in text:
            # It ends the line: what was typed before has no effect any more.
            self._waiting, self._in_paste = "", False
            text = text[text.rindex(INTERRUPT) :][: self.WAITING_MAX]
        elif is_too_much:
            end = text.find(_PASTE_END)
            text = text[end : end + self.WAITING_MAX] if end >= 0 else ""
        self._waiting += text
        if self._waiting and not self._is_pumping:
            self._pump()

    def end(self, on_end: Callable[[], None]) -> None:
        """Take note that nothing more will be typed.

        Args:
            on_end: Called when the editor has all that was; from then on it gets nothing.
        """
        if self._is_pumping:
            self._on_end = on_end
            return
        self._is_closed = True
        on_end()

    def close(self) -> str:
        """Hand nothing more to the editor; returns what it has not got yet."""
        self._is_closed = True
        left, self._waiting = self._waiting, ""
        return left

    def _pump(self) -> None:
        if self._is_closed:
            return
        length = self._piece_length()
        piece, self._waiting = self._waiting[:length], self._waiting[length:]
        self._send(piece)
        self._is_pumping = bool(self._waiting)
        if self._is_pumping:
            self._loop.call_later(self.PAUSE_S, self._pump)
        elif self._on_end is not None:
            self.end(self._on_end)

    def _piece_length(self) -> int:
        begin = self._waiting.find(_PASTE_BEGIN)
        if not self._in_paste and begin != 0:
            return min(self.PIECE, begin if begin > 0 else self.PIECE)
        end = self._waiting.find(_PASTE_END)
        past = end + len(_PASTE_END) if end >= 0 else len(self._waiting)
        self._in_paste = end < 0 or past > self.PASTED_PIECE
        return min(self.PASTED_PIECE, past)


def without_multipliers() -> KeyBindings:
    """Return bindings that take away what repeats other keys: counts before a key, and macros.

    A count repeats a key up to a million times, and a macro may call another twice.
    """
    bindings = KeyBindings()

    def nothing(_event: object) -> None:
        return

    for digit in "-0123456789":
        bindings.add("escape", digit)(nothing)
    for key in "()e":
        bindings.add("c-x", key)(nothing)
    return bindings


def bound_line(buffer: Buffer) -> None:
    """Cut what is edited to ``TYPED_LINE_MAX``, and forget old steps."""
    del buffer._undo_stack[:-UNDONE_MAX]
    if len(buffer.text) > TYPED_LINE_MAX:
        text = buffer.text[:TYPED_LINE_MAX]
        buffer.document = Document(text, min(buffer.cursor_position, len(text)))


class VerbCompleter(Completer):
    """Completes verbs, their options, and names that the node knows."""

    def __init__(self, session: Session, group: click.Group) -> None:
        self._session = session
        self._group = group

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Any:
        """Yield what the word at the cursor may become."""
        typed = document.text_before_cursor
        try:
            words = split_line(typed)
        except click.UsageError:
            # Half a quoted word: nothing to offer.
            return
        part = "" if not typed or typed[-1].isspace() or not words else words.pop()
        completing = ShellComplete(self._group, {"obj": self._session}, "cirrus", "")
        for item in completing.get_completions(words, part)[:OFFERED_MAX]:
            value = str(item.value)
            # A sender chose it, perhaps: one word, whatever is in it.
            yield Completion(
                shlex.quote(value), -len(part), display_meta=printable(item.help or "")
            )


class _History(InMemoryHistory):
    """The lines of one session, the last ``HISTORY_MAX``."""

    def store_string(self, string: str) -> None:
        """Remember a line."""
        super().store_string(string)
        del self._loaded_strings[HISTORY_MAX:]


class _Output:
    """What the line editor writes, on its way to the terminal."""

    encoding = "utf-8"

    def __init__(self, terminal: ConsoleTerminal) -> None:
        self._terminal = terminal

    def write(self, text: str) -> None:
        self._terminal.write_raw(text.replace("\n", "\r\n"))

    def flush(self) -> None:
        return

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return -1
