"""Ready queues: what limits them, their sessions, and the ways out that they are made from.

Place in flow: verbs over ``engine.admin.ready_queues`` and ``engine.admin.paths``.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from engine.cli.names import complete_part, complete_ready_queue, complete_source
from engine.cli.ready_text import (
    show_ceilings,
    show_hosts,
    show_ready_queue,
    show_sessions,
    states_of,
)
from engine.cli.table import printable
from engine.cli.toml_text import format_toml
from engine.cli.verb import Session, verb
from engine.model.role import Role

_STATES = "/api/admin/ready-q-states/v1"
_INSPECT = "/api/admin/inspect-ready-q/v1"
_ABORT = "/api/admin/abort-ready-q-conn/v1"
_RESOLVE = "/api/admin/resolve-egress-path/v1"
_INSPECT_MANUAL = """\
Show a ready queue: its hosts, what limits it now, its ceilings and who sets them.

With --connections its sessions too, the oldest first. One that has been in the same phase for three
quarters of the watchdog's time is marked STALL?, one that the watchdog is about to end STUCK.

\b
Examples:
  cirrus inspect-ready-q 'ip-1->mx.big.example@smtp_client' --connections
"""
_STATES_MANUAL = """\
Show what limits ready queues: suspensions, connection limits and rates, each with its beginning.

Of all ready queues that anything limits, or of those that are named.
"""
_ABORT_MANUAL = """\
End one session of a ready queue. Its message goes back and is tried again; no attempt is counted.

cirrus inspect-ready-q QUEUE --connections shows the ids of sessions.
"""
_RESOLVE_MANUAL = """\
Show the way out that mail to DOMAIN takes from SOURCE, as the policy and the DNS say now.

DOMAIN may be the name of a scheduled queue. Nothing is sent, no queue is made.

\b
Examples:
  cirrus resolve-egress-path big.example ip-1
  cirrus resolve-egress-path acme@big.example ip-1 --constraints
"""


def _one_of(**flags: bool) -> None:
    if sum(flags.values()) > 1:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in flags)
        raise click.UsageError(f"one of {names}")


@verb("inspect-ready-q", _INSPECT_MANUAL)
@click.argument("queue", metavar="QUEUE", shell_complete=complete_ready_queue)
@click.option("--connections", is_flag=True, help="Show its sessions.")
@click.option("--config", is_flag=True, help="Show its egress path as TOML.")
@click.option("--sched-q", is_flag=True, help="Name the scheduled queues that feed it.")
async def inspect_ready_q(
    session: Session, *, queue: str, connections: bool, config: bool, sched_q: bool
) -> None:
    """Show a ready queue."""
    query = {"queue_name": queue, "include_scheduled_queues": sched_q}
    answer = await session.node.call("GET", _INSPECT, query=query)
    if session.as_json:
        await session.write_json(answer)
        return
    columns = session.terminal.columns
    await session.write(show_ready_queue(answer, session.clock.wall(), columns))
    if connections:
        await session.write(show_sessions(answer, columns))
    if sched_q:
        names = answer["scheduled_queue_names"] or ["none"]
        await session.write("\nScheduled queues:\n")
        await session.write("".join(f"  {printable(name)}\n" for name in names))
    if config:
        await session.write(f"\n{format_toml(answer['path_config'])}")


@verb("ready-q-states", _STATES_MANUAL)
@click.argument("queues", nargs=-1, metavar="[QUEUE...]", shell_complete=complete_ready_queue)
async def ready_q_states(session: Session, *, queues: Sequence[str]) -> None:
    """Show what limits ready queues."""
    query = {"queues": list(queues) or None}
    answer = await session.node.call("GET", _STATES, query=query)
    if session.as_json:
        await session.write_json(answer)
        return
    now_at, states = session.clock.wall(), answer["states_by_ready_queue"]
    rows = []
    for name, state in sorted(states.items()):
        found = list(states_of(state, now_at)) or [("", "nothing limits it")]
        for at, (word, text) in enumerate(found):
            told = f"{word}: {text}" if word else text
            counts = ("", "", "") if at else (name, state["ready_count"], state["connection_count"])
            rows.append((*counts, told))
    if not rows:
        await session.note("nothing limits any ready queue")
        return
    headers = ("READY QUEUE", "COUNT", "CONN", "WHAT LIMITS IT")
    await session.write_table(headers, rows, right=("COUNT", "CONN"))


@verb("abort-ready-q-conn", _ABORT_MANUAL, role=Role.OPERATOR)
@click.argument("queue", metavar="QUEUE", shell_complete=complete_ready_queue)
@click.argument("session_id", metavar="SESSION_ID")
async def abort_ready_q_conn(session: Session, *, queue: str, session_id: str) -> None:
    """End one session of a ready queue."""
    body = {"queue_name": queue, "session_id": session_id}
    await session.write_text(await session.node.call("POST", _ABORT, body=body))


@verb("resolve-egress-path", _RESOLVE_MANUAL)
@click.argument("domain", metavar="DOMAIN", shell_complete=complete_part("domain"))
@click.argument("source", required=False, metavar="[SOURCE]", shell_complete=complete_source)
@click.option("--config", is_flag=True, help="The egress path alone, as TOML.")
@click.option("--constraints", is_flag=True, help="The ceilings alone.")
async def resolve_egress_path(
    session: Session, *, domain: str, source: str | None, config: bool, constraints: bool
) -> None:
    """Show the way out to a domain."""
    _one_of(config=config, constraints=constraints, json=session.as_json)
    answer = await session.node.call("GET", _RESOLVE, query={"domain": domain, "source": source})
    if session.as_json:
        await session.write_json(answer)
        return
    toml = format_toml(answer["path_config"])
    ceilings = "".join(show_ceilings(answer["constraints"], session.terminal.columns))
    if config:
        await session.write(toml)
    elif constraints:
        await session.write(ceilings.lstrip("\n"))
    else:
        names = ("domain", "source")
        fields = [(name, answer[name]) for name in names]
        await session.write_fields([*fields, ("ready queue", answer["queue_name"])])
        await session.write("".join(show_hosts(answer["mx"])))
        await session.write(f"{ceilings}\nEgress path:\n\n{toml}")


VERBS = (inspect_ready_q, ready_q_states, abort_ready_q_conn, resolve_egress_path)
