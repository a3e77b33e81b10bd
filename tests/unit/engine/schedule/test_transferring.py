"""Mail set aside for another node and brought back, wherever it is at that moment."""

import asyncio

import pytest

from engine.model.circumstances import NOWHERE
from engine.model.insert_reason import InsertReason
from engine.model.log_record import RecordKind
from engine.model.message import FLAG_HELD
from engine.model.reply import make_reply
from engine.model.schedule_window import parse_schedule
from engine.model.suspension import Criteria
from engine.model.transfer_state import INFO, assigned_target
from engine.model.transfer_target import parse_target
from engine.schedule import transferring
from engine.schedule.transferring import TransferOrder, name_of
from engine.script_views import DIRTY_BODY
from tests.fakes.queue_world import queue_world

NODE = parse_target("http://10.0.0.2:8000")
OTHER = parse_target("http://10.0.0.3:8000")
ORDER = TransferOrder(NODE, "full (by ann)")
EVERYTHING = Criteria()
EARLIER = "2040-01-02T03:04:05Z"


@pytest.fixture
async def world(tmp_path):
    async with queue_world(tmp_path) as made:
        # Nothing leaves a ready queue.
        made.gate.clear()
        yield made


def moves(world):
    return [record.queue for record in world.records(RecordKind.ADMIN_REBIND)]


# -- away


async def test_mail_that_waits_goes_into_the_queue_of_the_target_due_at_once(world):
    (message,) = world.submit(tenant="shop", due_in_s=600)
    message.attempts = 3
    message.schedule = parse_schedule({"first_attempt": EARLIER})
    world.store.update(message)

    assert await world.transferring.move(EVERYTHING, ORDER) == 1

    stored = world.stored(message)
    assert assigned_target(stored) == NODE
    assert stored.meta[INFO]["tenant"] == "shop"
    assert stored.due_mono == pytest.approx(world.clock.mono())
    assert (stored.attempts, stored.schedule) == (0, None)
    (record,) = world.records(RecordKind.ADMIN_REBIND)
    assert (record.id, record.queue) == (message.id, NODE.queue_name)
    assert record.response.content.startswith("Moved from shop@a.test to http://10.0.0.2:8000/")
    assert record.response.content.endswith("full (by ann)")
    await world.settle_down()
    assert world.only_ready().name == f"unspecified->{NODE.queue_name}@xfer"


async def test_only_what_the_criteria_cover_goes(world):
    world.submit(tenant="shop", count=2, due_in_s=600)
    world.submit(tenant="other", due_in_s=600)
    world.submit("b.test", tenant="shop", due_in_s=600)

    assert await world.transferring.move(Criteria(tenant="shop", domain="a.test"), ORDER) == 2
    named = Criteria(queue_names=frozenset({"other@a.test"}))
    assert await world.transferring.move(named, ORDER) == 1

    assert len(world.queue("shop@b.test")) == 1


async def test_mail_in_a_ready_queue_goes_too_and_the_rest_of_it_stays(world):
    world.submit(tenant="one", count=3)
    world.submit(tenant="two", count=2)
    await world.settle_down()
    ready = world.only_ready()
    assert len(ready.messages) == 5

    assert await world.transferring.move(Criteria(tenant="one"), ORDER) == 3

    assert [message.queue_name for message in ready.messages] == ["two@a.test"] * 2
    assert world.transferring.in_hand == 0


async def test_held_mail_goes_and_is_not_held_by_the_same_suspension_again(world):
    world.suspend()
    (message,) = world.submit()
    await world.settle_down()
    assert world.stored(message).flags & FLAG_HELD

    assert await world.transferring.move(EVERYTHING, ORDER) == 1
    await world.settle_down()

    assert not world.stored(message).flags & FLAG_HELD
    (ready,) = world.ready
    assert [one.id for one in ready.messages] == [message.id]


async def test_a_suspension_of_the_transfers_own_queue_holds_it(world):
    world.suspend(queue_names=frozenset({NODE.queue_name}))
    world.submit(due_in_s=600)

    await world.transferring.move(EVERYTHING, ORDER)
    await world.settle_down()

    assert [len(ready.messages) for ready in world.ready] == []
    assert len(world.queue(NODE.queue_name)) == 1


async def test_edited_content_that_nobody_stored_yet_goes_along(world):
    world.submit()
    await world.settle_down()
    (message,) = world.only_ready().messages
    message.data, message.meta_dirty = b"edited", DIRTY_BODY

    await world.transferring.move(EVERYTHING, ORDER)

    assert world.store.load_body(message.body_id) == b"edited"
    assert message.meta_dirty == 0


