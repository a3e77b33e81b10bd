"""Find, create and reap ready queues; work out the way a scheduled queue's mail goes.

Place in flow: ``engine.schedule.promotion`` asks for an ``EgressPlan``; this fires
``get_egress_pool``, ``get_egress_source`` and ``get_egress_path`` and resolves the route.

Invariants:
    * One name has one ready queue, whoever feeds it.
    * A failing handler keeps the last good answer; without one the plan fails and mail waits.
    * A queue with messages or sessions is never reaped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from engine.base.clock import Clock
from engine.model.egress import (
    UNSPECIFIED,
    EgressPath,
    EgressPool,
    EgressSource,
    PoolEntry,
    make_egress_path,
)
from engine.model.errors import ConfigurationError
from engine.model.queue_config import Protocol, SmtpProtocol
from engine.model.site_name import ready_queue_name
from engine.ready.ready_queue import ReadyPorts, ReadyQueue
from engine.ready.source_selector import SourceSelector
from engine.route.dns_resolver import DnsResolver
from engine.route.mx_plan import Route, resolve_route
from engine.script_refusals import SmtpRefusal
from policy.errors import HookFailedError
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.ready")

#: An idle empty ready queue is forgotten after this time, seconds.
REAP_S = 600.0
#: A plan without any ready queue (null MX) is asked for again after this time, seconds.
PLAN_S = 60.0
#: A plan is good for at least this time, seconds.
PLAN_MIN_S = 1.0
_SMTP_LABEL = "smtp_client"


class EgressPlan(NamedTuple):
    """The ways out of a scheduled queue: a ready queue per source, and who is next."""

    pool: str
    selector: SourceSelector
    queues: dict[str, ReadyQueue]
    sources: dict[str, EgressSource]
    until_mono: float
    is_null: bool = False


class _Cached(NamedTuple):
    value: Any
    until_mono: float
    serial: int


class ReadyRegistry:
    """The ready queues of a node, by name, and the egress configuration behind them."""

    def __init__(
        self,
        ports: ReadyPorts,
        runtime: PolicyRuntime,
        resolver: Callable[[], DnsResolver],
        clock: Clock,
    ) -> None:
        self._ports = ports
        self._runtime = runtime
        self._resolver = resolver
        self._clock = clock
        self._queues: dict[str, ReadyQueue] = {}
        self._pools: dict[str, _Cached] = {}
        self._sources: dict[str, _Cached] = {}
        self._selectors: dict[tuple[str, str], tuple[Any, SourceSelector]] = {}

    def __iter__(self) -> Iterator[ReadyQueue]:
        return iter(list(self._queues.values()))

    def __len__(self) -> int:
        return len(self._queues)

    def find(self, name: str) -> ReadyQueue | None:
        """Return the ready queue of this name, or None."""
        return self._queues.get(name)

    async def plan_for(
        self, queue_name: str, domain: str, protocol: Protocol, pool_name: str | None
    ) -> EgressPlan:
        """Return the ways out for mail to a domain.

        Raises:
            EngineError: The route cannot be resolved, or pool or source do not exist.
            HookFailedError: A handler failed and there is no earlier answer.
        """
        pool = await self._pool(pool_name or UNSPECIFIED)
        route: Route | None = None
        if isinstance(protocol, SmtpProtocol):
            route = await resolve_route(self._resolver(), domain, protocol.mx_list)
            site_name = route.site_name
            if route.is_null:
                until = self._clock.mono() + PLAN_S
                return EgressPlan(pool.name, SourceSelector(()), {}, {}, until, is_null=True)
        else:
            site_name = domain
        queues: dict[str, ReadyQueue] = {}
        sources: dict[str, EgressSource] = {}
        # Never less than a moment: a TTL of nothing must not make a loop of asking.
        soonest = self._clock.mono() + PLAN_MIN_S
        until = self._clock.mono() + pool.ttl_s
        for entry in pool.entries:
            if not entry.weight:
                continue
            source = await self._source(entry.name)
            queue = await self._queue(source, site_name, domain, protocol, route)
            queues[entry.name], sources[entry.name] = queue, source
            until = min(until, self._clock.mono() + source.ttl_s, queue.path_until_mono)
        selector = self._selector(queue_name, pool)
        return EgressPlan(pool.name, selector, queues, sources, max(until, soonest))

    def _selector(self, queue_name: str, pool: EgressPool) -> SourceSelector:
        """Return the queue's round robin, kept across refreshes while the pool stays the same."""
        key = (queue_name, pool.name)
        known = self._selectors.get(key)
        if known is not None and known[0] == pool.entries:
            return known[1]
        selector = SourceSelector(pool.entries)
        if len(self._selectors) > 100_000:
            self._selectors.clear()
        self._selectors[key] = (pool.entries, selector)
        return selector

    async def _cached(self, cache: dict[str, _Cached], hook: str, name: str, wanted: type) -> Any:
        serial = self._runtime.epoch.serial
        known = cache.get(name)
        now = self._clock.mono()
        if known is not None and known.serial == serial and now < known.until_mono:
            return known.value
        try:
            value = await self._runtime.fire(hook, name)
        except (HookFailedError, SmtpRefusal) as error:
            if known is None:
                raise _as_failure(error) from None
            log.error("%s failed, keeping the last answer: %s", hook, error)
            cache[name] = known._replace(until_mono=now + PLAN_S, serial=serial)
            return known.value
        if value is None:
            return None
        if not isinstance(value, wanted):
            raise ConfigurationError(f"{hook}({name!r}) did not answer with an {wanted.__name__}")
        if len(cache) > 100_000:
            cache.clear()
        ttl_s: float = value.ttl_s  # type: ignore[attr-defined] # both kinds have it
        cache[name] = _Cached(value, now + ttl_s, serial)
        return value

    async def _pool(self, name: str) -> EgressPool:
        pool = await self._cached(self._pools, "get_egress_pool", name, EgressPool)
        if pool is not None:
            found: EgressPool = pool
            return found
        if name == UNSPECIFIED:
            return EgressPool(name=UNSPECIFIED, entries=(PoolEntry(name=UNSPECIFIED),))
        raise ConfigurationError(f"there is no egress pool {name!r}")

    async def _source(self, name: str) -> EgressSource:
        source = await self._cached(self._sources, "get_egress_source", name, EgressSource)
        if source is not None:
            found: EgressSource = source
            return found
        if name == UNSPECIFIED:
            return EgressSource(name=UNSPECIFIED)
        raise ConfigurationError(f"there is no egress source {name!r}")

    async def _queue(
        self,
        source: EgressSource,
        site_name: str,
        domain: str,
        protocol: Protocol,
        route: Route | None,
    ) -> ReadyQueue:
        name = ready_queue_name(source.name, site_name, protocol.label)
        queue = self._queues.get(name)
        serial = self._runtime.epoch.serial
        if queue is not None:
            queue.route = route
            queue.protocol = protocol
            if queue.path_serial == serial and self._clock.mono() < queue.path_until_mono:
                return queue
        path = await self._path(queue, domain, source, site_name)
        # Another scheduled queue may have made it while the handler was asked.
        queue = self._queues.get(name)
        now = self._clock.mono()
        if queue is None:
            queue = ReadyQueue(
                name,
                site_name=site_name,
                source=source,
                path=path,
                route=route,
                routing_domain=domain,
                protocol=protocol,
                ports=self._ports,
                now_mono=now,
            )
            self._queues[name] = queue
        else:
            queue.set_path(path, source)
            queue.shrink()
        queue.path_serial = serial
        queue.path_until_mono = now + path.refresh_interval_s
        return queue

    async def _path(
        self, queue: ReadyQueue | None, domain: str, source: EgressSource, site_name: str
    ) -> EgressPath:
        try:
            path = await self._runtime.fire("get_egress_path", domain, source.name, site_name)
        except (HookFailedError, SmtpRefusal) as error:
            if queue is None:
                raise _as_failure(error) from None
            log.error("get_egress_path failed, keeping the last answer: %s", error)
            return queue.path
        if path is None:
            return make_egress_path()
        if not isinstance(path, EgressPath):
            raise ConfigurationError("get_egress_path did not answer with an EgressPath")
        return path

    def reap(self, now_mono: float) -> None:
        """Forget ready queues that were idle for long."""
        for name, queue in list(self._queues.items()):
            if queue.messages or queue.dispatchers:
                queue.idle_since_mono = now_mono
            elif now_mono - queue.idle_since_mono >= REAP_S:
                queue.retire()
                del self._queues[name]

    def maintain_all(self) -> None:
        """Have every ready queue look for work: after a suspension or an outage ended."""
        for queue in self:
            queue.maintain()


def _as_failure(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else ConfigurationError(str(error))
