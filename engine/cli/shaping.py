"""Why an egress path is as it is: each option with what set it, and what that overrode.

Place in flow: a verb over ``engine.admin.shaping_explain``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from engine.cli.instants import show_until
from engine.cli.names import complete_part, complete_source
from engine.cli.policy import place_of
from engine.cli.ready_text import show_ceilings, show_hosts
from engine.cli.table import format_fields, printable
from engine.cli.verb import Session, verb

_EXPLAIN = "/api/admin/shaping-explain/v1"
_ANSWERED = {
    "shaping": "helpers.shaping",
    "script": "the script",
    "default": "nobody: all has its default",
    "node": "the node itself: the mail goes to another node",
}
_MANUAL = """\
Explain the egress path to DOMAIN: each option with its value, what set it (file and line, section,
decision of the automation), and what that overrode.

DOMAIN may be the name of a scheduled queue. Without --source the source of the pool with the
greatest weight is shown. Options that have their default are left out, unless --defaults.

\b
Examples:
  cirrus shaping-explain big.example
  cirrus shaping-explain acme@big.example --source ip-1
"""


@verb("shaping-explain", _MANUAL)
@click.argument("domain", metavar="DOMAIN", shell_complete=complete_part("domain"))
@click.option("--source", help="From this source.", shell_complete=complete_source)
@click.option("--pool", help="From a source of this pool.")
@click.option("--defaults", "shows_defaults", is_flag=True, help="Also what has its default.")
async def shaping_explain(
    session: Session, *, domain: str, source: str | None, pool: str | None, shows_defaults: bool
) -> None:
    """Explain an egress path, option by option."""
    query = {"domain": domain, "source": source, "pool": pool}
    answer = await session.node.call("GET", _EXPLAIN, query=query)
    if session.as_json:
        await session.write_json(answer)
        return
    columns, now_at = session.terminal.columns, session.clock.wall()
    await session.write(format_fields(_head(answer), columns))
    await session.write("".join(show_hosts(answer["mx"])))
    await session.write("\nOptions:\n")
    shown = [one for one in answer["options"] if shows_defaults or one["origin"] != "default"]
    for one in shown:
        for line in show_option(one, now_at):
            await session.write(f"  {printable(line)}\n")
    if not shown:
        await session.write("  all have their defaults\n")
    await session.write("".join(show_ceilings(answer["constraints"], columns)))


def _head(answer: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "domain", answer["domain"]
    yield "source", answer["source"]
    pool = answer["pool"]
    if pool is not None:
        sources = " ".join(f"{one['name']}({one['weight']})" for one in pool["sources"])
        yield "pool", f"{pool['name']}: {sources}" if sources else pool["name"]
    yield "ready queue", answer["queue_name"]
    yield "answered by", _ANSWERED.get(answer["answered_by"], answer["answered_by"])
    yield "note", answer["note"]
    for one in answer["handlers"]:
        yield "asked", f"{one['function'] or 'helpers.shaping'} {place_of(one)}"
    shaping = answer["shaping"]
    if shaping is not None:
        for name in shaping["files"]:
            yield "file", name
        yield "last load", shaping["failing"] and f"FAILED: {shaping['failing']}"
        yield "overlay of", shaping["overlay_of"] if shaping["obeys_automation"] else None
    yield "providers", " ".join(answer["providers"])
    for one in answer["sections"]:
        yield "section", f"{one['section']} {place_of(one)}"
    for one in answer["warmups"]:
        held = f", {one['held']} days held" if one["held"] else ""
        ended = ", over" if one["has_ended"] else ""
        yield "warm-up", f"{one['section']}: day {one['day']}{held}{ended} {place_of(one)}"


def show_option(one: Mapping[str, Any], now_at: float) -> Iterator[str]:
    """Yield an option of a path, what set it, and what that overrode.

    Args:
        one: The option as the API explains it.
        now_at: The present, seconds since the Unix epoch.
    """
    name = one["name"] if one["entry"] is None else f"{one['name']}[{one['entry']}]"
    idle = "" if one["in_force"] else ", not in force"
    yield f"{name} = {_value(one['value'])}  ({_setter(one)}{idle})"
    decision = one["decision"]
    if decision is not None:
        until = f", until {show_until(decision['expires'], now_at)}" if decision["expires"] else ""
        rule = f", rule {decision['rule']}" if decision["rule"] else ""
        yield f"    decided by {decision['origin']}: {decision['reason']}{rule}{until}"
    for before in one["overrode"]:
        yield f"    over {_value(before['value'])}  ({_setter(before)})"


def _setter(one: Mapping[str, Any]) -> str:
    parts = [str(one["origin"])]
    if one["section"]:
        parts.append(one["section"])
    if one["file"]:
        parts.append(place_of(one))
    return " ".join(parts)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


VERBS = (shaping_explain,)
