"""A session of an operator without a node: answers by path, text as it was written."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

import click

from engine.base.clock import Clock
from engine.cli.errors import NodeRefusedError
from engine.cli.http_node import without_nothing
from engine.cli.samples import Samples, parse_samples
from engine.cli.verb import HelpAskedError, Session, Verb


class FakeNode:
    """A node that answers what it was told to.

    Attributes:
        answers: Answers by method and path; an exception is raised.
        calls: What was asked: method, path and arguments.
        frames: What is seen by whoever watches, by path.
        exposition: The text of its metrics.
    """

    def __init__(self, answers: Mapping[tuple[str, str], Any] | None = None) -> None:
        self.answers = dict(answers or {})
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        self.frames: dict[str, list[dict[str, Any]]] = {}
        self.exposition = ""

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        self.calls.append((method, path, without_nothing(query or body or {})))
        answer = self.answers.get((method, path))
        if answer is None:
            raise NodeRefusedError("the node answers 404: nothing", 404)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def watch(self, path: str, wanted: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        self.calls.append(("WATCH", path, without_nothing(wanted)))
        for frame in self.frames.get(path, ()):
            yield frame

    async def read_metrics(self, names: Collection[str]) -> Samples:
        return parse_samples(self.exposition.splitlines(), names)


class FakeScreen:
    """A screen that keeps every picture; keys are pressed as told, and then nobody is there.

    Attributes:
        frames: What was drawn.
    """

    def __init__(self, keys: Sequence[str | None] = (), columns: int = 80, rows: int = 24) -> None:
        self.columns = columns
        self.rows = rows
        self.frames: list[list[str]] = []
        self._keys = list(keys)

    async def draw(self, lines: Sequence[str]) -> None:
        self.frames.append(list(lines))

    async def next_key(self, timeout_s: float) -> str | None:
        key = self._keys.pop(0) if self._keys else "closed"
        # Nothing pressed: the time passes.
        await asyncio.sleep(timeout_s if key is None else 0)
        return key


class FakeTerminal:
    """A terminal whose text can be read; a person sits there who answers as told."""

    def __init__(
        self,
        *,
        answers: tuple[str, ...] = (),
        columns: int | None = None,
        screen: FakeScreen | None = None,
    ) -> None:
        self.is_interactive = bool(answers)
        self.has_colour = False
        self.columns = columns
        self.rows = 24
        self.text = ""
        self.notes = ""
        self.questions: list[str] = []
        self._answers = list(answers)
        self._screen = screen

    @contextlib.asynccontextmanager
    async def screen(self) -> AsyncIterator[FakeScreen]:
        if self._screen is None:
            raise click.UsageError("a screen is needed")
        yield self._screen

    async def write(self, text: str) -> None:
        self.text += text

    async def note(self, text: str) -> None:
        self.notes += text

    async def ask(self, question: str) -> str:
        self.questions.append(question)
        return self._answers.pop(0)


#: The present of a session here: 2026-03-01T03:00:00Z.
NOW_AT = 1772334000.0


async def run_verb(
    verb: Verb, *arguments: str, node: FakeNode | None = None, terminal: FakeTerminal | None = None
) -> tuple[str, FakeTerminal]:
    """Return what a verb wrote, and the terminal, as the console would run it."""
    terminal = terminal or FakeTerminal()
    await verb_status(verb, *arguments, node=node, terminal=terminal)
    return terminal.text, terminal


async def verb_status(
    verb: Verb, *arguments: str, node: FakeNode | None = None, terminal: FakeTerminal | None = None
) -> int:
    """Return the exit status of a verb."""
    clock = Clock(asyncio.get_running_loop().time, lambda: NOW_AT)
    session = Session(node or FakeNode(), terminal or FakeTerminal(), clock=clock)
    context = verb.make_context(str(verb.name), list(arguments), obj=session)
    with context:
        return int(await verb.invoke(context) or 0)


def help_of(verb: Verb) -> str:
    """Return the manual of a verb, as the console shows it."""
    session = Session(FakeNode(), FakeTerminal())
    try:
        verb.make_context(str(verb.name), ["--help"], obj=session, max_content_width=100)
    except HelpAskedError as asked:
        return str(asked)
    raise click.UsageError("no help")
