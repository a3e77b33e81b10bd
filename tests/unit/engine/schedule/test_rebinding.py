"""Waiting mail moved by an operator: where it goes, when it is due, what stays."""

from __future__ import annotations

import asyncio

import pytest

from engine.model.log_record import RecordKind
from engine.model.reply import make_reply
from engine.model.suspension import Criteria
from engine.schedule.rebinding import RebindCount, Rebinding, RebindOrder
from tests.fakes.queue_world import queue_world

HANDLER = """
    @on("rebind_message")
    {async_}def rebind_message(msg, data):
        mta.tell(data["why"])
        {pause}
        if data["why"] == "refuse":
            mta.reject(550, "5.7.1 no")
        if data["why"] == "fail":
            msg.set_meta("tenant", "half done")
            1 / 0
        if data["why"] == "move":
            msg.set_meta("routing_domain", "b.test")
"""
SYNC = HANDLER.format(async_="", pause="pass")
ASYNC = HANDLER.format(async_="async ", pause="await mta.pause(5)")


async def rebind(world, criteria=None, **order):
    count = RebindCount()
    order.setdefault("data", {})
    made = RebindOrder("asked to (by ann)", **order)
    await Rebinding(world).rebind(Criteria(**(criteria or {})), made, count)
    return count


async def test_new_metadata_moves_mail_and_it_is_due_at_once(tmp_path):
    async with queue_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)
        stays = world.submit(domain="c.test", due_in_s=3600)[0]

        count = await rebind(world, {"domain": "a.test"}, data={"routing_domain": "b.test"})
        await world.sleep(5)

        assert (count.seen, count.moved, count.failed) == (1, 1, 0)
        (record,) = world.records(RecordKind.ADMIN_REBIND)
        assert (record.queue, record.id) == ("a.test!b.test", message.id)
        assert record.response.content == ("Moved from a.test to a.test!b.test: asked to (by ann)")
        (delivery,) = world.records(RecordKind.DELIVERY)
        assert (delivery.ready_queue, delivery.num_attempts) == (
            "unspecified->mx.b.test@smtp_client",
            0,
        )
        assert stays.spool_id in world.queue("c.test").entries


async def test_what_stays_in_its_queue_keeps_its_time_and_gets_the_metadata(tmp_path):
    async with queue_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)
        entry = world.queue("a.test").entries[message.spool_id]

        count = await rebind(world, data={"x_note": "seen"})

        assert (count.seen, count.moved) == (1, 0)
        assert world.queue("a.test").entries[message.spool_id] is entry
        stored = world.stored(message)
        assert stored.meta == {"x_note": "seen"}
        assert stored.due_mono == pytest.approx(message.due_mono, abs=1)
        assert world.records(RecordKind.ADMIN_REBIND) == []


async def test_a_flush_has_all_of_it_go_now_without_an_attempt(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit(count=3, due_in_s=3600)

        count = await rebind(world, flushes=True)
        await world.sleep(5)

        assert (count.flushed, count.moved) == (3, 0)
        deliveries = world.records(RecordKind.DELIVERY)
        assert [one.num_attempts for one in deliveries] == [0, 0, 0]
        assert world.records(RecordKind.ADMIN_REBIND) == []


async def test_a_silent_move_leaves_no_record(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit(due_in_s=3600)
        count = await rebind(world, data={"tenant": "t"}, is_silent=True)

        assert count.moved == 1
        assert world.records(RecordKind.ADMIN_REBIND) == []


@pytest.mark.parametrize("script", [SYNC, ASYNC])
async def test_a_handler_decides_where_mail_goes(tmp_path, script):
    async with queue_world(tmp_path, script) as world:
        world.submit(due_in_s=3600)

        count = await rebind(world, data={"why": "move"}, by_handler=True)
        await world.sleep(5)

        assert world.told == ["move"]
        assert count.moved == 1
        (delivery,) = world.records(RecordKind.DELIVERY)
        assert delivery.queue == "a.test!b.test"


@pytest.mark.parametrize("script", [SYNC, ASYNC])
@pytest.mark.parametrize("why", ["refuse", "fail"])
async def test_a_handler_that_fails_leaves_the_message_as_it_was(tmp_path, script, why):
    async with queue_world(tmp_path, script) as world:
        (message,) = world.submit(due_in_s=3600)

        count = await rebind(world, data={"why": why}, by_handler=True)

        assert (count.seen, count.moved, count.failed) == (1, 0, 1)
        assert world.stored(message).meta == {}
        assert message.spool_id in world.queue("a.test").entries
        assert world.queue("a.test").entries[message.spool_id].due_mono > world.clock.mono() + 3000


async def test_while_an_async_handler_thinks_nobody_else_takes_the_message(tmp_path):
    async with queue_world(tmp_path, ASYNC) as world:
        (message,) = world.submit(due_in_s=2)
        async with asyncio.TaskGroup() as group:
            group.create_task(rebind(world, data={"why": "stay"}, by_handler=True))
            await world.sleep(4)
            assert world.records(RecordKind.DELIVERY) == []
            world.hands.add(message.spool_id)
            world.assert_each_in_one_place()
            world.hands.discard(message.spool_id)
        await world.sleep(5)

        assert len(world.records(RecordKind.DELIVERY)) == 1


async def test_metadata_that_names_no_queue_leaves_the_message(tmp_path):
    async with queue_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)

        count = await rebind(world, data={"queue": "tenant@"})

        assert count.failed == 1
        assert world.stored(message).meta == {}


async def test_mail_moved_into_a_queue_that_is_covered_too_is_moved_once(tmp_path):
    async with queue_world(tmp_path, SYNC.replace('"b.test"', "msg.recipient.domain")) as world:
        world.gate.clear()
        for letter in "abc":
            world.submit(domain=f"{letter}.test", due_in_s=3600)
        world.suspend(reason="hold")

        count = await rebind(world, data={"why": "move"}, by_handler=True)

        assert (count.seen, len(world.told)) == (3, 3)


async def test_held_mail_is_moved_and_a_spool_that_is_away_leaves_it(tmp_path):
    async with queue_world(tmp_path) as world:
        world.suspend(domain="a.test", duration_s=3600)
        world.submit(count=2)
        await world.settle_down()
        world.store.is_away = True
        assert (await rebind(world, data={"routing_domain": "b.test"})).seen == 0
        world.store.is_away = False

        count = await rebind(world, data={"domain": "x", "tenant": "t"})

        assert count.moved == 2
        assert len(world.queue("t@a.test")) == 2


SLOW = """
    @on("get_queue_config")
    async def get_queue_config(domain, tenant, campaign, routing_domain):
        await mta.pause(3)
        return mta.make_queue_config()
"""


async def test_metadata_is_not_lost_where_promotion_has_read_the_message_before(tmp_path):
    async with queue_world(tmp_path, SLOW) as world:
        world.reply_of = lambda message: make_reply(451, "4.7.1 later")
        (message,) = world.submit()
        await world.sleep(1)

        await rebind(world, data={"x_note": "seen"})
        await world.sleep(10)

        stored = world.stored(message)
        assert (stored.meta, stored.attempts) == ({"x_note": "seen"}, 1)
        assert len(world.carried) == 1
