"""What the audit log holds, for operators.

Place in flow: an operation of ``engine.admin.operation`` over ``audit_log``.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.audit_log import AuditEntry
from engine.admin.instant import parse_instant
from engine.admin.operation import Operation
from engine.model.caller import Caller
from engine.model.log_record import format_event_time

LIMIT_MAX = 1000


class AuditRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which entries are wanted; what is left out matches everything.

    Attributes:
        limit: How many, the latest first.
        act: Of this operation, or whose name begins so.
        identity: Of this caller.
        origin: From this address.
        result: With this result.
        since: Not before this instant, RFC 3339 in UTC.
    """

    limit: Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)] = 100
    act: str | None = None
    identity: str | None = None
    origin: str | None = None
    result: str | None = None
    since: str | None = None


class AuditAnswer(msgspec.Struct, frozen=True):
    """Entries of the audit log, the latest first.

    Attributes:
        entries: What was done, by whom, and what came of it.
    """

    entries: list[AuditEntry]


async def read_audit(node: AdminNode, _caller: Caller, request: AuditRequest) -> AuditAnswer:
    """Return the latest entries that are wanted."""
    find = node.audit.reader()
    since = (
        None if request.since is None else format_event_time(parse_instant(request.since, "since"))
    )
    loop = asyncio.get_running_loop()
    # The files are read in a thread: they may be on a slow disk.
    found = await loop.run_in_executor(
        None, find, lambda one: matches(request, since, one), request.limit
    )
    return AuditAnswer(found)


def matches(request: AuditRequest, since: str | None, entry: AuditEntry) -> bool:
    """Return whether an entry is wanted; ``since`` is written as entries have it."""
    return (
        (request.act is None or entry.act.startswith(request.act))
        and (request.identity is None or entry.identity == request.identity)
        and (request.origin is None or entry.origin == request.origin)
        and (request.result is None or entry.result == request.result)
        and (since is None or entry.time >= since)
    )


AUDIT = Operation(
    "audit", read_audit, AuditRequest, AuditAnswer, "Show who did what", leaves_record=False
)
