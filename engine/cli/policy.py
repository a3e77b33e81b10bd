"""The policy as it runs: its epoch, the last load that was rejected, what its handlers cost.

Place in flow: a verb over ``engine.admin.policy_status``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from engine.cli.instants import show_since, show_until
from engine.cli.table import format_fields, printable
from engine.cli.verb import Session, verb

_POLICY = "/api/admin/policy/v1"
#: Digits of a hash that are enough to tell two apart.
_HASH_DIGITS = 12
_MANUAL = """\
Show the policy as it runs: since when, of which files, the last load that was rejected and where
its fault is, and what each handler costs and how it failed, the dearest first.

CPU and WAIT are milliseconds: of a call on average, and of the longest. cirrus reload loads the
policy again.

Exit status: 0; 1 if the files on disk are rejected ones, so that an older policy answers.

\b
Examples:
  cirrus policy
  cirrus policy --event get_egress_path --files
"""


@verb("policy", _MANUAL)
@click.option("--event", metavar="NAME", help="The handlers of this event only.")
@click.option("--files", "shows_files", is_flag=True, help="Name the files of the running policy.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=25,
    show_default=True,
    help="How many handlers.",
)
async def policy(
    session: Session, *, event: str | None, shows_files: bool, limit: int
) -> int | None:
    """Show the policy as it runs."""
    answer = await session.node.call("GET", _POLICY, query={"event": event, "limit": limit})
    rejected = answer["rejected"]
    is_pending = rejected is not None and rejected["is_pending"]
    if session.as_json:
        await session.write_json(answer)
        return 1 if is_pending else None
    now_at = session.clock.wall()
    await session.write(format_fields(_head(answer, now_at), session.terminal.columns))
    if shows_files:
        await session.write("\n")
        files = [(one["name"], one["hash"] or "missing") for one in answer["running"]["files"]]
        await session.write_table(("FILE", "SHA-256"), files)
    if answer["handlers"]:
        await session.write("\n")
        headers = ("EVENT", "CALLS", "ERRORS", "CPU", "MAX", "WAIT", "MAX WAIT", "WHERE")
        rows = [_handler(one) for one in answer["handlers"]]
        await session.write_table(headers, rows, right=headers[1:7])
    for line in _failures(answer["handlers"], now_at):
        await session.write(f"{printable(line)}\n")
    if answer["handlers_left_out"]:
        await session.note(f"({answer['handlers_left_out']} more handlers, see --limit)")
    return 1 if is_pending else None


def _head(answer: Mapping[str, Any], now_at: float) -> Iterator[tuple[str, object]]:
    running = answer["running"]
    yield "running", f"load {running['number']}, {running['hash'][:_HASH_DIGITS]}"
    yield "since", show_since(running["loaded_at"], now_at)
    yield "loaded in", f"{running['load_s']:.2f} s"
    files = len(running["files"]) + running["files_left_out"]
    yield "files", f"{files}"
    yield "transactions", f"{running['transactions']}"
    for one in running["warnings"]:
        yield "warning", f"{place_of(one)}: {one['message']}"
    for one in answer["retired"]:
        left = f"{one['transactions']} transactions, {one['calls_under_way']} calls under way"
        yield "retired", f"load {one['number']}: {left}"
    rejected = answer["rejected"]
    if rejected is not None:
        word = "REJECTED" if rejected["is_pending"] else "once rejected"
        text = f"{place_of(rejected)}: {rejected['message']}"
        yield word, f"{text}, {show_since(rejected['at'], now_at)}"


def _handler(one: Mapping[str, Any]) -> tuple[object, ...]:
    where = place_of(one)
    if one["function"]:
        where = f"{one['function']} {where}"
    return (
        one["event"],
        one["calls"],
        one["errors"],
        *(
            f"{one[name] / 1000:.2f}"
            for name in ("cpu_mean_us", "cpu_max_us", "wait_mean_us", "wait_max_us")
        ),
        where,
    )


def _failures(handlers: list[dict[str, Any]], now_at: float) -> Iterator[str]:
    """Yield what went wrong last in each handler, and which are not run for it."""
    for one in handlers:
        error, breaker = one["last_error"], one["breaker"]
        if error is not None:
            when = show_since(error["at"], now_at)
            yield ""
            yield f"{one['event']} failed last at {place_of(error)}, {when}:"
            yield f"  {error['message']}"
        if breaker is not None and breaker["is_open"]:
            until = show_until(breaker["until"], now_at)
            yield f"{one['event']} is NOT RUN until {until}: it overran again and again;"
            yield f"  {breaker['turned_away']} calls were turned away"


def place_of(one: Mapping[str, Any]) -> str:
    """Return file and line of something, as editors take them."""
    return str(one["file"]) if one["line"] is None else f"{one['file']}:{one['line']}"


VERBS = (policy,)