async def test_a_later_order_takes_mail_to_another_node_as_it_was_first(world):
    (message,) = world.submit(tenant="shop", due_in_s=600)
    await world.transferring.move(EVERYTHING, ORDER)
    await world.settle_down()

    assert await world.transferring.move(EVERYTHING, ORDER) == 0
    assert await world.transferring.move(EVERYTHING, TransferOrder(OTHER, "why")) == 1

    stored = world.stored(message)
    assert assigned_target(stored) == OTHER
    assert stored.meta[INFO]["tenant"] == "shop"
    assert moves(world) == [NODE.queue_name, OTHER.queue_name]


async def test_what_the_spool_cannot_give_now_stays_where_it_is(world):
    (message,) = world.submit(due_in_s=600)
    world.store.is_away = True

    assert await world.transferring.move(EVERYTHING, ORDER) == 0

    world.store.is_away = False
    assert await world.transferring.move(EVERYTHING, ORDER) == 1
    assert assigned_target(world.stored(message)) == NODE


async def test_a_damaged_message_is_given_up_on_record(world):
    (message,) = world.submit(due_in_s=600)
    world.store.envelopes[message.spool_id] = b"\xff"

    assert await world.transferring.move(EVERYTHING, ORDER) == 0

    (record,) = world.records(RecordKind.BOUNCE)
    assert record.id == message.id
    assert message.spool_id in world.store.set_aside


async def test_an_envelope_that_is_gone_is_passed_over(world):
    (message,) = world.submit(due_in_s=600)
    del world.store.envelopes[message.spool_id]

    assert await world.transferring.move(EVERYTHING, ORDER) == 0
    assert len(world.queue("a.test")) == 0


async def test_a_message_that_cannot_be_moved_stays_in_its_queue(world, monkeypatch):
    first, second = world.submit(count=2, due_in_s=600)
    real = transferring.assign

    def failing(message, *args):
        if message.id == first.id:
            raise RuntimeError("a defect")
        real(message, *args)

    monkeypatch.setattr(transferring, "assign", failing)

    assert await world.transferring.move(EVERYTHING, ORDER) == 1

    assert list(world.queue("a.test").entries) == [first.spool_id]
    assert assigned_target(world.stored(second)) == NODE


async def test_records_that_find_no_room_make_the_move_wait(world):
    world.submit(count=3, due_in_s=600)
    room = asyncio.Event()
    world.sink.must_wait, world.sink.wait_capacity = True, room.wait
    moving = asyncio.ensure_future(world.transferring.move(EVERYTHING, ORDER))
    await world.settle_down()
    assert moves(world) == []

    world.sink.must_wait = False
    room.set()

    assert await moving == 3


BROKEN = """
@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    1 / 0


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    1 / 0


@on("throttle_insert_ready_queue")
def throttle(msg):
    1 / 0


@on("message_requeued")
def message_requeued(msg, response, reasons, attempt_counted, delay):
    mta.reject(550, "given up")
"""


async def test_no_script_is_asked_about_the_queue_of_a_target(tmp_path):
    async with queue_world(tmp_path, BROKEN) as world:
        world.gate.clear()
        world.submit(count=2, due_in_s=600)

        await world.transferring.move(EVERYTHING, ORDER)
        await world.settle_down()

        ready = world.only_ready()
        assert (len(ready.messages), ready.path.connection_limit.limit) == (2, 16)
        message = ready.take_nowait()
        await world.settlement.defer_whole(message, make_reply(451, "4.4.1 no"), NOWHERE)
        assert 9.0 < world.stored(message).due_mono - world.clock.mono() < 11.0
        assert world.records(RecordKind.BOUNCE) == []


async def test_mail_does_not_grow_too_old_while_it_waits_for_another_node(world):
    (message,) = world.submit(age_s=6.9 * 86400, due_in_s=60)
    await world.transferring.move(EVERYTHING, ORDER)
    await world.settle_down()

    for _ in range(3):
        await world.sleep(86400, step_s=3600)
        world.settlement.put_back(
            world.only_ready().take_nowait(), InsertReason.DISPATCHER_DROP, 0.0
        )
        await world.settle_down()

    assert world.records(RecordKind.EXPIRATION) == []
    assert assigned_target(world.stored(message)) == NODE


# -- back


async def test_a_cancellation_gives_everything_back_as_it_was(world):
    waiting = world.submit(tenant="shop", due_in_s=600)[0]
    waiting.attempts = 3
    world.store.update(waiting)
    world.submit("b.test")
    await world.settle_down()
    due_mono = world.stored(waiting).due_mono
    await world.transferring.move(EVERYTHING, ORDER)
    await world.settle_down()

    assert await world.transferring.bring_back(NODE.queue_name, "no (by ann)") == 2

    stored = world.stored(waiting)
    assert (stored.meta, stored.attempts) == ({"tenant": "shop"}, 3)
    assert stored.due_mono == pytest.approx(due_mono, abs=0.001)
    assert len(world.queue("shop@a.test")) == 1
    assert sorted(moves(world)[2:]) == ["b.test", "shop@a.test"]
    last = world.records(RecordKind.ADMIN_REBIND)[-1]
    assert last.response.content.endswith("no (by ann)")


