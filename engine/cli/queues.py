"""The queues of a node: the fullest, or those that are asked for.

Place in flow: verbs over ``engine.admin.queue_list``.
"""

from __future__ import annotations

from typing import Any

import click

from engine.cli.instants import show_until
from engine.cli.names import complete_part, complete_queue, complete_source
from engine.cli.table import escape_lines, printable
from engine.cli.toml_text import format_toml
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
_INSPECT = "/api/admin/inspect-sched-q/v1"
_INSPECT_MANUAL = """\
Show a scheduled queue: how much waits in it, why, its configuration, and some of its messages.

With --want-body the content of these messages too: for that one must be an operator, and it leaves
an entry in the audit log. To find messages in it, cirrus messages --queue QUEUE says more.

\b
Examples:
  cirrus inspect-sched-q acme@big.example
  cirrus inspect-sched-q acme@big.example --no-limit --json
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


# -- one scheduled queue ----------------------------------------------------------------------


@verb("inspect-sched-q", _INSPECT_MANUAL)
@click.argument("queue", metavar="QUEUE", shell_complete=complete_queue)
@click.option("--want-body", is_flag=True, help="Show the content of messages too.")
@click.option(
    "--limit",
    type=click.IntRange(0, 10_000),
    default=5,
    show_default=True,
    help="How many messages.",
)
@click.option("--no-limit", is_flag=True, help="As many messages as the node shows.")
async def inspect_sched_q(
    session: Session, *, queue: str, want_body: bool, limit: int, no_limit: bool
) -> None:
    """Show a scheduled queue."""
    query = {
        "queue_name": queue,
        "want_body": want_body,
        "limit": None if no_limit else limit,
    }
    answer = await session.node.call("GET", _INSPECT, query=query)
    if session.as_json:
        await session.write_json(answer)
        return
    await session.write_fields(
        [
            ("queue", answer["queue_name"]),
            ("scheduled", str(answer["num_scheduled"])),
            ("waits for", answer["blocked_by"]),
        ]
    )
    if answer["queue_config"]:
        await session.write(f"\n{format_toml(answer['queue_config'])}")
    now_at = session.clock.wall()
    for one in answer["messages"]:
        await session.write(_show_waiting(one, now_at))


def _show_waiting(one: dict[str, Any], now_at: float) -> str:
    shown = one["message"]
    recipient = shown["recipient"]
    to = " ".join(recipient) if isinstance(recipient, list) else recipient
    due = f"due {show_until(shown['due'], now_at)}, " if shown.get("due") else ""
    lines = [
        "",
        f"{one['id']}  {due}tried {shown.get('num_attempts', 0)}x",
        f"    {shown['sender'] or '<>'} -> {to}",
    ]
    text = "".join(f"{printable(line)}\n" for line in lines)
    if shown.get("data") is not None:
        text += "".join(f"    {line}\n" for line in escape_lines(shown["data"]).split("\n"))
    return text


VERBS = (queues, inspect_sched_q)
