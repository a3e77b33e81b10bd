"""The node itself: its policy, its log, its spool, its automation, and looks into it.

Place in flow: verbs over ``engine.admin.maintenance`` and ``engine.admin.diagnostics``.
"""

from __future__ import annotations

from typing import Any

import click

from engine.cli.verb import Session, verb
from engine.model.role import Role

_AUTOMATION = "/api/admin/automation/v1"
_FILTER_MANUAL = """\
Set how much the diagnostic log says, until the node is started again.

FILTER is a level, or directives with commas between.

\b
Examples:
  cirrus set-log-filter info
  cirrus set-log-filter info,cirrus.schedule=debug
"""
_RELOAD_MANUAL = """\
Load the policy again, as when one of its files changes. A policy that is rejected changes nothing:
the running one stays, and the reason is said.
"""
_AUTOMATION_MANUAL = """\
Show what the traffic shaping automation does on this node; switch it off, or on again.

Off, the node goes by its policy alone: no decision of a TSA counts. --off is until --on, or until
the node is started again.

\b
Examples:
  cirrus automation
  cirrus automation --off
"""
_TASKS_MANUAL = """\
Show what the tasks of the node wait for, as text: for developers, when the node hangs.
"""


@verb("reload", _RELOAD_MANUAL, role=Role.ADMIN)
async def reload(session: Session) -> None:
    """Load the policy again."""
    await session.write_text(await session.node.call("POST", "/api/admin/bump-config-epoch"))


@verb("set-log-filter", _FILTER_MANUAL, role=Role.ADMIN)
@click.argument("log_filter", metavar="FILTER")
async def set_log_filter(session: Session, *, log_filter: str) -> None:
    """Set how much the diagnostic log says."""
    path = "/api/admin/set_diagnostic_log_filter/v1"
    body = {"filter": log_filter}
    await session.write_text(await session.node.call("POST", path, body=body))


@verb("spool-compact", "Give the disk space of dead mail back.", role=Role.ADMIN)
@click.option(
    "--name",
    type=click.Choice(["spool", "data", "meta"]),
    default="spool",
    show_default=True,
    help="Which spool; there is one, by three names.",
)
async def spool_compact(session: Session, *, name: str) -> None:
    """Give the disk space of dead mail back."""
    path = "/api/admin/spool-compact/v1"
    await session.write_text(await session.node.call("POST", path, body={"name": name}))


@verb("automation", _AUTOMATION_MANUAL)
@click.option("--off/--on", "is_off", default=None, help="Switch it off, or on again.")
async def automation(session: Session, *, is_off: bool | None) -> None:
    """Show, switch off or on the automation."""
    if is_off is None:
        answer = await session.node.call("GET", _AUTOMATION)
    else:
        answer = await session.node.call("POST", _AUTOMATION, body={"enabled": not is_off})
    if session.as_json:
        await session.write_json(answer)
        return
    await session.write_fields(
        [
            ("automation", "on" if answer["enabled"] else "off"),
            ("subscribed to", answer["subscribed_to"]),
            ("trouble", answer["trouble"]),
            ("decisions", str(answer["decisions"])),
            ("shaping from", answer["overlay_of"]),
        ]
    )
    if answer["feeds"]:
        await session.write("\n")
        headers = ("FEED OF RECORDS", "BACKLOG OCTETS", "REFUSED", "GIVEN UP", "TROUBLE")
        names = ("url", "backlog_octets", "refused", "given_up", "trouble")
        rows = [tuple(feed[name] for name in names) for feed in answer["feeds"]]
        await session.write_table(headers, rows, right=headers[1:4])


@verb("shared-limits", "Show whether limits are shared with other nodes, and why not.")
async def shared_limits(session: Session) -> None:
    """Show whether limits are shared with other nodes."""
    answer = await session.node.call("GET", "/api/admin/shared-limits/v1")
    if session.as_json:
        await session.write_json(answer)
        return
    if not answer["configured"]:
        await session.write("limits are of this node alone: the policy names no Redis\n")
        return
    if answer["shared"]:
        shown = f"by {answer['nodes']} nodes"
    else:
        shown = f"no: this node goes by its share of {answer['nodes']}"
    await session.write_fields([("shared", shown), ("trouble", answer["trouble"])])


@verb("machine-info", "Show what machine and what process this is.")
async def machine_info(session: Session) -> None:
    """Show what machine and what process this is."""
    answer: dict[str, Any] = await session.node.call("GET", "/api/machine-info")
    if session.as_json:
        await session.write_json(answer)
        return
    await session.write_fields([(name.replace("_", " "), answer[name]) for name in answer])


@verb("memory-stats", "Show what takes memory in the node.")
async def memory_stats(session: Session) -> None:
    """Show what takes memory in the node."""
    await session.write_text(await session.node.call("GET", "/api/admin/memory/stats"))


@verb("task-dump", _TASKS_MANUAL)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 60),
    metavar="SECONDS",
    help="How long to look; 5 by default.",
)
async def task_dump(session: Session, *, timeout: float | None) -> None:
    """Show what the tasks of the node wait for."""
    path = "/api/admin/task-dump"
    await session.write_text(await session.node.call("GET", path, query={"timeout": timeout}))


VERBS = (
    reload,
    set_log_filter,
    spool_compact,
    automation,
    shared_limits,
    machine_info,
    memory_stats,
    task_dump,
)
