"""Mail to other nodes: transferred, brought back, and the whole node drained.

Place in flow: operations of ``engine.admin.operation``. They order
``engine.schedule.transferring`` and ``drain``; what takes time goes on in a task.

Invariants:
    * An act that is refused has changed nothing.
    * Each moved message has a record with the reason and its author.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.admin.admin_node import AdminNode
from engine.admin.drain import DrainReport, DrainState, error_time
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.operation import NoArguments, Operation
from engine.base.os_reason import os_reason
from engine.model.caller import Caller
from engine.model.suspension import Criteria
from engine.model.transfer_target import (
    TransferTarget,
    is_transfer_queue,
    parse_target,
    target_of,
)
from engine.schedule.transferring import TransferOrder


class TransferRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A transfer of scheduled queues by criteria; what is left out matches everything.

    Attributes:
        target: The URL of the other node.
        reason: Why, for records.
        campaign, tenant, domain, routing_domain: Queues that have these in their names.
        queue_names: Queues of these names.
        everything: Says in so many words that there are no criteria.
    """

    target: str
    reason: str
    campaign: str | None = None
    tenant: str | None = None
    domain: str | None = None
    routing_domain: str | None = None
    queue_names: list[str] = []
    everything: bool = False


class TransferOrdered(msgspec.Struct, frozen=True):
    """A transfer that has begun: the queue whose mail goes to the target.

    Attributes:
        queue_name: Such a queue.
    """

    queue_name: str


class CancelRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The transfer queue whose mail is to be brought back.

    Attributes:
        queue_name: Its name.
        reason: Why, for records.
    """

    queue_name: str
    reason: str


class DrainRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Where a node is to be emptied to.

    Attributes:
        target: The URL of the other node.
        reason: Why, for records.
    """

    target: str
    reason: str = "drain"


class TransferState(msgspec.Struct, frozen=True, kw_only=True):
    """How the transfer to one target goes.

    Attributes:
        queue_name: Its queue.
        target: Its URL.
        scheduled: Messages that wait for it.
        ready: Messages that may go now.
        transferred, failed: Messages taken and attempts that failed, in this run of the node.
        last_error, last_error_at: Of the last attempt, unless one has succeeded since.
    """

    queue_name: str
    target: str
    scheduled: int
    ready: int
    transferred: int
    failed: int
    last_error: str | None
    last_error_at: str | None


# -- some mail ----------------------------------------------------------------------------------


async def transfer(node: AdminNode, caller: Caller, request: TransferRequest) -> TransferOrdered:
    """Have the mail of matching queues transferred to another node."""
    target = _target(request.target)
    criteria = Criteria(
        campaign=request.campaign,
        tenant=request.tenant,
        domain=request.domain,
        routing_domain=request.routing_domain,
        queue_names=frozenset(request.queue_names),
    )
    if request.everything and criteria != Criteria():
        raise OperationRefusedError(
            Refusal.WRONG, "everything excludes all other criteria", "everything"
        )
    transfers = node.transfers
    if transfers.drain.state is not None:
        raise OperationRefusedError(
            Refusal.UNAVAILABLE, "the node is being drained: everything goes to its target"
        )
    transfers.targets.learn(target)
    order = TransferOrder(target, _why(request.reason, caller), caller.identity)
    moving = transfers.transferring.move(criteria, order)
    node.supervisor.start(moving, f"transfer to {target}")
    return TransferOrdered(target.queue_name)


async def cancel_transfer(
    node: AdminNode, caller: Caller, request: CancelRequest
) -> dict[str, Any]:
    """Have the mail that waits for another node brought back."""
    name = request.queue_name
    if not is_transfer_queue(name):
        raise OperationRefusedError(
            Refusal.WRONG, "the queue is none whose mail is transferred", "queue_name"
        )
    state = node.transfers.drain.state
    if state is not None and state.order.target.queue_name == name:
        raise OperationRefusedError(
            Refusal.UNAVAILABLE, "the node is being drained to that target: cancel the drain"
        )
    if node.queues.find(name) is None:
        raise OperationRefusedError(Refusal.NOT_FOUND, "no such queue", "queue_name")
    _bring_back(node, name, _why(request.reason, caller))
    return {}


