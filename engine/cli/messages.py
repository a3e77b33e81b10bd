"""Queued messages: searched for, and looked at one by one.

Place in flow: verbs over ``engine.admin.message_search`` and ``engine.admin.messages``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from engine.cli.instants import read_instant, show_age, show_since, show_until
from engine.cli.names import complete_message, complete_part, complete_queue
from engine.cli.table import escape_lines, format_age, printable
from engine.cli.verb import Session, verb

_MESSAGES = "/api/admin/messages/v1"
_INSPECT = "/api/admin/inspect-message/v1"
#: Below this width a message takes several lines, for a table would fold every cell.
_TABLE_COLUMNS = 160
#: Recipients that are shown in a list.
_RECIPIENTS_MAX = 3
_MANUAL = """\
List queued messages: by queue, sender, recipient, age, last reply and what they do.

All that is given must fit. A STATE is scheduled (waits for its due time), due (its time has come,
it waits for something else), held (by an operator, a suspension, or for lack of a source) or ready
(in a ready queue). The search is bounded in time; it says when it did not get to the end. What
holds a message says cirrus why ID.

\b
Examples:
  cirrus messages --recipient bob@big.example
  cirrus messages --tenant acme --min-age 2h --reply '4.7.1'
  cirrus messages --queue acme@big.example --state held --json
"""
_INSPECT_MANUAL = """\
Show one message that waits: envelope, metadata, schedule, and with --want-body its content.

To see content one must be an operator, and it leaves an entry in the audit log.

\b
Examples:
  cirrus inspect-message 8a6f1c9e0b7d11f0a1b20242ac120002
  cirrus inspect-message 8a6f1c9e0b7d11f0a1b20242ac120002 --want-body --json
"""


@verb("messages", _MANUAL)
@click.option(
    "--queue",
    "queue_name",
    metavar="NAME",
    help="Of this scheduled queue.",
    shell_complete=complete_queue,
)
@click.option(
    "--domain", help="Of this domain or routing domain.", shell_complete=complete_part("domain")
)
@click.option("--tenant", help="Of this tenant.", shell_complete=complete_part("tenant"))
@click.option("--campaign", help="Of this campaign.", shell_complete=complete_part("campaign"))
@click.option("--sender", metavar="ADDRESS", help="With this envelope sender.")
@click.option("--recipient", metavar="ADDRESS", help="For this recipient.")
@click.option("--min-age", metavar="SPAN", help="Received at least so long ago, such as 2h.")
@click.option("--max-age", metavar="SPAN", help="Received at most so long ago.")
@click.option("--reply", metavar="TEXT", help="With this in the last reply of a host.")
@click.option(
    "--state",
    type=click.Choice(["scheduled", "due", "held", "ready"]),
    help="Those that do this.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="How many."
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 60),
    metavar="SECONDS",
    help="How long to search; 5 by default.",
)
async def messages(session: Session, **wanted: Any) -> None:
    """List queued messages."""
    answer = await session.node.call("GET", _MESSAGES, query=wanted)
    if session.as_json:
        await session.write_json(answer)
        return
    listed = sorted(answer["messages"], key=lambda one: str(one["created"]))
    columns, now_at = session.terminal.columns, session.clock.wall()
    if columns is not None and columns < _TABLE_COLUMNS:
        for one in listed:
            await session.write(show_block(one, now_at))
    elif listed:
        headers = ("ID", "STATE", "AGE", "DUE", "TRIES", "QUEUE", "FROM", "TO", "LAST REPLY")
        rows = [_row(one, now_at) for one in listed]
        await session.write_table(headers, rows, right=("TRIES",), whole=("ID", "AGE", "DUE"))
    await session.note(_how_many(answer))


def show_block(one: dict[str, Any], now_at: float) -> str:
    """Return a message in a few lines that fit a narrow terminal.

    Args:
        one: The message as the API lists it.
        now_at: The present, seconds since the Unix epoch.
    """
    head = f"{one['id']}  {one['state']}, {show_age(one['created'], now_at)} old"
    if one["state"] == "scheduled":
        head += f", due {_due(one, now_at)}"
    if one["num_attempts"]:
        head += f", tried {one['num_attempts']}x"
    lines = [head, f"    {one['queue_name']}: {_sender(one)} -> {_recipients(one['recipients'])}"]
    if _said(one):
        lines.append(f"    {_said(one)}")
    return "".join(f"{printable(line)}\n" for line in lines)


def _row(one: dict[str, Any], now_at: float) -> tuple[object, ...]:
    return (
        one["id"],
        one["state"],
        show_age(one["created"], now_at),
        _due(one, now_at) if one["state"] == "scheduled" else "",
        one["num_attempts"],
        one["queue_name"],
        _sender(one),
        _recipients(one["recipients"]),
        _said(one),
    )


def _due(one: dict[str, Any], now_at: float) -> str:
    due_at = read_instant(one["due"])
    if due_at is None or due_at - now_at < 1:
        return "now"
    return f"in {format_age(due_at - now_at)}"


def _said(one: dict[str, Any]) -> str:
    """Return who holds a message, or else what the host said last."""
    hold = one.get("hold")
    if hold:
        return f"held: {hold['reason']} (by {hold['author']})"
    return str(one.get("last_reply") or "")


def _sender(one: dict[str, Any]) -> str:
    return str(one["sender"] or "<>")


def _recipients(recipients: list[str]) -> str:
    more = len(recipients) - _RECIPIENTS_MAX
    shown = " ".join(recipients[:_RECIPIENTS_MAX])
    return f"{shown} and {more} more" if more > 0 else shown


def _how_many(answer: dict[str, Any]) -> str:
    text = f"{len(answer['messages'])} messages"
    if not answer["is_complete"]:
        text += f"; there may be more: {answer['looked_at']} were looked at, see --limit, --timeout"
    return f"({text})"


# -- one of them ------------------------------------------------------------------------------


@verb("inspect-message", _INSPECT_MANUAL)
@click.argument("message_id", metavar="ID", shell_complete=complete_message)
@click.option("--want-body", is_flag=True, help="Show its content too.")
async def inspect_message(session: Session, *, message_id: str, want_body: bool) -> None:
    """Show one message that waits."""
    query = {"id": message_id, "want_body": want_body}
    answer = await session.node.call("GET", _INSPECT, query=query)
    if session.as_json:
        await session.write_json(answer)
        return
    shown = answer["message"]
    await session.write_fields([("id", answer["id"]), *_fields(shown, session.clock.wall())])
    if shown.get("data") is not None:
        await session.write(f"\n{escape_lines(shown['data'])}\n")


def _fields(shown: dict[str, Any], now_at: float) -> Iterable[tuple[str, object]]:
    recipient = shown["recipient"]
    yield "from", _sender(shown)
    for one in recipient if isinstance(recipient, list) else [recipient]:
        yield "to", one
    yield "received", show_since(shown.get("created"), now_at)
    yield "due", show_until(shown.get("due"), now_at)
    yield "attempts", str(shown.get("num_attempts", ""))
    yield "octets", str(shown.get("size", ""))
    for name, value in sorted((shown.get("scheduling") or {}).items()):
        yield f"schedule {name}", value
    for name, value in sorted(shown["meta"].items()):
        yield f"meta {name}", value


VERBS = (messages, inspect_message)
