"""What operators order about mail and other nodes: one function an act, over a node's state.

Place in flow: ``transfer_api`` performs them for HTTP; any other door can. They order
``engine.schedule.transferring`` and ``drain``; what takes time goes on in a task.

Invariants:
    * An act that is refused has changed nothing.
    * Each moved message has a record with the reason and its author.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from engine.admin.drain import Drain, DrainNode, DrainReport, DrainState, error_time
from engine.control.transfer_targets import TransferTargets
from engine.model.suspension import Criteria
from engine.model.transfer_target import (
    TransferTarget,
    is_transfer_queue,
    parse_target,
    target_of,
)
from engine.schedule.transferring import TransferOrder, Transferring


class ActRefusedError(Exception):
    """An act makes no sense as it was asked for."""

    def __init__(self, text: str, field: str | None = None) -> None:
        super().__init__(text)
        self.field = field


class NothingThereError(ActRefusedError):
    """What the act is about does not exist."""


class InTheWayError(ActRefusedError):
    """Another act that is under way excludes this one."""


class TransferParts(Protocol):
    """The transfers of a node."""

    targets: TransferTargets
    transferring: Transferring
    drain: Drain


class TransferNode(DrainNode, Protocol):
    """What the acts need from the node."""

    @property
    def transfers(self) -> TransferParts:
        """Return its transfers."""


class TransferRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A transfer of scheduled queues by criteria; what is left out matches everything.

    Attributes:
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
    """A transfer that has begun: the queue whose mail goes to the target."""

    queue_name: str


class CancelRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The transfer queue whose mail is to be brought back."""

    queue_name: str
    reason: str


class DrainRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Where a node is to be emptied to."""

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


def transfer(node: TransferNode, request: TransferRequest, author: str) -> TransferOrdered:
    """Have the mail of matching queues transferred to another node.

    Raises:
        ActRefusedError: The target is no URL, or the criteria contradict each other.
        InTheWayError: The node is being drained.
    """
    target = _target(request.target)
    criteria = Criteria(
        campaign=request.campaign,
        tenant=request.tenant,
        domain=request.domain,
        routing_domain=request.routing_domain,
        queue_names=frozenset(request.queue_names),
    )
    if request.everything and criteria != Criteria():
        raise ActRefusedError("everything excludes all other criteria", "everything")
    if node.transfers.drain.state is not None:
        raise InTheWayError("the node is being drained: everything goes to its target")
    node.transfers.targets.learn(target)
    order = TransferOrder(target, _why(request.reason, author))
    moving = node.transfers.transferring.move(criteria, order)
    node.supervisor.start(moving, f"transfer to {target}")
    return TransferOrdered(target.queue_name)


def cancel_transfer(node: TransferNode, request: CancelRequest, author: str) -> None:
    """Have the mail that waits for another node brought back.

    Raises:
        ActRefusedError: The queue is none of a transfer.
        NothingThereError: There is no such queue.
        InTheWayError: The node is being drained to that target.
    """
    name = request.queue_name
    if not is_transfer_queue(name):
        raise ActRefusedError("the queue is none whose mail is transferred", "queue_name")
    state = node.transfers.drain.state
    if state is not None and state.order.target.queue_name == name:
        raise InTheWayError("the node is being drained to that target: cancel the drain")
    if node.queues.find(name) is None:
        raise NothingThereError("no such queue", "queue_name")
    _bring_back(node, name, _why(request.reason, author))


def _bring_back(node: TransferNode, queue_name: str, why: str) -> None:
    restoring = node.transfers.transferring.bring_back(queue_name, why)
    node.supervisor.start(restoring, f"cancel {queue_name}")


def list_transfers(node: TransferNode) -> list[TransferState]:
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


def start_drain(node: TransferNode, request: DrainRequest, author: str) -> DrainReport:
    """Empty the node into another one; it takes no mail from now on.

    Raises:
        ActRefusedError: The target is no URL.
    """
    target = _target(request.target)
    node.transfers.targets.learn(target)
    state = DrainState(target.url, request.reason, author, node.clock.wall())
    node.transfers.drain.start(state)
    return node.transfers.drain.report()


def cancel_drain(node: TransferNode, author: str) -> DrainReport:
    """End the drain, and bring back what was not transferred yet; the node takes mail again.

    Raises:
        NothingThereError: There is none.
    """
    state = node.transfers.drain.cancel()
    if state is None:
        raise NothingThereError("the node is not being drained")
    _bring_back(node, state.order.target.queue_name, f"the drain was cancelled (by {author})")
    return node.transfers.drain.report()


def report_drain(node: TransferNode) -> DrainReport:
    """Return what is left on the node, and how its drain goes."""
    return node.transfers.drain.report()


def _target(text: str) -> TransferTarget:
    try:
        return parse_target(text)
    except ValueError as error:
        raise ActRefusedError(str(error), "target") from None


def _why(reason: str, author: str) -> str:
    return f"{reason} (by {author})"
