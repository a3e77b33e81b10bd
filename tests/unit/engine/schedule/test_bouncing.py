"""Administrative bounces over waiting mail."""

import asyncio

from engine.model.log_record import RecordKind
from tests.fakes.queue_world import queue_world


async def test_waiting_mail_is_bounced_with_reason_and_author_unseen_by_others(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit(count=3, due_in_s=600, tenant="t")
        world.submit(count=2, due_in_s=600)
        world.bounce(tenant="t")
        await world.settle_down()

        records = world.records(RecordKind.ADMIN_BOUNCE)
        assert len(records) == 3
        assert {record.response.code for record in records} == {551}
        assert "purged" in records[0].response.content
        assert len(world.store.envelopes) == 2


async def test_a_message_that_comes_under_a_bounce_is_bounced_at_insertion(tmp_path):
    async with queue_world(tmp_path) as world:
        world.bounce(domain="a.test")
        world.submit()
        world.submit(due_in_s=60)

        assert world.kinds() == {"AdminBounce": 2}


async def test_held_mail_is_bounced(tmp_path):
    async with queue_world(tmp_path) as world:
        world.suspend(domain="a.test", duration_s=30)
        world.submit(count=3)
        world.bounce(domain="a.test")
        await world.sleep(100)

        assert world.kinds() == {"TransientFailure": 3, "AdminBounce": 3}


async def test_a_bounce_that_is_cancelled_at_once_stops(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit(count=20, due_in_s=600)
        directive = world.bounce(domain="a.test")
        world.bounces.cancel(directive.id)
        await world.settle_down()

        assert len(world.store.envelopes) == 20


async def test_what_the_spool_cannot_give_now_is_bounced_when_it_falls_due(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit(count=3, due_in_s=20)
        world.store.is_away = True
        world.bounce(domain="a.test")
        await world.sleep(10)
        assert world.kinds() == {"Delayed": 3}
        world.store.is_away = False
        await world.sleep(15)

        assert world.kinds()["AdminBounce"] == 3


async def test_a_bounce_of_many_lets_others_have_their_turns(tmp_path):
    async with queue_world(tmp_path) as world:
        world.submit(count=3000, due_in_s=600)
        world.bounce(domain="a.test")
        turns = 0
        while world.store.envelopes:
            await asyncio.sleep(0)
            turns += 1

        assert turns >= 3


async def test_a_bounce_of_one_among_many_queues_lets_others_have_their_turns(tmp_path):
    async with queue_world(tmp_path) as world:
        for number in range(20_000):
            world.queues.get(f"d{number}.test", world.clock.mono())
        world.submit("last.test", due_in_s=600)
        world.bounce(domain="last.test")
        turns = 0
        while world.store.envelopes:
            await asyncio.sleep(0)
            turns += 1

        assert turns >= 5
