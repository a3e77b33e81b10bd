"""``cirrus drain``: a node is emptied into another one.

Place in flow: a command of its own; a client of ``engine.admin.node_transfers``. The node does the
work: this starts it, looks on and ends it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import click

from engine.base.command_line import DURATION, FAILED, FINE
from engine.tools.node_call import NodeAwayError, call_node, endpoint_option
from engine.tools.xfer import TARGET

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


@click.command("drain", help=_MANUAL)
@click.option("--to", "target", type=TARGET, metavar="URL", help="The other node.")
@click.option("--status", is_flag=True, help="Say what is left.")
@click.option("--cancel", is_flag=True, help="End the drain.")
@click.option("--reason", default="drain", show_default=True, help="Why, for the records.")
@click.option(
    "--wait/--no-wait",
    default=None,
    help="Look on until nothing is left, as --to does on its own; or do not.",
)
@click.option("--timeout", "limit_s", type=DURATION, help="Look on for so long at the most.")
@click.option("--json", "as_json", is_flag=True, help="Print the last report as JSON.")
@endpoint_option
def drain(
    target: str | None,
    status: bool,
    cancel: bool,
    reason: str,
    wait: bool | None,
    limit_s: float | None,
    as_json: bool,
    endpoint: str,
) -> int:
    """Empty a node into another one."""
    if cancel and (target is not None or status or wait):
        raise click.UsageError("--cancel stands alone")
    if cancel:
        call_node(endpoint, "DELETE", _PATH)
        click.echo("the drain is cancelled; the node takes mail again", err=True)
        return FINE
    if target is not None:
        body = {"target": target, "reason": reason}
        report = call_node(endpoint, "POST", _PATH, body)
    elif status:
        report = call_node(endpoint, "GET", _PATH)
    else:
        raise click.UsageError("say what to do: --to URL, --status or --cancel")
    is_waiting = wait if wait is not None else target is not None
    if is_waiting:
        report = look_on(lambda: call_node(endpoint, "GET", _PATH), limit_s, quiet=as_json)
    click.echo(json.dumps(report) if as_json else tell(report))
    if target is not None and not is_waiting:
        return FINE
    return FINE if is_over(report) else FAILED


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


def look_on(
    ask: Callable[[], dict[str, Any]],
    limit_s: float | None,
    *,
    quiet: bool,
    mono: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Return the last report: nothing is left, the time is over, or the drain was cancelled.

    Args:
        ask: Returns a report of the node.
        limit_s: How long to look on at most, seconds; None for as long as it takes.
        quiet: Say nothing meanwhile.
        mono: Monotonic time, seconds.
        sleep: Lets time pass.

    Raises:
        NodeAwayError: The node gave no answer for too long.
    """
    began, away_since, said = mono(), None, ""
    report: dict[str, Any] | None = None
    while True:
        try:
            report = ask()
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
            if line != said and not quiet:
                said = line
                click.echo(line, err=True)
        if is_late:
            if report is None:
                raise NodeAwayError("the node gave no answer in time")
            return report
        sleep(LOOK_S)
