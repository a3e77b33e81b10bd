"""What the traffic shaping automation decided for a node.

Place in flow: a verb over ``engine.admin.decisions``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from engine.cli.instants import show_age, show_until
from engine.cli.names import complete_part, complete_source
from engine.cli.verb import Session, verb

_DECISIONS = "/api/admin/decisions/v1"
KINDS = ("ReadyQSuspension", "SchedQSuspension", "SchedQBounce", "ConfigOverride", "WarmupHold")
_MANUAL = """\
List what the traffic shaping automation decided and has not ended, the latest first: what about,
why, since when this node knows it, until when, and whether the node goes by it.

All that is given must fit. cirrus automation switches all of it off; cirrus shaping-explain shows
what it does to one path.

\b
Examples:
  cirrus decisions --domain big.example
  cirrus decisions --kind ConfigOverride --option max_message_rate
"""


@verb("decisions", _MANUAL)
@click.option("--kind", type=click.Choice(KINDS), help="Of this kind.")
@click.option("--domain", help="About this domain.", shell_complete=complete_part("domain"))
@click.option("--site", metavar="NAME", help="About this site.")
@click.option("--source", help="About this egress source.", shell_complete=complete_source)
@click.option("--option", metavar="NAME", help="About this option of egress paths.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many."
)
async def decisions(session: Session, **wanted: Any) -> None:
    """List what the automation decided."""
    answer = await session.node.call("GET", _DECISIONS, query=wanted)
    if session.as_json:
        await session.write_json(answer)
        return
    now_at = session.clock.wall()
    rows = [_row(one, now_at) for one in answer["decisions"]]
    if rows:
        headers = ("KIND", "ABOUT", "VALUE", "IN FORCE", "KNOWN FOR", "UNTIL", "REASON")
        await session.write_table(headers, rows)
    shown, matching = len(rows), answer["matching"]
    of_all = f"{shown} of {matching}" if shown < matching else str(matching)
    await session.note(f"({of_all} decisions, of {answer['total']} in all)")


def _row(one: Mapping[str, Any], now_at: float) -> tuple[object, ...]:
    reason = one["reason"] if not one["rule"] else f"{one['reason']} (rule {one['rule']})"
    return (
        one["kind"],
        show_scope(one["scope"]),
        one.get("value"),
        "yes" if one["in_force"] else "no",
        show_age(one["first_seen"], now_at),
        show_until(one["expires"], now_at),
        reason,
    )


def show_scope(scope: Mapping[str, Any]) -> str:
    """Return what a decision acts on, such as ``domain=a.example source=ip-1``."""
    return " ".join(f"{name}={value}" for name, value in scope.items() if value is not None)


VERBS = (decisions,)
