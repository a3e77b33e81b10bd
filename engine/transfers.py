"""All that a node has for transfers, joined together: targets, connections, orders, intake, drain.

Place in flow: made by ``engine.app``; settlement gives back through ``transferring``,
``dispatching`` makes its dispatchers here, HTTP listeners get its routes.

Invariants:
    * From ``open`` on the gate is closed if a drain goes on; nothing is moved before ``begin``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from engine.admin import node_transfers
from engine.admin.drain import Drain
from engine.admin.errors import Refusal
from engine.admin.http_api import STATUSES, AdminApi, Endpoint
from engine.base.http_service import HttpService
from engine.base.lifecycle import Supervisor
from engine.control.transfer_targets import TransferTargets
from engine.deliver.outgoing_session import OutgoingSession
from engine.deliver.transfer_client import TransferClient
from engine.deliver.transfer_dispatcher import TransferDispatcher
from engine.deliver.work import Services, Work
from engine.model.message import Message
from engine.receive.transfer_intake import IntakePorts, TransferIntake
from engine.schedule.transferring import Transferring, TransferringPorts, record_move
from engine.script_transfer import ScriptTransfer
from engine.spool.recovery import Recovery
from engine.spool.spool_store import StoredMessage

#: Port: put a stored message back into its queue; may wait for a handler.
Reinsert = Callable[[StoredMessage], Awaitable[None] | None]

_XFER_PATH, _DRAIN_PATH = "/api/admin/xfer/v1", "/api/admin/drain/v1"
ENDPOINTS = (
    Endpoint("POST", _XFER_PATH, node_transfers.XFER),
    Endpoint("GET", _XFER_PATH, node_transfers.XFER_LIST),
    Endpoint("POST", _DRAIN_PATH, node_transfers.DRAIN),
    Endpoint("GET", _DRAIN_PATH, node_transfers.DRAIN_STATUS),
    Endpoint("DELETE", _DRAIN_PATH, node_transfers.DRAIN_CANCEL),
)
CANCEL = Endpoint("POST", "/api/admin/xfer/cancel/v1", node_transfers.XFER_CANCEL)
#: A queue of another kind is no field that fails a check: clients know it as 400.
CANCEL_STATUSES = {**STATUSES, Refusal.WRONG: 400}


class _Admission(Protocol):
    under_way: int


class _Listeners(Protocol):
    @property
    def receiving(self) -> int:
        """Return how many sessions are in the middle of a transaction."""


class _Dispatching(Protocol):
    @property
    def dispatchers(self) -> Mapping[Any, OutgoingSession]:
        """Return the dispatchers at work."""


class TransfersNode(TransferringPorts, IntakePorts, Protocol):
    """What transfers need from the node; most of it only once the node is up."""

    supervisor: Supervisor
    recovery: Recovery | None
    stopping: bool
    admin: AdminApi

    @property
    def admission(self) -> _Admission:
        """Return what admits mail."""

    @property
    def declared(self) -> _Listeners:
        """Return what has the listeners."""

    @property
    def dispatching(self) -> _Dispatching:
        """Return what runs the dispatchers."""


class Transfers:
    """The transfers of one node.

    Attributes:
        targets: Other nodes.
        client: The connections to them.
        transferring: Carries out orders.
        drain: The drain of the node.
        intake: Takes what other nodes transfer.
    """

    def __init__(self, node: TransfersNode) -> None:
        self._node = node
        self.targets = TransferTargets(node.clock.wall)
        self.client = TransferClient(self.targets)
        self.transferring = Transferring(node)
        self.intake = TransferIntake(node, node.promotion.insert, self._has_recovered)
        self.drain = Drain(
            node,
            self.transferring,
            self.targets,
            receiving=self._receiving,
            has_recovered=self._has_recovered,
        )

    def _has_recovered(self) -> bool:
        recovery = self._node.recovery
        return recovery is not None and recovery.is_done

    def _receiving(self) -> int:
        node = self._node
        # A session in a transaction is admitted at its end: it is one message, not two.
        return max(node.declared.receiving, node.admission.under_way) + self.intake.under_way

    # -- what the node asks -------------------------------------------------------------------

    def open(self, folder: Path, scripts: ScriptTransfer) -> None:
        """Read what the last run left, and let scripts transfer mail."""
        self.targets.open(folder)
        self.drain.open(folder)
        scripts.connect(self._node.clock, self.targets.learn, self._note_move)

    def _note_move(self, message: Message, before: str, after: str, why: str) -> None:
        """Record what a script did to a message that is still in its queue, or in none."""
        name, message.queue_name = message.queue_name, after
        try:
            record_move(self._node.recorder, message, before, why)
        finally:
            message.queue_name = name

    def begin(self) -> None:
        """Go on with a drain of the last run, if there was one; the node is up."""
        self.drain.begin()

    def noting(self, reinsert: Reinsert) -> Reinsert:
        """Return a port of recovery that knows again what other nodes transferred."""

        def note_and_reinsert(stored: StoredMessage) -> Awaitable[None] | None:
            self.intake.remember(stored)
            return reinsert(stored)

        return note_and_reinsert

    def make_dispatcher(self, work: Work, services: Services) -> TransferDispatcher:
        """Return a dispatcher for a ready queue whose protocol is ``xfer``."""
        node_id = self._node.node_id
        return TransferDispatcher(work, services, client=self.client, node_id=node_id)

    def add_to(self, service: HttpService) -> None:
        """Add the routes to a listener."""
        self.intake.add_to(service)
        self._node.admin.add_to(service, ENDPOINTS)
        self._node.admin.add_to(service, [CANCEL], CANCEL_STATUSES)

    async def close(self) -> None:
        """Close the connections to other nodes; no dispatcher runs any more."""
        await self.client.close()
