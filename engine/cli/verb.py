"""A verb: one command of operators, the same on the command line and in the console.

Place in flow: modules of ``engine.cli`` declare their verbs with ``verb``. The command line finds
them by entry points and runs each against the node at ``--endpoint``; the console parses the same
commands for a ``Session`` of its own.

Invariants:
    * A verb takes all that it knows from its session and its arguments, and writes to its session
      only: hundreds of them may run in one process.
    * What destroys or changes much asks a person, unless ``--yes``; without a person it is refused.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from engine.base.clock import Clock
from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.cli.node_port import NodePort
from engine.cli.table import escape_lines, format_fields, format_table, harmless_json
from engine.cli.terminal import StandardTerminal, Terminal
from engine.model.role import Role

if TYPE_CHECKING:
    from engine.cli.http_node import HttpNode

ENDPOINT_VARIABLE = "CIRRUS_ENDPOINT"
DEFAULT_ENDPOINT = "http://127.0.0.1:8000"
#: How long a shell may wait for names to complete with, seconds.
COMPLETION_S = 1.0
#: Rows of a table that are drawn without leaving the loop.
ROWS_AT_ONCE = 100


class HelpAskedError(Exception):
    """Somebody wants to read about a verb; the text is the argument."""


class NotConfirmedError(click.ClickException):
    """A person said no."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a verb works with.

    Attributes:
        node: The node.
        terminal: Who asked.
        as_json: Whether the answer is for a program.
        clock: The present, for ages and ends.
    """

    node: NodePort
    terminal: Terminal
    as_json: bool = False
    clock: Clock = field(default_factory=Clock)

    async def write(self, text: str) -> None:
        """Write text that is the answer, or a part of it."""
        await self.terminal.write(text)

    async def write_json(self, value: Any) -> None:
        """Write a value for a program, on one line; a terminal finds nothing in it to obey."""
        await self.terminal.write(harmless_json(json.dumps(value, ensure_ascii=False)) + "\n")

    async def write_text(self, answer: str) -> None:
        """Write an answer that is text; a program gets it as JSON."""
        if self.as_json:
            await self.write_json(answer)
        else:
            await self.write(escape_lines(answer.removesuffix("\n")) + "\n")

    async def write_table(
        self,
        headers: Sequence[str],
        rows: Sequence[Sequence[object]],
        right: Collection[str] = (),
        whole: Collection[str] = (),
    ) -> None:
        """Write rows under their headers. See ``format_table``."""
        terminal = self.terminal
        draw = partial(
            format_table,
            headers,
            rows,
            columns=terminal.columns,
            right=right,
            whole=whole,
            has_colour=terminal.has_colour,
        )
        # A thousand rows take a second, which the other sessions of a console do not wait for.
        text = await asyncio.to_thread(draw) if len(rows) > ROWS_AT_ONCE else draw()
        await terminal.write(text)

    async def write_fields(self, fields: Sequence[tuple[str, object]]) -> None:
        """Write names and values, one a line."""
        await self.terminal.write(format_fields(fields, self.terminal.columns))

    async def note(self, text: str) -> None:
        """Write a line that is not part of the answer; a program does not get it."""
        if not self.as_json:
            await self.terminal.note(f"{escape_lines(text)}\n")

    async def confirm(self, what: str, *, is_sure: bool) -> None:
        """Return when a person wants it.

        Args:
            what: What is going to happen.
            is_sure: Whether ``--yes`` was said.

        Raises:
            click.UsageError: Nobody is there to be asked.
            NotConfirmedError: The person does not want it.
        """
        if is_sure:
            return
        if not self.terminal.is_interactive:
            raise click.UsageError(f"{what}: say --yes, nobody is here to be asked")
        answer = await self.terminal.ask(f"{what}? [y/N] ")
        if answer.strip().lower() not in ("y", "yes"):
            raise NotConfirmedError("nothing was done")


class Verb(click.Command):
    """One verb as a command.

    Attributes:
        role: What somebody must be for it, where roles are known.
        is_live: Whether it goes on until somebody ends it.
    """

    def __init__(
        self, *args: Any, role: Role = Role.VIEWER, is_live: bool = False, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.role = role
        self.is_live = is_live

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options; which node is meant is asked on the command line only."""
        params = super().get_params(ctx)
        if isinstance(ctx.obj, Session):
            return [one for one in params if one.name != "endpoint"]
        return params

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option for help, which in a session may not write to standard output."""
        option = super().get_help_option(ctx)
        if option is None or not isinstance(ctx.obj, Session):
            return option

        def tell(ctx: click.Context, _parameter: click.Parameter, is_asked: bool) -> None:
            if is_asked and not ctx.resilient_parsing:
                raise HelpAskedError(ctx.get_help())

        return click.Option(
            self.get_help_option_names(ctx),
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=tell,
            help="Show this text.",
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; in a session return what is to be awaited."""
        arguments = dict(ctx.params)
        as_json = bool(arguments.pop("as_json", False))
        endpoint = arguments.pop("endpoint", DEFAULT_ENDPOINT)
        assert self.callback is not None
        if isinstance(ctx.obj, Session):
            return self.callback(replace(ctx.obj, as_json=as_json), **arguments)
        try:
            return asyncio.run(_run_at(endpoint, self.callback, arguments, as_json=as_json))
        except KeyboardInterrupt:
            if self.is_live:
                # That is how it is meant to end.
                return 0
            raise


