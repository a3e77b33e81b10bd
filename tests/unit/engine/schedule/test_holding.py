"""Held mail."""

import asyncio

import pytest

from engine.model.log_record import RecordKind
from engine.model.message import FLAG_HELD
from engine.schedule.holding import RELEASE_S
from tests.fakes.queue_world import policy, queue_world

READY = "s1->mx.a.test@smtp_client"


@pytest.mark.slow
async def test_what_is_held_again_before_it_went_is_not_recorded_again(tmp_path):
    async with queue_world(tmp_path) as world:
        first = world.suspend(domain="a.test", duration_s=3600)
        world.submit(count=10)
        await world.settle_down()
        world.suspend(tenant="t", duration_s=3600)
        world.suspensions.cancel(first.id)
        await world.sleep(5)
        gone = len(world.carried)
        assert 0 < gone < 10
        world.suspend(domain="a.test", duration_s=100)
        await world.sleep(90)
        assert len(world.carried) == gone
        await world.sleep(72)

        assert len(world.carried) == 10
        assert len(world.records(RecordKind.TRANSIENT_FAILURE)) == 10


@pytest.mark.slow
async def test_mail_that_was_carried_meanwhile_is_recorded_when_it_is_held_anew(tmp_path):
    async with queue_world(tmp_path) as world:
        world.suspend(domain="a.test", duration_s=10)
        world.submit()
        world.gate.clear()
        await world.sleep(75)
        assert len(world.only_ready().messages) == 1
        world.suspend(domain="a.test", duration_s=10)
        world.gate.set()
        await world.sleep(5)

        assert len(world.records(RecordKind.TRANSIENT_FAILURE)) == 2
        await world.sleep(70)


async def test_a_restart_forgets_no_record(tmp_path):
    async with queue_world(tmp_path) as world:
        world.suspend(domain="a.test", duration_s=3600)
        (message,) = world.submit()
        await world.settle_down()
        (entry,) = world.queue("a.test").held.values()
        world.queue("a.test").discard(entry)
        world.promotion.add_waiting(message.spool_id, "a.test", message.due_mono)
        await world.sleep(5)

        assert len(world.records(RecordKind.TRANSIENT_FAILURE)) == 1


async def test_the_spool_knows_that_a_message_is_no_longer_held(tmp_path):
    async with queue_world(tmp_path) as world:
        world.gate.clear()
        suspension = world.suspend(domain="a.test")
        (message,) = world.submit()
        await world.settle_down()
        assert world.stored(message).flags & FLAG_HELD
        world.suspensions.cancel(suspension.id)
        await world.sleep(1)

        assert not world.stored(message).flags & FLAG_HELD
        world.gate.set()
        await world.settle_down()


async def test_one_message_leaves_at_once(tmp_path):
    async with queue_world(tmp_path) as world:
        suspension = world.suspend(domain="a.test")
        world.submit()
        await world.settle_down()
        world.suspensions.cancel(suspension.id)
        await world.sleep(1)

        assert len(world.carried) == 1


async def test_other_queues_stay_held(tmp_path):
    async with queue_world(tmp_path) as world:
        suspension = world.suspend(domain="a.test")
        world.suspend(domain="b.test", duration_s=86400)
        world.submit()
        world.submit("b.test")
        world.submit("c.test")
        await world.settle_down()
        world.suspensions.cancel(suspension.id)
        await world.sleep(5)

        assert [name for _, name, _ in world.carried] == [
            "unspecified->mx.c.test@smtp_client",
            "unspecified->mx.a.test@smtp_client",
        ]


async def test_the_end_of_both_suspensions_is_waited_for(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        world.suspend_ready(READY, duration_s=40)
        world.submit(count=3)
        await world.sleep(10)
        world.suspend(domain="a.test", duration_s=60)
        await world.sleep(50)
        assert world.carried == []
        await world.sleep(11 + RELEASE_S)

        assert len(world.carried) == 3


async def test_a_held_message_that_grew_too_old_expires_at_the_end(tmp_path):
    async with queue_world(tmp_path, policy('max_age="1m"')) as world:
        world.suspend(domain="a.test", duration_s=100)
        world.submit()
        await world.sleep(102)

        assert world.kinds() == {"TransientFailure": 1, "Expiration": 1}


async def test_a_source_that_a_pool_gets_without_a_new_epoch_takes_what_was_held(tmp_path):
    growing = policy().replace(
        'return mta.make_egress_pool(name=name, entries=[{"name": "s1"}])',
        """
    left = CALLS.throttle()["remaining"]
    entries = [{"name": "s1"}] if left else [{"name": "s1"}, {"name": "s2"}]
    return mta.make_egress_pool(name=name, entries=entries, ttl=10)
CALLS = mta.make_throttle("calls", "3/day")
""",
    )
    async with queue_world(tmp_path, growing) as world:
        world.suspend_ready(READY, duration_s=86400)
        world.submit(count=2)
        await world.sleep(100)

        assert [name.split("->")[0] for _, name, _ in world.carried] == ["s2", "s2"]
        assert world.kinds() == {"TransientFailure": 2, "Delivery": 2}


@pytest.mark.slow
async def test_of_many_all_leave_within_a_minute(tmp_path):
    async with queue_world(tmp_path) as world:
        suspension = world.suspend(domain="a.test")
        world.submit(count=3000)
        world.suspensions.cancel(suspension.id)
        await world.sleep(60, step_s=10)

        assert len(world.carried) == 3000


async def test_the_record_of_held_mail_tells_where_it_would_go_as_far_as_that_is_known(tmp_path):
    async with queue_world(tmp_path, policy()) as world:
        world.submit()
        await world.settle_down()
        world.suspend(domain="a.test")
        world.submit()
        world.suspend(domain="b.test")
        world.submit("b.test")
        await world.settle_down()

        known, unknown = world.records(RecordKind.TRANSIENT_FAILURE)
        assert (known.ready_queue, known.site_name) == (READY, "mx.a.test")
        assert (known.egress_pool, known.egress_source) == ("p", "s1")
        assert (unknown.ready_queue, unknown.site_name) == ("", "")


async def test_of_several_sources_the_record_of_held_mail_tells_none(tmp_path):
    async with queue_world(tmp_path, policy(pool='[{"name": "s1"}, {"name": "s2"}]')) as world:
        for source in ("s1", "s2"):
            world.suspend_ready(f"{source}->mx.a.test@smtp_client")
        world.submit()
        await world.settle_down()

        (record,) = world.records(RecordKind.TRANSIENT_FAILURE)
        assert (record.ready_queue, record.site_name) == ("", "mx.a.test")
        assert (record.egress_pool, record.egress_source) == ("p", None)


async def test_looking_at_many_queues_with_held_mail_lets_others_have_their_turns(tmp_path):
    async with queue_world(tmp_path) as world:
        world.suspend()
        for number in range(3000):
            world.submit(f"d{number}.test")
        for directive in world.suspensions.list():
            world.suspensions.cancel(directive.id)
        turns = 0
        while len(world.promotion._holding):
            await asyncio.sleep(0)
            turns += 1
        await world.sleep(60)

        assert turns >= 3


async def test_a_suspension_that_ends_during_a_walk_is_seen_by_the_next(tmp_path):
    async with queue_world(tmp_path) as world:
        world.suspend(domain="a.test")
        second = world.suspend(domain="b.test")
        world.submit("a.test")
        world.submit("b.test")
        world.promotion.release_held()
        world.suspensions.cancel(second.id)
        await world.sleep(5)

        assert [queue.name for queue in world.promotion._holding._queues] == ["a.test"]
