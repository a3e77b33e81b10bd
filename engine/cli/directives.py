"""Bounces and suspensions: made, listed, ended.

Place in flow: verbs over ``engine.admin.directives`` and ``engine.admin.source_suspensions``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from engine.cli.names import complete_id, complete_ready_queue, complete_source
from engine.cli.selectors import read_selectors, selector_options, show_criteria
from engine.cli.verb import Session, Verb, verb, yes_option
from engine.model.role import Role

_BOUNCE = "/api/admin/bounce/v1"
_SUSPEND = "/api/admin/suspend/v1"
_SUSPEND_READY = "/api/admin/suspend-ready-q/v1"
_SUSPEND_SOURCE = "/api/admin/suspend-source/v1"

reason_option = click.option("--reason", required=True, help="Why, for records and colleagues.")
duration_option = click.option(
    "--duration", metavar="SPAN", help="For how long, such as 20m or 2h; 5m by default."
)

_BOUNCE_MANUAL = """\
Give up mail: what waits now, and what comes while the bounce holds.

Which mail, say --domain, --routing-domain, --campaign and --tenant (all that are given must fit),
or --queue for queues by their names, or --everything. It goes on in the background; the id that is
printed is that of the bounce, for bounce-list and bounce-cancel. Each message leaves a record
AdminBounce, unless --suppress-logging.

\b
Examples:
  cirrus bounce --domain big.example --reason "the list was wrong" --duration 1h
  cirrus bounce --queue acme@big.example --reason "wrong list" --yes
"""
_SUSPEND_MANUAL = """\
Hold mail of scheduled queues: nothing of it is sent until the suspension ends.

Which mail, say --domain, --campaign and --tenant (all that are given must fit), or --queue for
queues by their names, or --everything. The id that is printed is that of the suspension, for
suspend-list and suspend-cancel.

\b
Examples:
  cirrus suspend --tenant acme --reason "their request" --duration 2h