def _at(endpoint: str, *limits_s: float) -> HttpNode:
    # What it needs takes long to load, and help, completion and the console do without.
    from engine.cli.http_node import HttpNode  # noqa: PLC0415 - a slow import

    return HttpNode(endpoint, *limits_s)


async def _run_at(
    endpoint: str,
    act: Callable[..., Awaitable[int | None]],
    arguments: dict[str, Any],
    *,
    as_json: bool,
) -> int | None:
    async with _at(endpoint) as node:
        return await act(Session(node, StandardTerminal(), as_json), **arguments)


def verb(
    name: str,
    help_text: str,
    *,
    role: Role = Role.VIEWER,
    is_live: bool = False,
    has_json: bool = True,
) -> Callable[[Callable[..., Coroutine[Any, Any, int | None]]], Verb]:
    """Return a decorator that makes a verb of a function of a session and its arguments.

    Args:
        name: As it is typed.
        help_text: Its manual.
        role: What somebody must be for it.
        is_live: Whether it goes on until somebody ends it.
        has_json: Whether it has an answer for programs.
    """

    def decorate(act: Callable[..., Coroutine[Any, Any, int | None]]) -> Verb:
        if has_json:
            json_option(act)
        endpoint_option(act)
        made = click.command(name, cls=Verb, help=help_text, role=role, is_live=is_live)(act)
        made.short_help = (act.__doc__ or help_text).splitlines()[0]
        return made

    return decorate


json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
#: Says which node is meant.
endpoint_option = click.option(
    "--endpoint",
    envvar=ENDPOINT_VARIABLE,
    default=DEFAULT_ENDPOINT,
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="The node's HTTP listener; user and password may stand in it.",
)
#: Says that nobody need be asked.
yes_option = click.option("--yes", "is_sure", is_flag=True, help="Do it without asking.")


def ask_for_completion(ctx: click.Context, path: str, query: dict[str, Any]) -> Any:
    """Return what the node answers somebody who presses the tabulator; None when it does not.

    Of a session it is called in a thread of its own, where waiting holds up nobody.
    """

    async def ask(node: NodePort) -> Any:
        async with asyncio.timeout(COMPLETION_S):
            return await node.call("GET", path, query=query)

    async def ask_at(endpoint: str) -> Any:
        async with _at(endpoint, COMPLETION_S) as node:
            return await ask(node)

    try:
        if isinstance(ctx.obj, Session):
            return asyncio.run(ask(ctx.obj.node))
        return asyncio.run(ask_at(ctx.params.get("endpoint") or DEFAULT_ENDPOINT))
    except (NodeRefusedError, NodeAwayError, TimeoutError, click.UsageError):
        return None
