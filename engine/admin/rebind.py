"""Mail that waits, moved to other queues or due at once.

Place in flow: an operation of ``engine.admin.operation``; orders ``engine.schedule.rebinding``.
"""

from __future__ import annotations

import asyncio

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.operation import Operation
from engine.model.caller import Caller
from engine.model.suspension import Criteria
from engine.schedule.rebinding import RebindCount, Rebinding, RebindOrder

#: How long a request waits for the end of what it began, seconds.
WAIT_S = 1.0


class RebindRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What is to be done to waiting mail of which queues; what is left out matches everything.

    Attributes:
        reason: Why.
        data: Metadata to set, such as ``{"routing_domain": "b.example"}``; or what the event is
            given.
        campaign, tenant, domain, routing_domain, queue_names: Of which queues.
        suppress_logging: Leave no AdminRebind records.
        trigger_rebind_event: Have ``rebind_message`` change the messages instead.
        always_flush: Have all of it due at once, also what stays in its queue.
    """

    reason: str
    data: dict[str, str] = {}
    campaign: str | None = None
    tenant: str | None = None
    domain: str | None = None
    routing_domain: str | None = None
    queue_names: list[str] = []
    suppress_logging: bool = False
    trigger_rebind_event: bool = False
    always_flush: bool = False


class Rebound(msgspec.Struct, frozen=True, kw_only=True):
    """How it went until the answer; it goes on where it is not complete.

    Attributes:
        is_complete: Whether nothing is left to do.
        seen: Messages looked at.
        moved: Messages that are in another queue now.
        flushed: Messages that stayed and are due now.
        failed: Messages that were left as they were because of an error.
    """

    is_complete: bool
    seen: int
    moved: int
    flushed: int
    failed: int


async def rebind(node: AdminNode, caller: Caller, request: RebindRequest) -> Rebound:
    """Move waiting mail."""
    if request.trigger_rebind_event and not node.runtime.is_handled("rebind_message"):
        text = "the policy has no handler of rebind_message"
        raise OperationRefusedError(Refusal.WRONG, text, "trigger_rebind_event")
    if not request.data and not request.always_flush and not request.trigger_rebind_event:
        raise OperationRefusedError(Refusal.WRONG, "there is nothing to be done", "data")
    criteria = Criteria(
        campaign=request.campaign,
        tenant=request.tenant,
        domain=request.domain,
        routing_domain=request.routing_domain,
        queue_names=frozenset(request.queue_names),
    )
    order = RebindOrder(
        f"{request.reason} (by {caller.identity})",
        request.data,
        request.trigger_rebind_event,
        request.always_flush,
        request.suppress_logging,
    )
    count = RebindCount()
    task = node.supervisor.start(Rebinding(node).rebind(criteria, order, count), "rebind")
    done, _ = await asyncio.wait([task], timeout=WAIT_S)
    return Rebound(
        is_complete=bool(done),
        seen=count.seen,
        moved=count.moved,
        flushed=count.flushed,
        failed=count.failed,
    )


REBIND = Operation("rebind", rebind, RebindRequest, Rebound, "Move waiting mail to other queues")