def _bring_back(node: AdminNode, queue_name: str, why: str) -> None:
    restoring = node.transfers.transferring.bring_back(queue_name, why)
    node.supervisor.start(restoring, f"cancel {queue_name}")


async def list_transfers(node: AdminNode, _caller: Caller, _request: object) -> list[TransferState]:
    """Return how it goes with each target that mail waits for."""
    ready: dict[str, int] = {}
    for queue in node.ready:
        if is_transfer_queue(queue.routing_domain):
            count = ready.get(queue.routing_domain, 0)
            ready[queue.routing_domain] = count + len(queue.messages)
    found = []
    for waiting in node.queues:
        target = target_of(waiting.name)
        if target is None:
            continue
        tally = node.transfers.targets.tally(target)
        found.append(
            TransferState(
                queue_name=waiting.name,
                target=target.url,
                scheduled=len(waiting),
                ready=ready.get(waiting.name, 0),
                transferred=tally.transferred,
                failed=tally.failed,
                last_error=tally.last_error,
                last_error_at=error_time(tally),
            )
        )
    return found


# -- all of it --------------------------------------------------------------------------------


async def start_drain(node: AdminNode, caller: Caller, request: DrainRequest) -> DrainReport:
    """Empty the node into another one; it takes no mail from now on."""
    target = _target(request.target)
    node.transfers.targets.learn(target)
    state = DrainState(target.url, request.reason, caller.identity, node.clock.wall())
    try:
        node.transfers.drain.start(state)
    except OSError as error:
        text = f"the drain cannot be kept for a restart: {os_reason(error)}"
        raise OperationRefusedError(Refusal.UNAVAILABLE, text) from None
    return node.transfers.drain.report()


async def report_drain(node: AdminNode, _caller: Caller, _request: object) -> DrainReport:
    """Return what is left on the node, and how its drain goes."""
    return node.transfers.drain.report()


async def cancel_drain(node: AdminNode, caller: Caller, _request: object) -> DrainReport:
    """End the drain, and bring back what was not transferred yet; the node takes mail again."""
    state = node.transfers.drain.cancel()
    if state is None:
        raise OperationRefusedError(Refusal.NOT_FOUND, "the node is not being drained")
    why = _why("the drain was cancelled", caller)
    _bring_back(node, state.order.target.queue_name, why)
    return node.transfers.drain.report()


def _target(text: str) -> TransferTarget:
    try:
        return parse_target(text)
    except ValueError as error:
        raise OperationRefusedError(Refusal.WRONG, str(error), "target") from None


def _why(reason: str, caller: Caller) -> str:
    return f"{reason} (by {caller.identity})"


XFER = Operation(
    "xfer",
    transfer,
    TransferRequest,
    TransferOrdered,
    "Transfer queues to another node",
    refusals={Refusal.UNAVAILABLE: "the node is being drained"},
)
XFER_LIST = Operation(
    "xfer-list", list_transfers, NoArguments, list[TransferState], "List transfers", False
)
XFER_CANCEL = Operation(
    "xfer-cancel",
    cancel_transfer,
    CancelRequest,
    dict[str, Any],
    "Bring back what waits to be transferred",
    refusals={
        Refusal.WRONG: "the queue is none of a transfer",
        Refusal.NOT_FOUND: "there is no such queue now",
        Refusal.UNAVAILABLE: "the node is being drained to that target",
    },
)
DRAIN = Operation(
    "drain",
    start_drain,
    DrainRequest,
    DrainReport,
    "Empty the node into another one",
    refusals={Refusal.UNAVAILABLE: "the disk does not take it"},
)
DRAIN_STATUS = Operation(
    "drain-status", report_drain, NoArguments, DrainReport, "Show what is left", False
)
DRAIN_CANCEL = Operation(
    "drain-cancel",
    cancel_drain,
    NoArguments,
    DrainReport,
    "End the drain and bring back what is left",
    refusals={Refusal.NOT_FOUND: "the node is not being drained"},
)