async def test_what_comes_back_from_the_target_after_a_cancellation_is_restored(world):
    world.submit(tenant="shop", due_in_s=600)
    await world.transferring.move(EVERYTHING, ORDER)
    await world.settle_down()
    in_hand = world.only_ready().take_nowait()

    assert await world.transferring.bring_back(NODE.queue_name, "no") == 0
    world.settlement.put_back(in_hand, InsertReason.DISPATCHER_DROP, 0.0)

    assert world.stored(in_hand).meta == {"tenant": "shop"}
    assert len(world.queue("shop@a.test")) == 1


async def test_a_new_order_ends_a_cancellation(world):
    world.submit(due_in_s=600)
    await world.transferring.bring_back(NODE.queue_name, "no")
    await world.transferring.move(EVERYTHING, ORDER)
    await world.settle_down()
    in_hand = world.only_ready().take_nowait()

    world.settlement.put_back(in_hand, InsertReason.DISPATCHER_DROP, 5.0)

    assert assigned_target(world.stored(in_hand)) == NODE


async def test_a_cancellation_ends_the_move_that_is_still_going_on(world):
    world.submit(count=400, due_in_s=600)
    moving = asyncio.ensure_future(world.transferring.move(EVERYTHING, ORDER))
    await asyncio.sleep(0)

    restored = await world.transferring.bring_back(NODE.queue_name, "no")

    assert await moving == restored
    assert len(world.queue("a.test")) == 400


async def test_mail_that_a_script_has_in_such_a_queue_is_no_cancellations_business(world):
    (message,) = world.submit(due_in_s=600)
    world.queue("a.test").entries.clear()
    message.meta["queue"] = message.queue_name = NODE.queue_name
    world.store.update(message)
    world.promotion.insert(message)

    assert await world.transferring.bring_back(NODE.queue_name, "no") == 0

    assert len(world.queue(NODE.queue_name)) == 1


async def test_what_cannot_be_restored_stays_where_it_is(world):
    (message,) = world.submit(due_in_s=600)
    await world.transferring.move(EVERYTHING, ORDER)
    await world.settle_down()
    in_ready = world.only_ready().messages[0]
    in_ready.meta[INFO] = {"due": "never"}

    assert await world.transferring.bring_back(NODE.queue_name, "no") == 0

    places = world.places()
    assert places[message.spool_id] == 1
    assert assigned_target(world.stored(message)) == NODE


async def test_cancellations_are_remembered_up_to_a_bound(world):
    for number in range(transferring.CANCELLED_MAX + 5):
        await world.transferring.bring_back(f"http://h:{number + 1}/", "no")

    assert len(world.transferring._cancelled) == transferring.CANCELLED_MAX


# -- a standing order


async def test_with_a_standing_order_what_is_deferred_goes_to_the_target(world):
    world.submit(tenant="shop")
    await world.settle_down()
    message = world.only_ready().take_nowait()
    message.attempts = 2
    world.transferring.standing = ORDER

    world.settlement.put_back(message, InsertReason.DISPATCHER_DROP, 30.0)

    stored = world.stored(message)
    assert assigned_target(stored) == NODE
    assert (stored.meta[INFO]["tenant"], stored.meta[INFO]["num_attempts"]) == ("shop", 2)


async def test_a_defect_of_the_order_loses_no_message(world, monkeypatch):
    world.submit()
    await world.settle_down()
    message = world.only_ready().take_nowait()
    world.transferring.standing = ORDER
    monkeypatch.setattr(transferring, "assign", lambda *_: 1 / 0)

    world.settlement.put_back(message, InsertReason.DISPATCHER_DROP, 30.0)

    assert len(world.queue("a.test")) == 1


# -- names


@pytest.mark.parametrize(
    ("meta", "recipients", "name"),
    [
        ({}, ["b@y.test"], "y.test"),
        ({"queue": "own"}, ["b@y.test"], "own"),
        ({"queue": "t@"}, ["b@y.test"], "unroutable.invalid"),
        ({}, ["nobody"], "unroutable.invalid"),
        ({}, ["b@-nonsense-"], "unroutable.invalid"),
    ],
)
async def test_a_message_whose_queue_cannot_be_named_waits_where_it_is_seen(
    world, meta, recipients, name
):
    (message,) = world.submit()
    message.meta, message.recipients = meta, recipients
    assert name_of(message) == name
