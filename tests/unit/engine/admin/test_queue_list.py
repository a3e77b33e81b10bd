"""Queues in a list."""

from __future__ import annotations

import pytest

from engine.admin.queue_list import QUEUES
from tests.fakes.admin_world import admin_world


async def filled(world):
    world.gate.clear()
    world.submit(count=3, due_in_s=600)
    world.submit(domain="b.test", count=5, due_in_s=600, tenant="t")
    world.submit(domain="c.test", count=2)
    await world.settle_down()


def names(listed):
    return [one.queue_name for one in listed.scheduled], [one.queue_name for one in listed.ready]


async def test_the_fullest_queues_come_first(tmp_path):
    async with admin_world(tmp_path) as world:
        await filled(world)

        listed = await world.act(QUEUES)

        assert names(listed) == (["t@b.test", "a.test"], ["unspecified->mx.c.test@smtp_client"])
        assert [one.count for one in listed.scheduled] == [5, 3]
        assert (listed.ready[0].count, listed.ready[0].connections) == (2, 2)
        assert listed.ready[0].routing_domain == "c.test"
        assert (listed.scheduled_matching, listed.scheduled_total) == (2, 3)


@pytest.mark.parametrize(
    ("wanted", "scheduled", "ready"),
    [
        ({"order": "name"}, ["a.test", "t@b.test"], 1),
        ({"limit": 1}, ["t@b.test"], 1),
        ({"limit": 0}, [], 0),
        ({"tenant": "t"}, ["t@b.test"], 0),
        ({"domain": "a.test"}, ["a.test"], 0),
        ({"domain": "c.test"}, [], 1),
        ({"name": "test"}, ["t@b.test", "a.test"], 1),
        ({"pool": "unspecified"}, [], 1),
        ({"source": "other"}, [], 0),
        ({"has_empty": True, "order": "name"}, ["a.test", "c.test", "t@b.test"], 1),
    ],
)
async def test_queues_are_found_by_what_they_are(tmp_path, wanted, scheduled, ready):
    async with admin_world(tmp_path) as world:
        await filled(world)

        listed = await world.act(QUEUES, **wanted)

        assert (names(listed)[0], len(listed.ready)) == (scheduled, ready)


async def test_a_queue_says_what_holds_it(tmp_path):
    async with admin_world(tmp_path) as world:
        world.suspend(domain="a.test", reason="spam")
        world.submit(count=2)
        await world.settle_down()

        (shown,) = (await world.act(QUEUES)).scheduled

        assert (shown.count, shown.held, shown.suspended) == (2, 2, "spam (by ann)")


async def test_of_thousands_of_queues_the_fullest_are_found(tmp_path):
    async with admin_world(tmp_path) as world:
        for number in range(3000):
            queue = world.queues.get(f"d{number}.test", 0.0)
            for _ in range(1 + (number == 1234)):
                queue.entries[bytes([len(queue.entries)])] = object()
        listed = await world.act(QUEUES, limit=3)
        for queue in world.queues:
            queue.entries.clear()

        assert listed.scheduled[0].queue_name == "d1234.test"
        assert (len(listed.scheduled), listed.scheduled_matching) == (3, 3000)
