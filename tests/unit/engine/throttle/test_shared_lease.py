"""Connection limits that nodes share by way of a real Redis."""

from __future__ import annotations

import asyncio

import pytest

from engine.throttle import shared_lease
from tests.fakes.shared_redis import options_of, sharing_nodes

pytestmark = pytest.mark.real_time


async def test_connection_limits_are_kept_together(pair):
    one, other = pair
    mine = [await one.lease("site", 3) for _ in range(2)]
    others = await other.lease("site", 3)

    assert all(mine)
    assert others
    assert await other.lease("site", 3, 0.6) is None
    mine[0].release()
    assert await other.lease("site", 3) is not None


async def test_a_node_that_ends_a_session_does_not_starve_the_one_that_waits(pair):
    one, other = pair
    held = await one.lease("fair", 1)
    waiting = asyncio.ensure_future(other.lease("fair", 1))
    await asyncio.sleep(0.1)

    held.release()
    again = asyncio.ensure_future(one.lease("fair", 1, 4.0))
    got = await waiting

    assert got is not None
    assert not again.done()
    got.release()
    assert await again is not None


async def test_several_limits_are_all_had_or_none(pair):
    one, other = pair
    limits = [("small", 1), ("large", 10)]

    async def all_of(node):
        async with asyncio.timeout(5):
            while isinstance(taken := node.leases.acquire_all(limits, 60.0), str):
                await asyncio.sleep(0.02)
            return taken

    taken = await all_of(one)
    assert {lease.key for lease in taken} == {"small", "large"}
    assert other.leases.acquire_all(limits, 60.0) == "small"
    await asyncio.sleep(0.2)
    assert other.leases.acquire_all(limits, 60.0) == "small"
    for lease in taken:
        lease.release()
    assert len(await all_of(other)) == 2


async def test_who_holds_nothing_at_the_end_asks_for_nothing(server):
    async with sharing_nodes(options_of(f"{server.url}/0"), 1) as (node,):
        held = await node.lease("idle", 3)
        held.release()
        await asyncio.sleep(0.1)

    assert node.report.failures == 0


async def test_what_an_outage_kept_from_being_released_does_not_keep_later_leases(pair):
    one, other = pair
    first, second = [await one.lease("outage", 2) for _ in range(2)]
    first.release()
    one.link._be_alone(OSError("gone"))
    await one.link.sign()

    second.release()

    assert await other.lease("outage", 2) is not None


async def test_what_a_killed_node_held_is_free_when_its_leases_end(server, monkeypatch):
    monkeypatch.setattr(shared_lease, "LIFE_S", 0.5)
    async with sharing_nodes(options_of(f"{server.url}/0"), 2) as (one, other):
        assert await one.lease("dead", 1)
        one.kill()
        assert await other.lease("dead", 1, 0.2) is None
        assert await other.lease("dead", 1) is not None


async def test_a_lease_in_use_is_renewed_and_outlives_its_first_time(server, monkeypatch):
    monkeypatch.setattr(shared_lease, "LIFE_S", 0.6)
    monkeypatch.setattr(shared_lease, "RENEW_S", 0.2)
    async with sharing_nodes(options_of(f"{server.url}/0"), 2) as (one, other):
        held = await one.lease("kept", 1)
        for _ in range(10):
            await asyncio.sleep(0.12)
            one.leases.sweep_shared()
            assert held.renew(60.0)
        assert await other.lease("kept", 1, 0.2) is None


async def test_grants_that_find_no_use_are_given_back(server, monkeypatch):
    monkeypatch.setattr(shared_lease, "STOCK_S", 0.05)
    async with sharing_nodes(options_of(f"{server.url}/0"), 2) as (one, other):
        one.leases.acquire_all([("stock", 1)], 60.0)
        await asyncio.sleep(0.2)
        one.leases.sweep_shared()
        assert await other.lease("stock", 1) is not None
