"""Find, create and reap ready queues; work out the way a scheduled queue's mail goes.

Place in flow: ``engine.schedule.way_out`` asks for an ``EgressPlan``; this fires
``get_egress_pool``, ``get_egress_source`` and ``get_egress_path`` and resolves the route.

Invariants:
    * One name has one ready queue, whoever feeds it.
    * A failing handler keeps the last good answer; without one the plan fails and mail waits. A
      refusal or an answer of the wrong type is a failure too.
    * A queue with messages or sessions is never reaped, nor one that was asked for lately. A plan
      may outlive its queues: who pushes looks at ``retired``.
    * Reaping looks at a share of the queues at a time, so that very many hold nobody up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from engine.base.clock import Clock
from engine.base.sharded_dict import ShardedDict
from engine.model.egress import (
    UNSPECIFIED,
    EgressPath,
    EgressPool,
    EgressSource,
    PoolEntry,
    make_egress_path,
)
from engine.model.egress_options import RefreshStrategy
from engine.model.errors import ConfigurationError, EngineError
from engine.model.queue_config import Protocol, SmtpProtocol
from engine.model.site_name import ready_queue_name
from engine.model.transfer_target import is_transfer_queue
from engine.ready.ready_queue import ReadyPorts, ReadyQueue
from engine.ready.slot_line import SlotLine
from engine.ready.source_selector import SourceSelector
from engine.route.dns_resolver import DnsResolver
from engine.route.mx_plan import Route, resolve_route
from engine.script_refusals import SmtpRefusal
from policy.errors import HookFailedError
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.ready")

#: An idle empty ready queue is forgotten after this time, seconds.
REAP_S = 600.0
#: How many queues are looked at in one call at least, and in how many calls all are.
LOOK_AT = 1024
ROUND_CALLS = 60
#: A plan without any ready queue (null MX) is asked for again after this time, seconds.
PLAN_S = 60.0
#: A plan is good for at least this time, seconds.
PLAN_MIN_S = 1.0
#: Of mail that goes to another node: no script is asked, a broken one must not keep it here. Few
#: connections, for that node has other work too.
TRANSFER_PATH = make_egress_path(connection_limit=16)
#: Answers of each kind that are remembered.
CACHED_MAX = 100_000


class EgressPlan(NamedTuple):
    """The ways out of a scheduled queue: a ready queue per source, and who is next."""

    pool: str
    selector: SourceSelector
    queues: dict[str, ReadyQueue]
    sources: dict[str, EgressSource]
    until_mono: float
    is_null: bool = False


class WayShown(NamedTuple):
    """A way out as the policy describes it now; ``route`` is None where there is no site."""

    route: Route | None
    site_name: str
    source: EgressSource
    path: EgressPath


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
        self._slot_line = SlotLine(ports.leases)
        self._queues: ShardedDict[str, ReadyQueue] = ShardedDict()
        self._pools: dict[str, _Cached] = {}
        self._sources: dict[str, _Cached] = {}
        self._selectors: dict[tuple[str, str], tuple[Any, SourceSelector]] = {}
        self._hosts: dict[str, tuple[str, ...]] = {}

    def __iter__(self) -> Iterator[ReadyQueue]:
        return self._queues.values()

    def __len__(self) -> int:
        return len(self._queues)

    def find(self, name: str) -> ReadyQueue | None:
        """Return the ready queue of this name, or None."""
        return self._queues.get(name)

    def hosts_of(self, site_name: str) -> tuple[str, ...] | None:
        """Return the names of a site's MX hosts; None where no mail of late went there."""
        return self._hosts.get(site_name)

    async def refresh_path(self, queue: ReadyQueue) -> None:
        """Ask for the path of a queue now, whatever its last answer is good for."""
        path, is_kept = await self._path(queue, queue.routing_domain, queue.source, queue.site_name)
        if not queue.retired:
            self._set_path(queue, path, queue.source, is_kept=is_kept)

    async def describe_way(self, domain: str, protocol: Protocol, source_name: str) -> WayShown:
        """Return the way from a source to a domain as the policy has it now; nothing is made.

        Where the DNS cannot say, the domain stands for its site.

        Raises:
            EngineError: The source does not exist.
            HookFailedError: A handler failed.
        """
        source = await self._source(source_name)
        route = None
        if isinstance(protocol, SmtpProtocol):
            try:
                route = await resolve_route(self._resolver(), domain, protocol.mx_list)
            except EngineError as error:
                log.info("the way to %s is shown without its site: %s", domain, error)
        site_name = domain if route is None else route.site_name
        if route is not None and not route.is_null:
            # As when mail goes there: the path may depend on them.
            self._note_hosts(route)
        path, _ = await self._path(None, domain, source, site_name)
        return WayShown(route, site_name, source, path)

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
            self._note_hosts(route)
        else:
            site_name = domain
        queues: dict[str, ReadyQueue] = {}
        sources: dict[str, EgressSource] = {}
        until = self._clock.mono() + pool.ttl_s
        for entry in pool.entries:
            if not entry.weight:
                continue
            source = await self._source(entry.name)
            queue = await self._queue(source, site_name, domain, protocol, route)
            queue.last_pool = pool.name
            queues[entry.name], sources[entry.name] = queue, source
            until = min(until, self._clock.mono() + source.ttl_s, queue.path_until_mono)
        selector = self._selector(queue_name, pool)
        # Never less than a moment, counted from when all have answered: a TTL of nothing, or slow
        # handlers, must not make a loop of asking.
        soonest = self._clock.mono() + PLAN_MIN_S
        return EgressPlan(pool.name, selector, queues, sources, max(until, soonest))

    async def describe_pool(self, name: str) -> EgressPool:
        """Return an egress pool as the policy has it.

        Raises:
            EngineError: There is none of this name.
            HookFailedError: A handler failed.
        """
        return await self._pool(name)

    def _note_hosts(self, route: Route) -> None:
        if len(self._hosts) > CACHED_MAX:
            self._hosts.clear()
        self._hosts[route.site_name] = tuple(host.name for host in route.hosts)

    def _selector(self, queue_name: str, pool: EgressPool) -> SourceSelector:
        """Return the queue's round robin, kept across refreshes while the pool stays the same."""
        key = (queue_name, pool.name)
        known = self._selectors.get(key)
        if known is not None and known[0] == pool.entries:
            return known[1]
        selector = SourceSelector(pool.entries)
        if len(self._selectors) > CACHED_MAX:
            self._selectors.clear()
        self._selectors[key] = (pool.entries, selector)
        return selector

    async def _cached(self, cache: dict[str, _Cached], hook: str, name: str, wanted: type) -> Any:
        serial = self._runtime.epoch.serial
        known = cache.get(name)
        if known is not None and known.serial == serial and self._clock.mono() < known.until_mono:
            return known.value
        try:
            value = await self._ask(hook, wanted, name)
        except HookFailedError as error:
            if known is None:
                raise
            log.error("%s failed, keeping the last answer: %s", hook, error)
            until_mono = self._clock.mono() + PLAN_S
            cache[name] = known._replace(until_mono=until_mono, serial=serial)
            return known.value
        if value is None:
            return None
        if len(cache) > CACHED_MAX:
            cache.clear()
        cache[name] = _Cached(value, self._clock.mono() + value.ttl_s, serial)
        return value

    async def _ask(self, hook: str, wanted: type, *args: str) -> Any:
        """Return what a handler answers.

        Raises:
            HookFailedError: It failed, refused, or answered with something else than is wanted.
        """
        try:
            value = await self._runtime.fire(hook, *args)
        except SmtpRefusal as refusal:
            raise _failure(hook, f"it refused: {refusal}") from None
        if value is not None and not isinstance(value, wanted):
            raise _failure(hook, f"it did not answer with an {wanted.__name__}")
        return value

    async def _pool(self, name: str) -> EgressPool:
        if name == UNSPECIFIED:
            # Of queues without a pool: it is there whatever the script knows.
            return EgressPool(name=UNSPECIFIED, entries=(PoolEntry(name=UNSPECIFIED),))
        pool = await self._cached(self._pools, "get_egress_pool", name, EgressPool)
        if pool is not None:
            found: EgressPool = pool
            return found
        raise ConfigurationError(f"there is no egress pool {name!r}")

    async def _source(self, name: str) -> EgressSource:
        if name == UNSPECIFIED:
            return EgressSource(name=UNSPECIFIED)
        source = await self._cached(self._sources, "get_egress_source", name, EgressSource)
        if source is not None:
            found: EgressSource = source
            return found
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
            queue.source = source
            now = self._clock.mono()
            # Whoever asks is about to push.
            queue.idle_since_mono = now
            if queue.path_serial == serial and now < queue.path_until_mono:
                return queue
        path, is_kept = await self._path(queue, domain, source, site_name)
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
                slot_line=self._slot_line,
                now_mono=now,
            )
            self._queues[name] = queue
        self._set_path(queue, path, source, is_kept=is_kept)
        queue.path_serial = serial
        return queue

    def _set_path(
        self, queue: ReadyQueue, path: EgressPath, source: EgressSource, *, is_kept: bool
    ) -> None:
        queue.set_path(path, source)
        queue.shrink()
        queue.path_until_mono = self._clock.mono() + path.refresh_interval_s
        if path.refresh_strategy is RefreshStrategy.EPOCH and not is_kept:
            queue.path_until_mono = float("inf")

    async def _path(
        self, queue: ReadyQueue | None, domain: str, source: EgressSource, site_name: str
    ) -> tuple[EgressPath, bool]:
        """Return the path, and whether it is the last good one because the handler failed."""
        if is_transfer_queue(domain):
            return TRANSFER_PATH, False
        try:
            path = await self._ask("get_egress_path", EgressPath, domain, source.name, site_name)
        except HookFailedError as error:
            if queue is None:
                raise
            log.error("get_egress_path failed, keeping the last answer: %s", error)
            return queue.path, True
        return make_egress_path() if path is None else path, False

    def reap(self, now_mono: float) -> list[str]:
        """Forget ready queues that were idle for long; return their names.

        One call looks at some of the queues, the next at those that follow.
        """
        share = max(LOOK_AT, len(self._queues) // ROUND_CALLS)
        gone: list[str] = []
        for name in self._queues.take_names(share):
            queue = self._queues.get(name)
            if queue is None:
                continue
            if queue.messages or queue.dispatchers:
                queue.idle_since_mono = now_mono
            elif now_mono - queue.idle_since_mono >= REAP_S:
                queue.retire()
                del self._queues[name]
                gone.append(name)
        return gone


def _failure(hook: str, message: str) -> HookFailedError:
    return HookFailedError(hook, file="policy", line=None, message=message)
