"""Nodes that share limits by way of a Redis, without the rest of a node."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from engine.base.lifecycle import Supervisor
from engine.model.redis_options import RedisOptions, read_redis_options
from engine.model.throttle_spec import ThrottleSpec
from engine.throttle.redis_link import RedisLink
from engine.throttle.shared_lease import NodeLeases
from engine.throttle.shared_limiter import NodeLimiter


class LinkReport:
    """What the link said of its round trips."""

    def __init__(self) -> None:
        self.trips = 0
        self.failures = 0

    def observe(self, latency_s: float) -> None:
        del latency_s
        self.trips += 1

    def fail(self, latency_s: float) -> None:
        del latency_s
        self.failures += 1


class SharingNode:
    """Limiter and leases of one node, and its link."""

    def __init__(self, options: RedisOptions, name: str, nodes: int = 1) -> None:
        mono = asyncio.get_running_loop().time
        self.report = LinkReport()
        self.supervisor = Supervisor()
        self.link = RedisLink(options, name, mono, self.report, nodes=nodes)
        self.limiter = NodeLimiter(mono)
        self.leases = NodeLeases(mono)
        self.limiter.set_link(self.link)
        self.leases.set_link(self.link)

    async def start(self) -> None:
        await self.link.start(self.supervisor)

    async def stop(self) -> None:
        self.leases.give_all_back()
        self.limiter.give_all_back()
        await self.link.stop()
        await self.supervisor.stop()

    def kill(self) -> None:
        """End as a killed process does: nothing is given back."""
        self.link.is_alone = True

    async def lease(self, key: str, limit: int, tries_s: float = 5.0):
        """Return a lease when it can be had; None when it cannot in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(tries_s):
                while True:
                    freed = asyncio.Event()
                    self.leases.on_free.append(lambda _key, freed=freed: freed.set())
                    taken = self.leases.acquire_all([(key, limit)], 60.0)
                    if not isinstance(taken, str):
                        return taken[0]
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(0.5):
                            await freed.wait()
        return None


def options_of(*urls: str, **options) -> RedisOptions:
    node = urls[0] if len(urls) == 1 else list(urls)
    times = {"connect_s": 1.0, "wait_s": 1.0, "response_s": 1.0}
    return read_redis_options("test", {"node": node, **options}, **times)


@contextlib.asynccontextmanager
async def sharing_nodes(options: RedisOptions, count: int) -> AsyncIterator[list[SharingNode]]:
    nodes = [SharingNode(options, f"node-{number}") for number in range(count)]
    for node in nodes:
        await node.start()
    try:
        yield nodes
    finally:
        for node in nodes:
            await node.stop()


async def take_until_refused(
    node: SharingNode, key: str, spec: ThrottleSpec, most: int = 10_000
) -> int:
    """Return how many a node may send now."""
    taken = 0
    while taken < most and not (await node.limiter.take(key, spec)).throttled:
        taken += 1
    return taken
