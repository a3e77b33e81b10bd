"""What a node shares with others by way of Redis: rates, connection limits, directives.

Place in flow: ``engine.app`` makes one, ``engine.declared`` carries out what ``init`` says. It
joins ``engine.throttle`` (which asks) to the node (which goes on whatever is answered).

Invariants:
    * Without a declaration nothing is asked of anybody.
    * A Redis that cannot be reached holds up neither the start nor a reload longer than its
      time-outs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

from engine.admin.admin_node import SharedLimitsStatus
from engine.admin.shared_directives import SharedDirectives
from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.metrics import Labels, Metrics
from engine.script_declarations import SharedLimitsDeclaration
from engine.throttle.shared_lease import NodeLeases
from engine.throttle.shared_limiter import NodeLimiter

if TYPE_CHECKING:
    from engine.throttle.redis_link import RedisLink


class SharedLimitsPorts(Protocol):
    """What sharing needs from the node."""

    clock: Clock
    supervisor: Supervisor
    metrics: Metrics
    limiter: NodeLimiter
    leases: NodeLeases
    shared_directives: SharedDirectives
    node_id: str


class SharedLimits:
    """The shared limits of one node."""

    def __init__(self, node: SharedLimitsPorts) -> None:
        self._node = node
        self._declared: SharedLimitsDeclaration | None = None
        self.link: RedisLink | None = None

    async def reconcile(self, declared: SharedLimitsDeclaration | None) -> None:
        """Share by way of the Redis that the policy names, or with nobody."""
        if declared == self._declared:
            return
        self._declared = declared
        await self._end()
        if declared is None:
            return
        # A fifth of a second and 10 MB, which only those pay who share.
        from engine.throttle.redis_link import RedisLink  # noqa: PLC0415 - a large library

        node = self._node
        link = RedisLink(declared.redis, node.node_id, node.clock.mono, self, nodes=declared.nodes)
        node.limiter.set_link(link)
        node.leases.set_link(link)
        await link.start(node.supervisor)
        self.link = link
        if declared.share_directives:
            node.shared_directives.share_by(link.ask)

    async def _end(self) -> None:
        link, self.link = self.link, None
        if link is None:
            return
        self._node.shared_directives.share_by(None)
        self._node.leases.give_all_back()
        self._node.limiter.give_all_back()
        self._node.limiter.set_link(None)
        self._node.leases.set_link(None)
        await link.stop()

    async def close(self) -> None:
        """Give back what is held, and end."""
        await self._end()

    def sweep(self) -> None:
        """Renew what is held and give back what found no use; called about once a second."""
        self._node.limiter.sweep_shared()
        self._node.leases.sweep_shared()
        self._node.shared_directives.sync()

    def status(self) -> SharedLimitsStatus:
        """Return what sharing is doing, for people."""
        link = self.link
        if link is None:
            return SharedLimitsStatus(configured=False, shared=False, nodes=1, trouble=None)
        return SharedLimitsStatus(
            configured=True,
            shared=not link.is_alone,
            nodes=link.nodes,
            trouble=link.trouble or None,
        )

    # -- metrics --------------------------------------------------------------------------------

    def observe(self, latency_s: float) -> None:
        """Note how long a round trip took."""
        self._node.metrics.histogram("redis_operation_latency").labels(
            "throttles", "script", "ok"
        ).observe(latency_s)

    def fail(self, latency_s: float) -> None:
        """Note a round trip that failed, and how long that took."""
        self._node.metrics.histogram("redis_operation_latency").labels(
            "throttles", "script", "error"
        ).observe(latency_s)

    def bind_metrics(self) -> None:
        """Have the node's metrics ask here."""
        self._node.metrics.gauge("redis_throttles_shared").set_collect(self._shared)
        self._node.metrics.gauge("redis_throttles_nodes").set_collect(self._nodes)

    def _shared(self) -> Iterable[tuple[Labels, float]]:
        if self.link is not None:
            yield (), float(not self.link.is_alone)

    def _nodes(self) -> Iterable[tuple[Labels, float]]:
        if self.link is not None:
            yield (), float(self.link.nodes)
