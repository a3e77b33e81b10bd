"""A node emptied into another one: begun, looked at until nothing is left, ended.

Place in flow: verbs over ``engine.admin.node_transfers``. The node does the work: these start it,
look on and end it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import click

from engine.base.command_line import DURATION, FAILED, FINE
from engine.cli.errors import NodeAwayError
from engine.cli.transfer import TARGET
from engine.cli.verb import Session, verb
from engine.model.role import Role

_PATH = "/api/admin/drain/v1"
#: Pause between two looks, seconds.
LOOK_S = 1.0
#: How long a node that gives no answer is waited for: it may be restarting, seconds.
AWAY_S = 60.0
_MANUAL = """\
Empty a node into another one: it takes no more mail, and all it has is transferred.

The node answers SMTP clients 421, injections and its liveness check 503, and moves scheduled mail,
ready queues and what comes back from deliveries under way, with all state, until nothing is left.
It goes on with that by itself, also over a restart, until --cancel. The other node has to trust
this node's address (trusted_hosts); user and password in the URL are shown to it.

\b
  cirrus drain --to http://10.0.0.2:8000    begin, and look on until nothing is left
  cirrus drain --status                     what is left now
  cirrus drain --status --wait              look on until nothing is left
  cirrus drain --cancel                     take mail again; what is left goes on here

Ctrl-C ends the looking on, not the drain.

Exit status: 0 when nothing is left (with --no-wait and --cancel: when the node obeyed); 1 when
something is left, or the node refused or went away; 2 for wrong usage.
"""

_STATUS_MANUAL = """\
Say what is left on the node, and how its drain goes; with --wait look on until nothing is left.

Exit status: 0 when nothing is left; 1 when something is, or the node refused or went away.
"""
_CANCEL_MANUAL = """\
End the drain: the node takes mail again, and what is left goes on here as it was before.
"""

_wait_option = click.option(
    "--wait/--no-wait",
    default=None,
    help="Look on until nothing is left, as --to does on its own; or do not.",
)
_timeout_option = click.option(
    "--timeout", "limit_s", type=DURATION, help="Look on for so long at the most."
)


@verb("drain", _MANUAL, role=Role.ADMIN)
@click.option("--to", "target", type=TARGET, metavar="URL", help="The other node.")
@click.option("--status", is_flag=True, help="Say what is left.")
@click.option("--cancel", is_flag=True, help="End the drain.")
@click.option("--reason", default="drain", show_default=True, help="Why, for the records.")
@_wait_option
@_timeout_option
async def drain(
    session: Session,
    *,
    target: str | None,
    status: bool,
    cancel: bool,
    reason: str,
    wait: bool | None,
    limit_s: float | None,
) -> int:
    """Empty a node into another one."""
    if cancel:
        if target is not None or status or wait:
            raise click.UsageError("--cancel stands alone")
        return await _cancel(session)
    if target is None:
        if not status:
            raise click.UsageError("say what to do: --to URL, --status or --cancel")
        return await _report(session, limit_s, is_waiting=bool(wait))
    body = {"target": target, "reason": reason}
    report = await session.node.call("POST", _PATH, body=body)
    if wait is not False:
        return await _report(session, limit_s, is_waiting=True)
    await _write(session, report)
    return FINE


@verb("drain-status", _STATUS_MANUAL)
@_wait_option
@_timeout_option
async def drain_status(session: Session, *, wait: bool | None, limit_s: float | None) -> int:
    """Say what is left on a node that is being drained."""
    return await _report(session, limit_s, is_waiting=bool(wait))


@verb("drain-cancel", _CANCEL_MANUAL, role=Role.ADMIN)
async def drain_cancel(session: Session) -> int:
    """End a drain; the node takes mail again."""
    return await _cancel(session)


async def _cancel(session: Session) -> int:
    answer = await session.node.call("DELETE", _PATH)
    if session.as_json:
        await session.write_json(answer)
    await session.note("the drain is cancelled; the node takes mail again")
    return FINE


async def _report(session: Session, limit_s: float | None, *, is_waiting: bool) -> int:
    """Write what is left, at the end of looking on where that is wanted; return the status."""
    if is_waiting:
        report = await look_on(session, limit_s)
    else:
        report = await session.node.call("GET", _PATH)
    await _write(session, report)
    return FINE if is_over(report) else FAILED


async def _write(session: Session, report: dict[str, Any]) -> None:
    if session.as_json:
        await session.write_json(report)
    else:
        await session.write(f"{tell(report)}\n")


def is_over(report: dict[str, Any]) -> bool:
    """Return whether nothing is left on the node."""
    if report["draining"]:
        return bool(report["is_empty"])
    return not report["left"] and not report["is_recovering"]


def tell(report: dict[str, Any]) -> str:
    """Return a report in a line."""
    parts = [f"left {report['left']:,}"]
    named = [("scheduled", "scheduled"), ("ready", "ready"), ("in_flight", "in flight")]
    named += [("receiving", "being received"), ("stranded", "on disk only")]
    some = [f"{report[name]:,} {words}" for name, words in named if report[name]]
    if some:
        parts[0] += f" ({', '.join(some)})"
    if report["is_recovering"]:
        parts.append("the spool is still being read")
    if not report["draining"]:
        parts.append("no drain is under way")
        return "; ".join(parts)
    parts.append(f"transferred {report['transferred']:,}")
    if report["failed"]:
        parts.append(f"failed attempts {report['failed']:,}")
    if report["last_error"]:
        parts.append(f"last error: {report['last_error']}")
    return "; ".join(parts)


async def look_on(session: Session, limit_s: float | None) -> dict[str, Any]:
    """Return the last report: nothing is left, the time is over, or the drain was cancelled.

    Args:
        session: Of whoever looks on; each change is noted there.
        limit_s: How long to look on at most, seconds; None for as long as it takes.

    Raises:
        NodeAwayError: The node gave no answer for too long.
    """
    mono = session.clock.mono
    began, away_since, said = mono(), None, ""
    report: dict[str, Any] | None = None
    while True:
        try:
            report = await session.node.call("GET", _PATH)
            away_since = None
        except NodeAwayError:
            away_since = mono() if away_since is None else away_since
            if mono() - away_since >= AWAY_S:
                raise
        is_late = limit_s is not None and mono() - began >= limit_s
        if report is not None and away_since is None:
            if is_over(report) or not report["draining"]:
                return report
            line = tell(report)
            if line != said:
                said = line
                await session.note(line)
        if is_late:
            if report is None:
                raise NodeAwayError("the node gave no answer in time")
            return report
        await asyncio.sleep(LOOK_S)


VERBS = (drain, drain_status, drain_cancel)
