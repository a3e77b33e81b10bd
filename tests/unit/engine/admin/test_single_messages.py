"""Acts on one message, wherever it is."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.single_messages import EXPIRE, HOLD, MOVE, RELEASE, SEND_NOW
from engine.model.log_record import RecordKind
from engine.schedule.reinsertion import Reinsertion
from engine.script_views import DIRTY_BODY
from engine.spool.spool_store import StoredMessage
from tests.fakes.admin_world import admin_world
from tests.fakes.queue_world import policy


async def refusal(world, operation, **arguments):
    with pytest.raises(OperationRefusedError) as refused:
        await world.act(operation, **arguments)
    return refused.value.refusal


async def test_a_held_message_stays_until_it_is_released_and_its_queue_goes_on(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=60)
        await world.act(HOLD, id=message.id, reason="evidence")
        world.submit(due_in_s=60)
        await world.sleep(1000)

        assert len(world.records(RecordKind.DELIVERY)) == 1
        (noted,) = world.records(RecordKind.TRANSIENT_FAILURE)
        assert (noted.id, noted.response.code) == (message.id, 451)
        assert "message is held: evidence (by ann)" in noted.response.content
        await world.act(RELEASE, id=message.id)
        await world.sleep(1)

        assert [one.id for one in world.records(RecordKind.DELIVERY)][1:] == [message.id]
        assert world.records(RecordKind.DELIVERY)[1].num_attempts == 0
        assert [one.act for one in world.audited()] == ["hold", "release"]


async def test_a_hold_may_end_by_itself(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit()
        world.gate.clear()
        (message,) = world.submit()
        await world.act(HOLD, id=message.id, reason="x", duration="10m")
        world.gate.set()
        await world.sleep(500)
        assert message.id not in [one.id for one in world.records(RecordKind.DELIVERY)]
        await world.sleep(200)

        assert message.id in [one.id for one in world.records(RecordKind.DELIVERY)]


async def test_a_hold_outlives_a_restart(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=60)
        await world.act(HOLD, id=message.id, reason="evidence")
        queue = world.queue("a.test")
        queue.discard(queue.entries[message.spool_id])
        stored = StoredMessage(message.spool_id, world.store.load(message.spool_id))

        Reinsertion(world).reinsert(stored)
        await world.sleep(1000)

        assert world.records(RecordKind.DELIVERY) == []
        await world.act(RELEASE, id=message.id)
        await world.sleep(1)
        assert len(world.records(RecordKind.DELIVERY)) == 1


async def test_a_held_message_outlives_its_age_and_is_bounced_like_any_other(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit()
        (kept,) = world.submit(domain="b.test", due_in_s=60)
        await world.act(HOLD, id=kept.id, reason="evidence")
        await world.sleep(8 * 86400, step_s=3600)
        assert world.records(RecordKind.EXPIRATION) == []

        world.bounce(domain="b.test")
        await world.settle_down()

        assert [one.id for one in world.records(RecordKind.ADMIN_BOUNCE)] == [kept.id]
        assert message.id != kept.id


async def test_a_message_in_a_ready_queue_is_taken_out_of_it(tmp_path):
    async with admin_world(tmp_path) as world:
        world.gate.clear()
        first, second, third = world.submit(count=3)
        await world.settle_down()

        await world.act(HOLD, id=second.id, reason="x")
        await world.act(EXPIRE, id=third.id, reason="nobody wants it")
        world.gate.set()
        await world.sleep(5)

        assert [one.id for one in world.records(RecordKind.DELIVERY)] == [first.id]
        (expired,) = world.records(RecordKind.EXPIRATION)
        assert expired.id == third.id
        assert "by an operator: nobody wants it (by ann)" in expired.response.content
        assert third.spool_id not in world.store.envelopes


async def test_a_message_sent_now_goes_without_an_attempt_whatever_it_waited_for(tmp_path):
    async with admin_world(tmp_path) as world:
        (waits,) = world.submit(due_in_s=3600)
        (held,) = world.submit(due_in_s=3600)
        await world.act(HOLD, id=held.id, reason="x")

        for message in (waits, held):
            assert (await world.act(SEND_NOW, id=message.id)).queue_name == "a.test"
        await world.sleep(1)

        deliveries = world.records(RecordKind.DELIVERY)
        assert {one.id for one in deliveries} == {waits.id, held.id}
        assert {one.num_attempts for one in deliveries} == {0}


async def test_what_holds_a_queue_holds_a_message_sent_now_too(tmp_path):
    async with admin_world(tmp_path) as world:
        world.suspend(domain="a.test", reason="spam", duration_s=60)
        (message,) = world.submit(due_in_s=3600)
        await world.act(SEND_NOW, id=message.id)
        await world.sleep(30)
        assert world.records(RecordKind.DELIVERY) == []
        await world.sleep(120)

        assert len(world.records(RecordKind.DELIVERY)) == 1


async def test_a_moved_message_goes_by_its_new_queue_and_leaves_a_record(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)
        moved = await world.act(
            MOVE, id=message.id, reason="dead host", data={"routing_domain": "b.test"}
        )
        await world.sleep(1)

        assert moved.queue_name == "a.test!b.test"
        (record,) = world.records(RecordKind.ADMIN_REBIND)
        assert "dead host (by ann)" in record.response.content
        (delivery,) = world.records(RecordKind.DELIVERY)
        assert delivery.queue == "a.test!b.test"


async def test_a_move_to_nowhere_leaves_the_message_where_it_was(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)

        assert await refusal(world, MOVE, id=message.id, reason="x", data={"queue": "t@"}) is (
            Refusal.WRONG
        )
        assert await refusal(world, MOVE, id=message.id, reason="x", data={}) is Refusal.WRONG
        assert world.stored(message).meta == {}
        assert message.spool_id in world.queue("a.test").entries


async def test_a_message_that_is_being_sent_is_left_alone(tmp_path):
    async with admin_world(tmp_path) as world:
        world.world.carry_s = 60
        (message,) = world.submit()
        await world.settle_down()
        (session,) = world.give_sessions(world.only_ready())
        session._hand.take(message)

        for operation in (HOLD, SEND_NOW, EXPIRE):
            assert await refusal(world, operation, id=message.id, reason="x") is (
                Refusal.UNAVAILABLE
            )
        await world.sleep(120)
        assert len(world.records(RecordKind.DELIVERY)) == 1


async def test_what_is_not_there_or_not_held_is_refused(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=60)

        assert await refusal(world, HOLD, id="00" * 16, reason="x") is Refusal.NOT_FOUND
        assert await refusal(world, SEND_NOW, id="nonsense") is Refusal.WRONG
        assert await refusal(world, RELEASE, id=message.id) is Refusal.NOT_FOUND


ASKING = """
    @on("throttle_insert_ready_queue")
    async def throttle_insert_ready_queue(msg):
        await mta.pause(1)
