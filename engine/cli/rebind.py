"""Waiting mail of whole queues, moved to other queues or made due at once.

Place in flow: a verb over ``engine.admin.rebind``.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from engine.cli.metadata_options import metadata_options, read_metadata
from engine.cli.selectors import read_selectors, selector_options, show_criteria
from engine.cli.verb import Session, verb, yes_option
from engine.model.role import Role

_REBIND = "/api/admin/rebind/v1"
_MANUAL = """\
Move waiting mail to other queues by setting metadata, such as its routing_domain, tenant or
campaign; what comes into another queue is due at once.

Which mail, say --domain, --routing-domain, --campaign and --tenant (all that are given must fit),
or --queue for queues by their names, or --everything. It goes on in the background when there is
much; each message that moves leaves a record AdminRebind, unless --suppress-logging. For single
messages use cirrus move.

\b
Examples:
  cirrus rebind --domain big.example --set routing_domain=relay.example --reason "their MX is down"
  cirrus rebind --domain big.example --always-flush --reason "it takes mail again"
  cirrus rebind --tenant acme --trigger-rebind-event --data '{"plan": "b"}' --reason "new plan"
"""


@verb("rebind", _MANUAL, role=Role.OPERATOR)
@selector_options("domain", "routing_domain", "campaign", "tenant")
@click.option("--reason", required=True, help="Why, for records.")
@metadata_options
@click.option("--always-flush", is_flag=True, help="Have due at once also what stays in its queue.")
@click.option("--suppress-logging", is_flag=True, help="Leave no record of each message.")
@click.option(
    "--trigger-rebind-event",
    is_flag=True,
    help="Give the data to rebind_message of the policy, which changes the messages.",
)
@yes_option
async def rebind(
    session: Session,
    *,
    queues: Sequence[str],
    everything: bool,
    reason: str,
    data: str | None,
    pairs: Sequence[str],
    always_flush: bool,
    suppress_logging: bool,
    trigger_rebind_event: bool,
    is_sure: bool,
    **fields: str | None,
) -> None:
    """Move waiting mail to other queues."""
    criteria = read_selectors(queues, fields, everything=everything)
    metadata = read_metadata(data, pairs)
    if not metadata and not always_flush and not trigger_rebind_event:
        raise click.UsageError(
            "say what is to be done: --set, --data, --always-flush or --trigger-rebind-event"
        )
    if everything:
        await session.confirm(f"rebind {show_criteria(criteria)}", is_sure=is_sure)
    body = {
        **criteria,
        "reason": reason,
        "data": metadata,
        "always_flush": always_flush,
        "suppress_logging": suppress_logging,
        "trigger_rebind_event": trigger_rebind_event,
    }
    answer = await session.node.call("POST", _REBIND, body=body)
    if session.as_json:
        await session.write_json(answer)
        return
    names = ("seen", "moved", "flushed", "failed")
    await session.write(", ".join(f"{name} {answer[name]}" for name in names) + "\n")
    if not answer["is_complete"]:
        await session.note("it goes on in the background; the log counts the rest")


VERBS = (rebind,)
