"""The queues of a node: the fullest, or those that are asked for.

Place in flow: verbs over ``engine.admin.queue_list``.
"""

from __future__ import annotations

from typing import Any

import click

from engine.cli.names import complete_part, complete_source
from engine.cli.verb import Session, verb

_QUEUES = "/api/admin/queues/v1"
_MANUAL = """\
List queues, the fullest first: scheduled queues, where mail waits for its time, and ready queues,
from which it is sent.

DUE counts messages whose time has come and which wait for something else, HELD those that a
suspension holds; cirrus why says more about one queue.

\b
Examples:
  cirrus queues --limit 20
  cirrus queues --domain big.example
  cirrus queues --json | jq '.scheduled[].queue_name'
"""


@verb("queues", _MANUAL)
@click.option(
    "--limit",
    type=click.IntRange(0, 10_000),
    default=25,
    show_default=True,
    help="How many of each kind.",
)
@click.option(
    "--order",
    type=click.Choice(["volume", "name"]),
    default="volume",
    show_default=True,
    help="Which come first.",
)
@click.option("--name", metavar="TEXT", help="Those with this in their name.")
@click.option(
    "--domain",
    help="Those of this domain or routing domain.",
    shell_complete=complete_part("domain"),
)
@click.option(
    "--tenant", help="Scheduled queues of this tenant.", shell_complete=complete_part("tenant")
)
@click.option(
    "--campaign",
    help="Scheduled queues of this campaign.",
    shell_complete=complete_part("campaign"),
)
@click.option(
    "--source", help="Ready queues of this egress source.", shell_complete=complete_source
)
@click.option("--pool", help="Ready queues that this pool last led to.")
@click.option("--empty", "has_empty", is_flag=True, help="Also those without mail and sessions.")
async def queues(session: Session, **wanted: Any) -> None:
    """List queues, the fullest first."""
    answer = await session.node.call("GET", _QUEUES, query=wanted)
    if session.as_json:
        await session.write_json(answer)
        return
    if answer["scheduled"]:
        await _write_scheduled(session, answer["scheduled"])
    if answer["ready"]:
        if answer["scheduled"]:
            await session.write("\n")
        await _write_ready(session, answer["ready"])
    await session.note(_how_many(answer))


async def _write_scheduled(session: Session, listed: list[dict[str, Any]]) -> None:
    headers = ("SCHEDULED QUEUE", "COUNT", "DUE", "HELD", "STATUS")
    rows = [
        (one["queue_name"], one["count"], one["due"], one["held"], _scheduled_status(one))
        for one in listed
    ]
    await session.write_table(headers, rows, right=("COUNT", "DUE", "HELD"))


async def _write_ready(session: Session, listed: list[dict[str, Any]]) -> None:
    headers = ("SITE", "SOURCE", "PROTO", "COUNT", "CONN", "STATUS")
    names = ("site_name", "source", "protocol", "count", "connections")
    rows = [(*(one[name] for name in names), _ready_status(one)) for one in listed]
    await session.write_table(headers, rows, right=("COUNT", "CONN"))


def _scheduled_status(one: dict[str, Any]) -> str:
    return "; ".join(
        f"{word}{one[field]}"
        for field, word in (
            ("bounced", "bounced: "),
            ("suspended", "suspended: "),
            ("blocked_by", "waits: "),
        )
        if one.get(field)
    )


def _ready_status(one: dict[str, Any]) -> str:
    return "; ".join(
        f"{word}{one[field]}"
        for field, word in (("suspended", "suspended: "), ("limited_by", "limited: "))
        if one.get(field)
    )


def _how_many(answer: dict[str, Any]) -> str:
    parts = []
    for kind in ("scheduled", "ready"):
        shown, fit = len(answer[kind]), answer[f"{kind}_matching"]
        parts.append(f"{shown} of {fit} {kind}" if shown < fit else f"{fit} {kind}")
    return f"({', '.join(parts)} queues)"


VERBS = (queues,)
