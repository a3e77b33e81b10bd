"""What administration sees of a node: its state, by the names that the node has for it.

Place in flow: ``engine.app`` is one; tests make smaller ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from engine.admin.audit_log import AuditLog
from engine.admin.decision_book import DecisionBook
from engine.admin.drain import Drain
from engine.admin.history_samples import History
from engine.admin.shared_directives import SharedDirectives
from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.memory_guard import MemoryGuard
from engine.base.trace_hub import Tracing
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.shaping_overrides import ShapingOverrides
from engine.control.suspensions import SuspensionRegistry
from engine.control.transfer_targets import TransferTargets
from engine.deliver.outgoing_session import OutgoingSession
from engine.model.shaping_trace import ShapingInForce
from engine.model.throttle_spec import ThrottleSpec
from engine.ready.ready_registry import ReadyRegistry
from engine.records.recorder import Recorder
from engine.schedule.promotion import Promotion
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.schedule.settlement import Settlement
from engine.schedule.transferring import Transferring
from engine.spool.spool_store import SpoolStore
from engine.throttle.limiter import RateBucket
from policy.epoch import Epoch
from policy.runtime import PolicyRuntime


class SharedLimitsStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How limits are shared with other nodes.

    Attributes:
        configured: Whether the policy says where.
        shared: Whether they are shared now; if not, this node goes by its share.
        nodes: Nodes that share them, as last seen.
        trouble: Why they are not shared; None if they are.
    """

    configured: bool
    shared: bool
    nodes: int
    trouble: str | None


class SharedLimitsPort(Protocol):
    """The limits of a cluster, as administration sees them."""

    def status(self) -> SharedLimitsStatus:
        """Return how they are shared."""


class AutomationPort(Protocol):
    """The automation, as administration sees it.

    Attributes:
        book: The decisions that the node obeys.
        overrides: The overlay in force.
    """

    book: DecisionBook
    overrides: ShapingOverrides

    async def switch(self, *, is_off: bool) -> bool:
        """Obey nobody, or again those that the policy names; return whether there are any."""

    def status(self) -> dict[str, Any]:
        """Return what it is doing, for people."""


class TransactionsPort(Protocol):
    """What clients are at, as administration sees it."""

    def transactions(self) -> Mapping[int, int]:
        """Return how many transactions go by each epoch of the policy, by its serial."""


class RetiredPort(Protocol):
    """Epochs of the policy that others took the place of."""

    def held(self) -> list[Epoch]:
        """Return those that are still there, the oldest first."""


class ShapingPort(Protocol):
    """What egress paths are made of, as administration sees it."""

    def in_force(self, epoch: Epoch) -> ShapingInForce | None:
        """Return the shaping that answers in an epoch; None where its script sets none up."""


class HelpersPort(Protocol):
    """The helpers of scripts."""

    @property
    def shaping(self) -> ShapingPort:
        """Return the one that makes egress paths."""


class SessionsPort(Protocol):
    """The outgoing sessions, as administration sees them.

    Attributes:
        dispatchers: Those at work, by their task.
    """

    @property
    def dispatchers(self) -> Mapping[Any, OutgoingSession]:
        """Return those at work, by their task."""


class TransfersPort(Protocol):
    """The transfers of a node, as administration orders them."""

    targets: TransferTargets
    transferring: Transferring
    drain: Drain


class RatesPort(Protocol):
    """The rates of a node, as administration sees them."""

    def bucket(self, key: str, spec: ThrottleSpec) -> RateBucket:
        """Return what counts a rate."""


class AdminNode(Protocol):
    """A node."""

    clock: Clock
    supervisor: Supervisor
    bounces: AdminBounceRegistry
    suspensions: SuspensionRegistry
    queues: ScheduledRegistry
    ready: ReadyRegistry
    store: SpoolStore
    runtime: PolicyRuntime
    recorder: Recorder
    promotion: Promotion
    settlement: Settlement
    memory: MemoryGuard
    tracing: Tracing
    node_id: str
    version: str
    #: When the process was started, RFC 3339.
    online_since: str
    audit: AuditLog
    shared_directives: SharedDirectives
    history: History

    @property
    def limiter(self) -> RatesPort:
        """Return the rates of the node."""

    @property
    def dispatching(self) -> SessionsPort:
        """Return the outgoing sessions of the node."""

    @property
    def shared_limits(self) -> SharedLimitsPort:
        """Return the limits that the node shares with others."""

    @property
    def automation(self) -> AutomationPort:
        """Return the automation of the node."""

    @property
    def transfers(self) -> TransfersPort:
        """Return the transfers of the node."""

    @property
    def declared(self) -> TransactionsPort:
        """Return what the node runs because the policy says so."""

    @property
    def helpers(self) -> HelpersPort:
        """Return what scripts are helped by."""

    @property
    def retired(self) -> RetiredPort:
        """Return the old epochs of the policy."""

    async def reload_policy(self) -> None:
        """Load the policy again; raises PolicyLoadError and keeps the running one if it fails."""
