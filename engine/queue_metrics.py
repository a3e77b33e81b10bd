"""What is known of all queues, as metrics: one walk over them, in pieces, however many there are.

Place in flow: ``engine.node_metrics`` binds it; ``/metrics`` asks.

Invariants:
    * One walk counts everything, so that sums agree with the series beside them.
    * A walk may be stopped after every few queues while mail flows; it is as consistent as a count
      of something that moves can be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from engine.base.metrics import Labels
from engine.model.queue_name import parse_queue_name
from engine.ready.ready_queue import ReadyQueue
from engine.schedule.scheduled_queue import ScheduledQueue

#: What the walk yields, in this order.
QUEUE_METRICS = (
    "scheduled_count",
    "ready_count",
    "scheduled_count_total",
    "scheduled_queue_count",
    "scheduled_by_domain",
    "scheduled_by_tenant",
    "scheduled_by_tenant_campaign",
    "queued_count_by_provider",
    "queued_count_by_provider_and_pool",
    "connection_count",
    "connection_count_by_provider",
    "connection_count_by_provider_and_pool",
    "message_count",
    "message_meta_resident_count",
    "message_data_resident_count",
)
#: Parts of a tally, a power of two: growing moves one of them.
PARTS = 256
_MASK = PARTS - 1
#: Queues between two places to pause, and series.
_PAUSE_EVERY = 32
#: Between two labels in one key: no name of a provider or a pool has it.
_BETWEEN = "\0"
Sample = tuple[str, Labels, float]


class _Tally:
    """Sums by label values; nobody notices when a million of them grow or go.

    What they are of is one text, also where it stands for two labels, and the dictionaries are
    plain ones: a million tuples, or sums that the collector of garbage looks at, hold the loop.

    Attributes:
        parts: The sums, by the hash of what they are of.
    """

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: list[dict[str, int]] = [{} for _ in range(PARTS)]

    def add(self, key: str, number: int) -> None:
        part = self.parts[hash(key) & _MASK]
        part[key] = part.get(key, 0) + number

    def drain(self) -> Iterator[tuple[str, int]]:
        """Yield what the sums are of, and the sums, and forget them."""
        for part in self.parts:
            while part:
                yield part.popitem()
            # Its table goes now: all of them at the end would hold the loop.
            part.clear()


class _Sums:
    """What is summed up on the way."""

    def __init__(self) -> None:
        self.scheduled = self.scheduled_queues = self.ready = self.bodies = 0
        self.domains, self.tenants, self.campaigns = _Tally(), _Tally(), _Tally()
        self.providers, self.pools = _Tally(), _Tally()
        self.ready_kinds: Counter[str] = Counter({"smtp_client": 0})
        self.connections = _Tally()
        self.connection_kinds: Counter[str] = Counter({"smtp_client": 0})
        self.connection_providers, self.connection_pools = _Tally(), _Tally()

    def add_scheduled(self, queue: ScheduledQueue, count: int) -> None:
        # Written out: of a million queues each call would cost as much as what it does.
        parsed, mask = queue.parsed, _MASK
        domain, tenant, campaign = parsed.domain, parsed.tenant, parsed.campaign
        self.scheduled += count
        part = self.domains.parts[hash(domain) & mask]
        part[domain] = part.get(domain, 0) + count
        if tenant:
            part = self.tenants.parts[hash(tenant) & mask]
            part[tenant] = part.get(tenant, 0) + count
        if campaign:
            self.campaigns.add(queue.name.partition("@")[0], count)
        provider = provider_of_waiting(queue)
        part = self.providers.parts[hash(provider) & mask]
        part[provider] = part.get(provider, 0) + count
        pool = queue.plan.pool if queue.plan is not None else _pool_of(queue)
        both = f"{provider}{_BETWEEN}{pool}"
        part = self.pools.parts[hash(both) & mask]
        part[both] = part.get(both, 0) + count

    def add_ready(self, queue: ReadyQueue, kind: str) -> None:
        messages, sessions = len(queue.messages), len(queue.dispatchers)
        self.ready += messages
        self.ready_kinds[kind] += messages
        self.connection_kinds[kind] += sessions
        if not messages and not sessions:
            return
        provider = provider_of(queue)
        if messages:
            self.providers.add(provider, messages)
            for pool, number in Counter(one.pool or "" for one in queue.messages).items():
                self.pools.add(f"{provider}{_BETWEEN}{pool}", number)
            self.bodies += sum(one.data is not None for one in queue.messages)
        if sessions:
            self.connections.add(f"{kind}:{queue.name}", sessions)
            self.connection_providers.add(provider, sessions)
            # A source may be in several pools; its sessions are told of as of the last one.
            self.connection_pools.add(f"{provider}{_BETWEEN}{queue.last_pool}", sessions)


def walk_queues(
    scheduled: Iterable[ScheduledQueue], ready: Iterable[ReadyQueue]
) -> Iterator[Sample | None]:
    """Yield the series of ``QUEUE_METRICS``; None where the reader may pause."""
    sums = _Sums()
    for number, queue in enumerate(scheduled):
        if number % _PAUSE_EVERY == 0:
            yield None
        sums.scheduled_queues += 1
        count = len(queue)
        if count:
            sums.add_scheduled(queue, count)
            yield "scheduled_count", (queue.name,), count
    for number, way in enumerate(ready):
        if number % _PAUSE_EVERY == 0:
            yield None
        kind = _kind_of(way)
        sums.add_ready(way, kind)
        if way.messages:
            yield "ready_count", (f"{kind}:{way.name}",), len(way.messages)
    yield from _kinds("ready_count", sums.ready_kinds)
    yield "scheduled_count_total", (), sums.scheduled
    yield "scheduled_queue_count", (), sums.scheduled_queues
    yield from _series("scheduled_by_domain", sums.domains)
    yield from _series("scheduled_by_tenant", sums.tenants)
    yield from _series("scheduled_by_tenant_campaign", sums.campaigns, _campaign)
    yield from _series("queued_count_by_provider", sums.providers)
    yield from _series("queued_count_by_provider_and_pool", sums.pools, _two)
    yield from _series("connection_count", sums.connections)
    yield from _kinds("connection_count", sums.connection_kinds)
    yield from _series("connection_count_by_provider", sums.connection_providers)
    pools = sums.connection_pools
    yield from _series("connection_count_by_provider_and_pool", pools, _two)
    yield "message_count", (), sums.scheduled + sums.ready
    # Of a message that waits only what schedules it is in memory.
    yield "message_meta_resident_count", (), sums.ready
    yield "message_data_resident_count", (), sums.bodies


def _series(
    name: str, tally: _Tally, labels_of: Callable[[str], Labels] = lambda key: (key,)
) -> Iterator[Sample | None]:
    for number, (key, value) in enumerate(tally.drain()):
        if number % _PAUSE_EVERY == 0:
            yield None
        yield name, labels_of(key), value


def _two(key: str) -> Labels:
    """Return the two labels that a key stands for."""
    first, _, second = key.partition(_BETWEEN)
    return first, second


def _campaign(key: str) -> Labels:
    """Return tenant and campaign of the part of queue names that stands for them."""
    if "%" in key:
        parsed = parse_queue_name(f"{key}@")
        return parsed.tenant or "", parsed.campaign or ""
    campaign, _, tenant = key.partition(":")
    return tenant, campaign


def _kinds(name: str, sums: Mapping[str, int]) -> Iterator[Sample]:
    for kind, value in sums.items():
        yield name, (kind,), value


def _pool_of(queue: ScheduledQueue) -> str:
    return (queue.config.egress_pool if queue.config is not None else None) or "unspecified"


def provider_of(ready: Any) -> str:
    """Return the provider of a ready queue; its site where it has none."""
    name: str = ready.path.provider_name or ready.site_name
    return name


def provider_of_waiting(queue: ScheduledQueue) -> str:
    """Return the provider of a scheduled queue; the site that it last led to, or its domain."""
    if queue.config is not None and queue.config.provider_name:
        return queue.config.provider_name
    ways = queue.plan.queues.values() if queue.plan is not None else ()
    return next((provider_of(ready) for ready in ways), queue.domain)


def _kind_of(ready: Any) -> str:
    # What comes behind may hold the signs that part the name, as the path of a maildir does.
    label: str = ready.name.partition(f"->{ready.site_name}@")[2]
    return label.partition(":")[0]