"""


async def test_a_hold_counts_also_where_a_throttle_is_asked_about_the_message_as_it_was(tmp_path):
    async with admin_world(tmp_path, policy(more=ASKING)) as world:
        world.submit()
        await world.sleep(5)
        (message,) = world.submit()
        assert world.queue("a.test").asked is not None

        await world.act(HOLD, id=message.id, reason="evidence")
        await world.sleep(100)

        assert [one.id for one in world.records(RecordKind.DELIVERY)].count(message.id) == 0
        assert world.stored(message).hold.author == "ann"


@pytest.mark.parametrize("seconds", [0.0, 0.5])
async def test_what_is_given_up_while_a_throttle_is_asked_is_not_sent(tmp_path, seconds):
    async with admin_world(tmp_path, policy(more=ASKING)) as world:
        world.submit()
        await world.sleep(5)
        (message,) = world.submit()
        if seconds:
            await world.sleep(seconds, step_s=0.1)

        await world.act(EXPIRE, id=message.id, reason="old")
        await world.sleep(100)

        assert [one.id for one in world.records(RecordKind.DELIVERY)].count(message.id) == 0
        assert [one.id for one in world.records(RecordKind.EXPIRATION)] == [message.id]


async def test_what_a_handler_changed_in_a_message_is_kept_by_an_act(tmp_path):
    async with admin_world(tmp_path) as world:
        world.gate.clear()
        world.submit()
        await world.settle_down()
        (message,) = world.only_ready().messages
        message.data, message.meta_dirty = b"Subject: y\r\n\r\nnew\r\n", DIRTY_BODY

        await world.act(HOLD, id=message.id, reason="x")

        assert world.store.load_body(world.stored(message).body_id).endswith(b"new\r\n")
