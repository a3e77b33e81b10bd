"""Snapshots for explanations are plain values of one moment."""

from __future__ import annotations

from engine.admin.admin_node import SharedLimitsStatus
from engine.admin.why_snapshot import see_node, see_queue, see_way
from tests.fakes.admin_world import admin_world
from tests.fakes.queue_world import policy


async def test_a_queue_is_seen_with_what_is_due_held_and_later(tmp_path):
    async with admin_world(tmp_path) as world:
        world.suspend(domain="a.test", duration_s=60)
        world.submit(count=2)
        world.submit(count=3, due_in_s=500)
        await world.settle_down()
        queue = world.queue("a.test")

        seen = await see_queue(world, queue)
        await world.sleep(200)

        assert (seen.count, seen.held, seen.due) == (5, 2, 0)
        assert seen.suspended.author == "ann"
        assert 490 < seen.next_due_at - (world.clock.wall() - 200) < 510


async def test_who_holds_a_shared_limit_is_seen(tmp_path):
    script = policy(path='additional_connection_limits={"all": 1}')
    async with admin_world(tmp_path, script) as world:
        world.gate.clear()
        world.submit(count=5)
        world.submit(domain="b.test", count=5)
        await world.sleep(10)
        way = world.ready.find("s1->mx.b.test@smtp_client")

        seen = await see_way(world, way)

        assert (seen.limited_by, seen.limit) == ("all", 1)
        assert seen.holders == ("s1->mx.a.test@smtp_client (1)",)
        assert seen.held_here == 1


async def test_rates_are_seen_with_when_they_free(tmp_path):
    script = policy(path='max_message_rate="1/min", additional_message_rate_throttles={"t": "1/h"}')
    async with admin_world(tmp_path, script) as world:
        world.submit()
        await world.settle_down()
        way = world.only_ready()
        world.limiter.bucket(f"max_message_rate.{way.name}", way.path.max_message_rate).take()

        seen = await see_way(world, way)

        frees = {rate.knob: rate.frees_at - world.clock.wall() for rate in seen.message_rates}
        assert 55 < frees["max_message_rate"] <= 60
        assert frees["additional_message_rate_throttles"] <= 0.01
        assert [rate.name for rate in seen.message_rates] == ["t", None]


async def test_with_whom_limits_are_shared_is_seen(tmp_path):
    async with admin_world(tmp_path) as world:
        assert see_node(world, None).nodes == 1
        assert not see_node(world, None).is_alone

        world.sharing = SharedLimitsStatus(
            configured=True, shared=False, nodes=3, trouble="no route to host"
        )
        seen = see_node(world, None)

        assert (seen.nodes, seen.is_alone, seen.alone_for) == (3, True, "no route to host")


async def test_the_spools_trouble_is_seen(tmp_path):
    async with admin_world(tmp_path) as world:
        assert see_node(world, None).spool_trouble == ""
        world.store.is_away = True
        assert see_node(world, None).spool_trouble == "the disk is away"
        assert see_node(world, None).retry_interval == "1200s"