"""


@verb("bounce", _BOUNCE_MANUAL, role=Role.OPERATOR)
@selector_options("domain", "routing_domain", "campaign", "tenant")
@reason_option
@duration_option
@click.option("--suppress-logging", is_flag=True, help="Leave no record of each message.")
@yes_option
async def bounce(
    session: Session,
    *,
    queues: Sequence[str],
    everything: bool,
    reason: str,
    duration: str | None,
    suppress_logging: bool,
    is_sure: bool,
    **fields: str | None,
) -> None:
    """Give up mail."""
    criteria = read_selectors(queues, fields, everything=everything)
    await session.confirm(f"bounce {show_criteria(criteria)}", is_sure=is_sure)
    body = {
        **criteria,
        "reason": reason,
        "duration": duration,
        "suppress_logging": suppress_logging or None,
    }
    answer = await session.node.call("POST", _BOUNCE, body=body)
    if session.as_json:
        await session.write_json(answer)
        return
    await session.note("the bounce goes on in the background; its id:")
    await session.write(f"{answer['id']}\n")


@verb("bounce-list", "List the bounces in force, and how much each has taken so far.")
async def bounce_list(session: Session) -> None:
    """List bounces."""
    answer = await session.node.call("GET", _BOUNCE)
    if session.as_json:
        await session.write_json(answer)
        return
    rows = [
        (one["id"], one["total_bounced"], one["duration"], show_criteria(one), _told(one))
        for one in answer
    ]
    headers = ("ID", "BOUNCED", "REMAIN", "CRITERIA", "REASON")
    await _write_list(session, headers, rows, "no bounce is in force")


@verb("suspend", _SUSPEND_MANUAL, role=Role.OPERATOR)
@selector_options("domain", "campaign", "tenant")
@reason_option
@duration_option
@yes_option
async def suspend(
    session: Session,
    *,
    queues: Sequence[str],
    everything: bool,
    reason: str,
    duration: str | None,
    is_sure: bool,
    **fields: str | None,
) -> None:
    """Hold mail of scheduled queues."""
    criteria = read_selectors(queues, fields, everything=everything)
    if everything:
        await session.confirm("suspend everything", is_sure=is_sure)
    body = {**criteria, "reason": reason, "duration": duration}
    await _write_made(session, await session.node.call("POST", _SUSPEND, body=body))


@verb("suspend-list", "List the suspensions of scheduled queues in force.")
async def suspend_list(session: Session) -> None:
    """List suspended scheduled queues."""
    answer = await session.node.call("GET", _SUSPEND)
    if session.as_json:
        await session.write_json(answer)
        return
    rows = [(one["id"], one["duration"], show_criteria(one), _told(one)) for one in answer]
    headers = ("ID", "REMAIN", "CRITERIA", "REASON")
    await _write_list(session, headers, rows, "no scheduled queue is suspended")


def _made_by_name(name: str, path: str, manual: str, complete: Any) -> Verb:
    """Return the verb that suspends one thing by its name."""

    @verb(name, manual, role=Role.OPERATOR)
    @click.option("--name", required=True, help="Its name.", shell_complete=complete)
    @reason_option
    @duration_option
    async def act(session: Session, *, name: str, reason: str, duration: str | None) -> None:
        body = {"name": name, "reason": reason, "duration": duration}
        await _write_made(session, await session.node.call("POST", path, body=body))

    act.short_help = f"{manual.split(':', maxsplit=1)[0]}."
    return act


def _listed_by_name(name: str, path: str, manual: str, nothing: str) -> Verb:
    """Return the verb that lists what was suspended by its name."""

    @verb(name, manual)
    async def act(session: Session) -> None:
        answer = await session.node.call("GET", path)
        if session.as_json:
            await session.write_json(answer)
            return
        rows = [(one["id"], one["duration"], one["name"], _told(one)) for one in answer]
        await _write_list(session, ("ID", "REMAIN", "NAME", "REASON"), rows, nothing)

    act.short_help = manual
    return act


def _cancelled(name: str, path: str, manual: str) -> Verb:
    """Return the verb that ends a directive by its id."""

    @verb(name, manual, role=Role.OPERATOR)
    @click.option(
        "--id", "known_id", required=True, help="As it is listed.", shell_complete=complete_id(path)
    )
    async def act(session: Session, *, known_id: str) -> None:
        await session.write_text(await session.node.call("DELETE", path, body={"id": known_id}))

    act.short_help = manual
    return act


bounce_cancel = _cancelled("bounce-cancel", _BOUNCE, "End a bounce.")
suspend_cancel = _cancelled("suspend-cancel", _SUSPEND, "End a suspension of scheduled queues.")
suspend_ready_q = _made_by_name(
    "suspend-ready-q",
    _SUSPEND_READY,
    "Hold mail of a ready queue: no session of it takes another message.",
    complete_ready_queue,
)
suspend_ready_q_list = _listed_by_name(
    "suspend-ready-q-list",
    _SUSPEND_READY,
    "List the suspended ready queues.",
    "no ready queue is suspended",
)
suspend_ready_q_cancel = _cancelled(
    "suspend-ready-q-cancel", _SUSPEND_READY, "End the suspension of a ready queue."
)
suspend_source = _made_by_name(
    "suspend-source",
    _SUSPEND_SOURCE,
    "Take an egress source out: mail of its pools goes by the others.",
    complete_source,
)
suspend_source_list = _listed_by_name(
    "suspend-source-list",
    _SUSPEND_SOURCE,
    "List the egress sources that are out, also for their health.",
    "no egress source is out",
)
suspend_source_cancel = _cancelled(
    "suspend-source-cancel", _SUSPEND_SOURCE, "Let an egress source back."
)

VERBS = (
    bounce,
    bounce_list,
    bounce_cancel,
    suspend,
    suspend_list,
    suspend_cancel,
    suspend_ready_q,
    suspend_ready_q_list,
    suspend_ready_q_cancel,
    suspend_source,
    suspend_source_list,
    suspend_source_cancel,
)


async def _write_made(session: Session, answer: dict[str, Any]) -> None:
    if session.as_json:
        await session.write_json(answer)
        return
    await session.note("suspended; its id:")
    await session.write(f"{answer['id']}\n")


async def _write_list(
    session: Session, headers: Sequence[str], rows: Sequence[Sequence[object]], nothing: str
) -> None:
    if not rows:
        await session.note(nothing)
        return
    await session.write_table(headers, rows, right=("BOUNCED",))


def _told(one: dict[str, Any]) -> str:
    return f"{one['reason']} (by {one['author']})"
