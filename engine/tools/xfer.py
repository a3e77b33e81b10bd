"""``cirrus xfer`` and ``cirrus xfer-cancel``: mail to another node, and back.

Place in flow: commands of their own; clients of ``engine.admin.node_transfers``.
"""

from __future__ import annotations

import json
from typing import Any

import click

from engine.base.command_line import Parsed
from engine.model.transfer_target import parse_target, parse_transfer_queue
from engine.tools.node_call import call_node, endpoint_option

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
_FIELDS = ("domain", "routing_domain", "campaign", "tenant")


@click.command("xfer", help=_XFER_MANUAL)
@click.option("--target", type=TARGET, required=True, metavar="URL", help="The other node.")
@click.option("--reason", required=True, help="Why, for the records.")
@click.option("--domain", help="Mail for this domain.")
@click.option("--routing-domain", help="Mail that is routed by this domain.")
@click.option("--campaign", help="Mail of this campaign.")
@click.option("--tenant", help="Mail of this tenant.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="A queue; repeatable.")
@click.option("--everything", is_flag=True, help="All mail of the node.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@endpoint_option
def xfer(
    target: str,
    reason: str,
    queues: tuple[str, ...],
    everything: bool,
    as_json: bool,
    endpoint: str,
    **fields: str | None,
) -> None:
    """Transfer mail to another node."""
    criteria = {name: fields[name] for name in _FIELDS if fields[name]}
    check_selectors(criteria, queues, everything=everything)
    body: dict[str, Any] = {"target": target, "reason": reason, **criteria}
    if queues:
        body["queue_names"] = list(queues)
    if everything:
        body["everything"] = True
    answer = call_node(endpoint, "POST", _PATH, body)
    if as_json:
        click.echo(json.dumps(answer))
        return
    click.echo("the transfer goes on in the background; its queue:", err=True)
    click.echo(answer["queue_name"])


def check_selectors(criteria: dict[str, Any], queues: tuple[str, ...], *, everything: bool) -> None:
    """Insist on exactly one kind of selector.

    Raises:
        click.UsageError: There is none, or more than one kind.
    """
    given = sum((bool(criteria), bool(queues), everything))
    if not given:
        raise click.UsageError("say which mail: --domain, --tenant, ..., --queue or --everything")
    if given > 1:
        raise click.UsageError("--queue and --everything exclude each other and all others")


@click.command("xfer-cancel", help=_CANCEL_MANUAL)
@click.argument("queue_name", type=_QUEUE, metavar="QUEUE_NAME")
@click.option("--reason", required=True, help="Why, for the records.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
@endpoint_option
def xfer_cancel(queue_name: str, reason: str, as_json: bool, endpoint: str) -> None:
    """Bring back mail that waits to be transferred."""
    body = {"queue_name": queue_name, "reason": reason}
    answer = call_node(endpoint, "POST", _CANCEL_PATH, body)
    click.echo(json.dumps(answer) if as_json else "OK")
