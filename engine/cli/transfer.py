"""Mail to another node, and back.

Place in flow: verbs over ``engine.admin.node_transfers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from engine.base.command_line import Parsed
from engine.cli.selectors import read_selectors, selector_options
from engine.cli.verb import Session, ask_for_completion, verb
from engine.model.role import Role
from engine.model.transfer_target import parse_target, parse_transfer_queue

_PATH, _CANCEL_PATH = "/api/admin/xfer/v1", "/api/admin/xfer/cancel/v1"
_XFER_MANUAL = """\
Transfer mail to another node, with its metadata, schedule, attempts and due time.

Which mail, say --domain, --routing-domain, --campaign and --tenant (all that are given must fit),
or --queue for queues by their names, or --everything. Mail in ready queues is among it; what is
being delivered at this moment stays, and comes back to its own queue if it is deferred. The other
node has to trust this node's address (trusted_hosts); user and password in the URL are shown to it.

It happens in the background: the name of the queue that is printed is that of the mail which waits
to be transferred, for cirrus xfer-cancel. To empty a whole node, use cirrus drain.

\b
Examples:
  cirrus xfer --target http://10.0.0.2:8000 --domain big.example --reason "node 1 is full"
  cirrus xfer --target https://mta2.example:8443 --everything --reason rebalance

Exit status: 0, or 1 when the node refused, 2 for wrong usage.
"""
_CANCEL_MANUAL = """\
Bring back mail that waits to be transferred: it goes on here as it was before.

QUEUE_NAME is the name of the queue as cirrus xfer printed it, or the URL of the target. What the
other node has already stays there.

Exit status: 0, or 1 when the node refused, 2 for wrong usage.
"""


def _checked_target(text: str) -> str:
    parse_target(text)
    return text


#: The URL of a node, as it was written: user and password stay in it.
TARGET = Parsed("url", _checked_target)
_QUEUE = Parsed("queue", parse_transfer_queue)


def _complete_transfer(
    ctx: click.Context, _param: click.Parameter, part: str
) -> list[CompletionItem]:
    listed: list[dict[str, Any]] = ask_for_completion(ctx, _PATH, {}) or []
    names = (str(one["queue_name"]) for one in listed)
    return [CompletionItem(name) for name in names if name.startswith(part)]


@verb("xfer", _XFER_MANUAL, role=Role.OPERATOR)
@click.option("--target", type=TARGET, required=True, metavar="URL", help="The other node.")
@click.option("--reason", required=True, help="Why, for the records.")
@selector_options("domain", "routing_domain", "campaign", "tenant")
async def xfer(
    session: Session,
    *,
    target: str,
    reason: str,
    queues: Sequence[str],
    everything: bool,
    **fields: str | None,
) -> None:
    """Transfer mail to another node."""
    criteria = read_selectors(queues, fields, everything=everything)
    body = {"target": target, "reason": reason, **criteria, "everything": everything or None}
    answer = await session.node.call("POST", _PATH, body=body)
    if session.as_json:
        await session.write_json(answer)
        return
    await session.note("the transfer goes on in the background; its queue:")
    await session.write(f"{answer['queue_name']}\n")


@verb("xfer-list", "List how it goes with each node that mail waits to be transferred to.")
async def xfer_list(session: Session) -> None:
    """List transfers to other nodes."""
    answer = await session.node.call("GET", _PATH)
    if session.as_json:
        await session.write_json(answer)
        return
    if not answer:
        await session.note("no mail waits to be transferred")
        return
    names = ("queue_name", "scheduled", "ready", "transferred", "failed", "last_error")
    headers = ("QUEUE", "WAITS", "READY", "TRANSFERRED", "FAILED", "LAST ERROR")
    rows = [tuple(one[name] for name in names) for one in answer]
    await session.write_table(headers, rows, right=headers[1:5])


@verb("xfer-cancel", _CANCEL_MANUAL, role=Role.OPERATOR)
@click.argument("queue_name", type=_QUEUE, metavar="QUEUE_NAME", shell_complete=_complete_transfer)
@click.option("--reason", required=True, help="Why, for the records.")
async def xfer_cancel(session: Session, *, queue_name: str, reason: str) -> None:
    """Bring back mail that waits to be transferred."""
    body = {"queue_name": queue_name, "reason": reason}
    answer = await session.node.call("POST", _CANCEL_PATH, body=body)
    if session.as_json:
        await session.write_json(answer)
        return
    await session.write("OK\n")


VERBS = (xfer, xfer_list, xfer_cancel)
