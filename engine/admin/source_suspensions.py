"""Egress sources taken out: by an operator, or by the node for their health; and let back.

Place in flow: operations of ``engine.admin.operation``; work on ``engine.control.suspensions``.

Invariants:
    * What an operator orders holds on every node with a source of this name, as their other
      directives do; what a node takes out for its health is out there alone.
    * Its mail leaves by the other sources of its pools; without one it is held, and no attempt is
      counted.
"""

from __future__ import annotations

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.directives import (
    GONE,
    IdRequest,
    Made,
    ReadySuspensionListed,
    end_suspension,
    show_named,
)
from engine.admin.instant import duration_of
from engine.admin.operation import NoArguments, Operation
from engine.model.caller import Caller


class SuspendSourceRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which egress source is to be taken out.

    Attributes:
        name: The egress source.
        reason: Why, for records and whoever looks at it.
        duration: For how long it holds: seconds, or text such as ``1h``; five minutes by default.
        expires: When it ends, RFC 3339; instead of a duration.
    """

    name: str
    reason: str
    duration: str | float | None = None
    expires: str | None = None


async def suspend_source(node: AdminNode, caller: Caller, request: SuspendSourceRequest) -> Made:
    """Take an egress source out; one that is out already is out as is said now."""
    duration_s = duration_of(request.duration, request.expires, node.clock.wall())
    made = node.suspensions.add_source(request.name, request.reason, caller.identity, duration_s)
    node.shared_directives.made("suspend-source", made)
    return Made(made.id)


async def list_sources(
    node: AdminNode, _caller: Caller, _request: object
) -> list[ReadySuspensionListed]:
    """Return the egress sources that are out."""
    return [show_named(node, one) for one in node.suspensions.list_sources()]


async def resume_source(node: AdminNode, _caller: Caller, request: IdRequest) -> str:
    """Let an egress source back."""
    return end_suspension(node, request.id, node.suspensions.list_sources())


SUSPEND_SOURCE = Operation(
    "suspend-source", suspend_source, SuspendSourceRequest, Made, "Take an egress source out"
)
SUSPEND_SOURCE_LIST = Operation(
    "suspend-source-list",
    list_sources,
    NoArguments,
    list[ReadySuspensionListed],
    "List egress sources that are out, also for their health",
    leaves_record=False,
)
SUSPEND_SOURCE_CANCEL = Operation(
    "suspend-source-cancel",
    resume_source,
    IdRequest,
    str,
    "Let an egress source back",
    refusals=GONE,
)
