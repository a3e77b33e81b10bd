"""SMTP sessions as they happen, line by line.

Place in flow: verbs over the websockets of ``engine.admin.tracing``; ``trace_view`` makes the
lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from engine.cli.names import complete_part, complete_ready_queue, complete_source
from engine.cli.trace_view import Incoming, Outgoing, Side, TraceView
from engine.cli.verb import Session, verb
from engine.model.role import Role

SERVER_PATH = "/api/admin/trace-smtp-server/v1"
CLIENT_PATH = "/api/admin/trace-smtp-client/v1"
_F = TypeVar("_F", bound=Callable[..., Any])
_LINES = """\
-> is what the client says, <- what the server says, === what happened besides, with the metadata
that changed; before it the time since the session was first seen. It goes on until Ctrl-C. A
terminal that is too slow misses events, and is told how many. With --json each event is printed as
the node tells it, one a line.
"""
_SERVER_MANUAL = f"""\
Watch incoming SMTP sessions as they happen.

{_LINES}
\b
Examples:
  cirrus trace-smtp-server --source 192.0.2.0/24 --only-new
  cirrus trace-smtp-server --only-one --terse
"""
_CLIENT_MANUAL = f"""\
Watch outgoing SMTP sessions as they happen.

Of an option that is given several times one has to fit; of different options all. What is not yet
known of a session fits.

{_LINES}
\b
Examples:
  cirrus trace-smtp-client --domain big.example --terse
  cirrus trace-smtp-client --ready-queue 'ip-1->mx.big.example@smtp_client' --only-one
"""
#: Filters of outgoing sessions: option, argument of the API, help, completion.
_CLIENT_FILTERS: tuple[tuple[str, str, str, Any], ...] = (
    ("--source", "source_addr", "From addresses of this network.", None),
    ("--mx-addr", "mx_addr", "To addresses of this network.", None),
    ("--mx-host", "mx_host", "To this host.", None),
    ("--domain", "domain", "Mail for this domain.", complete_part("domain")),
    (
        "--routing-domain",
        "routing_domain",
        "Mail routed by this domain.",
        complete_part("routing_domain"),
    ),
    ("--campaign", "campaign", "Mail of this campaign.", complete_part("campaign")),
    ("--tenant", "tenant", "Mail of this tenant.", complete_part("tenant")),
    ("--egress-pool", "egress_pool", "Mail of this pool.", None),
    ("--egress-source", "egress_source", "From this source.", complete_source),
    ("--mail-from", "mail_from", "With this envelope sender.", None),
    ("--rcpt-to", "rcpt_to", "For this recipient.", None),
    ("--ready-queue", "ready_queue", "Of this ready queue.", complete_ready_queue),
)


def _view_options(act: _F) -> _F:
    for option in reversed(
        (
            click.option("--only-new", is_flag=True, help="Sessions that begin from now on."),
            click.option("--only-one", is_flag=True, help="The first session alone."),
            click.option("--terse", is_flag=True, help="Little content, no metadata."),
            click.option(
                "--color",
                type=click.Choice(["tty", "yes", "no"]),
                default="tty",
                show_default=True,
                help="Whether lines are coloured; tty: on a terminal.",
            ),
        )
    ):
        act = option(act)
    return act


def _client_filters(act: _F) -> _F:
    for option, field, help_text, complete in reversed(_CLIENT_FILTERS):
        is_network = field.endswith("_addr")
        act = click.option(
            option,
            field,
            multiple=True,
            metavar="CIDR" if is_network else "TEXT",
            help=f"{help_text.removesuffix('.')}; repeatable.",
            shell_complete=complete,
        )(act)
    return act


@verb("trace-smtp-server", _SERVER_MANUAL, role=Role.OPERATOR, is_live=True)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="CIDR",
    help="Of clients in this network; repeatable.",
)
@_view_options
async def trace_smtp_server(session: Session, *, sources: Sequence[str], **view: Any) -> None:
    """Watch incoming SMTP sessions."""
    wanted = {"source_addr": list(sources) or None}
    await _watch(session, SERVER_PATH, wanted, Incoming(), **view)


@verb("trace-smtp-client", _CLIENT_MANUAL, role=Role.OPERATOR, is_live=True)
@_client_filters
@_view_options
async def trace_smtp_client(
    session: Session, *, only_new: bool, only_one: bool, terse: bool, color: str, **filters: Any
) -> None:
    """Watch outgoing SMTP sessions."""
    wanted = {name: list(values) or None for name, values in filters.items()}
    await _watch(
        session,
        CLIENT_PATH,
        wanted,
        Outgoing(),
        only_new=only_new,
        only_one=only_one,
        terse=terse,
        color=color,
    )


async def _watch(
    session: Session,
    path: str,
    wanted: Mapping[str, Any],
    side: Side,
    *,
    only_new: bool,
    only_one: bool,
    terse: bool,
    color: str,
) -> None:
    has_colour = session.terminal.has_colour if color == "tty" else color == "yes"
    view = TraceView(side, only_new=only_new, only_one=only_one, terse=terse, has_colour=has_colour)
    frames = session.node.watch(path, {**wanted, "terse": terse or None})
    try:
        async for frame in frames:
            if not view.admit(frame):
                continue
            if session.as_json:
                await session.write_json(frame)
            else:
                await session.write(view.render(frame))
            if view.is_over:
                return
    finally:
        # Whoever stops in the middle ends the watching now, not when it is collected.
        close = getattr(frames, "aclose", None)
        if close is not None:
            await close()
    await session.note("the node ended the trace")


VERBS = (trace_smtp_server, trace_smtp_client)
