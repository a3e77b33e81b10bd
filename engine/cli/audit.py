"""Who did what to a node, from where, and what came of it.

Place in flow: a verb over ``engine.admin.audit``.
"""

from __future__ import annotations

import json
from typing import Any

import click

from engine.cli.instants import read_since, show_clock_time
from engine.cli.verb import Session, verb

_AUDIT = "/api/admin/audit/v1"
_MANUAL = """\
Show who did what to the node: acts of administration, and who was turned away. The latest last.

All that is given must fit. --since takes a span such as 2h, or an instant such as
2026-03-01T03:00Z. A RESULT is done, refused (wrong arguments, or nothing there), denied (no right
to it) or failed.

\b
Examples:
  cirrus audit --since 2h
  cirrus audit --act bounce --result done
  cirrus audit --identity ann --json
"""


@verb("audit", _MANUAL)
@click.option("--act", metavar="NAME", help="Of this act, or whose name begins so.")
@click.option("--identity", metavar="WHO", help="Of this caller.")
@click.option("--origin", metavar="ADDRESS", help="From this address.")
@click.option(
    "--result",
    type=click.Choice(["done", "refused", "denied", "failed"]),
    help="With this result.",
)
@click.option("--since", metavar="SPAN|INSTANT", help="Not before that.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many."
)
async def audit(session: Session, *, since: str | None, **wanted: Any) -> None:
    """Show who did what to the node."""
    if since is not None:
        wanted["since"] = read_since(since, session.clock.wall())
    answer = await session.node.call("GET", _AUDIT, query=wanted)
    if session.as_json:
        await session.write_json(answer)
        return
    rows = [_row(one) for one in reversed(answer["entries"])]
    if not rows:
        await session.note("there is no such entry")
        return
    headers = ("TIME", "WHO", "FROM", "RESULT", "ACT", "WITH")
    await session.write_table(headers, rows, whole=("TIME",))


def _row(one: dict[str, Any]) -> tuple[object, ...]:
    origin = " ".join(text for text in (one.get("channel"), one.get("origin")) if text)
    return (
        show_clock_time(one["time"]),
        one["identity"],
        origin,
        one["result"],
        one["act"],
        show_arguments(one),
    )


def show_arguments(one: dict[str, Any]) -> str:
    """Return what an act was asked for and what came of it, in a line."""
    parts = [f"{name}={_value(value)}" for name, value in one.get("arguments", {}).items()]
    if one.get("detail"):
        parts.append(f"-> {one['detail']}")
    if one.get("repeats"):
        parts.append(f"(and {one['repeats']} times before)")
    return " ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, str) and value and not any(char in value for char in ' "='):
        return value
    return json.dumps(value, ensure_ascii=False)


VERBS = (audit,)
