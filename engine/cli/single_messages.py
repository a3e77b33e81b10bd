"""Acts on messages by their ids: hold, release, send now, move, give up.

Place in flow: verbs over ``engine.admin.single_messages``.

Invariants:
    * Each id is answered by itself; one that is refused does not keep the others from their turn,
      and the verb ends with status 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from engine.cli.errors import NodeRefusedError
from engine.cli.metadata_options import metadata_options, read_metadata
from engine.cli.names import complete_message
from engine.cli.table import printable
from engine.cli.verb import Session, verb, yes_option
from engine.model.role import Role

_ENDING = """\
Several ids may be given. Each is answered with its queue; the exit status is 1 if one was refused.
"""
_HOLD_MANUAL = f"""\
Hold messages back, until they are released or --duration is over; also over a restart.

{_ENDING}
\b
Examples:
  cirrus hold 8a6f1c9e0b7d11f0a1b20242ac120002 --reason "legal looks at it"
  cirrus messages --sender ann@a.example --json | jq -r '.messages[].id' \\
    | xargs cirrus hold --reason "account was taken over"
"""
_RELEASE_MANUAL = f"""\
Let messages go that cirrus hold holds; they go on with their schedule.

{_ENDING}"""
_SEND_NOW_MANUAL = f"""\
Have messages due at once, held or not. What holds their queue holds them too.

{_ENDING}"""
_MOVE_MANUAL = f"""\
Move messages to other queues by setting metadata, due at once.

{_ENDING}
\b
Examples:
  cirrus move 8a6f1c9e0b7d11f0a1b20242ac120002 --set routing_domain=relay.example
"""
_EXPIRE_MANUAL = f"""\
Give messages up now, as if they had grown too old: that leaves an Expiration record of each.

{_ENDING}
\b
Examples:
  cirrus expire 8a6f1c9e0b7d11f0a1b20242ac120002 --reason "sent by mistake" --yes
"""

_ids_argument = click.argument(
    "ids", nargs=-1, required=True, metavar="ID...", shell_complete=complete_message
)
_reason_option = click.option("--reason", default="", help="Why, for records.")


async def _for_each(
    session: Session, path: str, ids: Sequence[str], more: dict[str, Any]
) -> int | None:
    """Perform an act on each message; return the exit status."""
    failed = 0
    for one in dict.fromkeys(ids):
        try:
            answer = await session.node.call("POST", path, body={"id": one, **more})
        except NodeRefusedError as refused:
            failed += 1
            if session.as_json:
                await session.write_json({"id": one, "error": refused.message})
            else:
                await session.note(f"{printable(one)}: {refused.message}")
            continue
        if session.as_json:
            await session.write_json(answer)
        else:
            await session.write(f"{answer['id']} {printable(answer['queue_name'])}\n")
    return 1 if failed else None


@verb("hold", _HOLD_MANUAL, role=Role.OPERATOR)
@_ids_argument
@click.option("--reason", required=True, help="Why, for records and colleagues.")
@click.option("--duration", metavar="SPAN", help="For how long; until release by default.")
async def hold(
    session: Session, *, ids: Sequence[str], reason: str, duration: str | None
) -> int | None:
    """Hold messages back."""
    more = {"reason": reason, "duration": duration}
    return await _for_each(session, "/api/admin/hold/v1", ids, more)


@verb("release", _RELEASE_MANUAL, role=Role.OPERATOR)
@_ids_argument
@_reason_option
async def release(session: Session, *, ids: Sequence[str], reason: str) -> int | None:
    """Let held messages go."""
    return await _for_each(session, "/api/admin/release/v1", ids, {"reason": reason})


@verb("send-now", _SEND_NOW_MANUAL, role=Role.OPERATOR)
@_ids_argument
@_reason_option
async def send_now(session: Session, *, ids: Sequence[str], reason: str) -> int | None:
    """Have messages due at once."""
    return await _for_each(session, "/api/admin/send-now/v1", ids, {"reason": reason})


@verb("move", _MOVE_MANUAL, role=Role.OPERATOR)
@_ids_argument
@metadata_options
@_reason_option
async def move(
    session: Session, *, ids: Sequence[str], data: str | None, pairs: Sequence[str], reason: str
) -> int | None:
    """Move messages to other queues."""
    metadata = read_metadata(data, pairs)
    if not metadata:
        raise click.UsageError("say where to: --set NAME=VALUE, such as routing_domain=b.example")
    more = {"reason": reason, "data": metadata}
    return await _for_each(session, "/api/admin/move/v1", ids, more)


@verb("expire", _EXPIRE_MANUAL, role=Role.OPERATOR)
@_ids_argument
@_reason_option
@yes_option
async def expire(session: Session, *, ids: Sequence[str], reason: str, is_sure: bool) -> int | None:
    """Give messages up now."""
    count = len(dict.fromkeys(ids))
    what = f"message {printable(ids[0])}" if count == 1 else f"{count} messages"
    await session.confirm(f"give up {what}", is_sure=is_sure)
    return await _for_each(session, "/api/admin/expire/v1", ids, {"reason": reason})


VERBS = (hold, release, send_now, move, expire)
