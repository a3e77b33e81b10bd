"""Where a message is."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError
from engine.admin.message_place import find_place, take_out
from engine.model.errors import SpoolUnavailableError
from tests.fakes.admin_world import admin_world


async def test_a_message_is_found_where_it_waits(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=60)

        place = await find_place(world, message.spool_id)

        assert (place.queue_name, place.queue.name) == ("a.test", "a.test")
        assert place.entry.spool_id == message.spool_id
        assert place.ready is place.session is None


async def test_a_message_is_found_in_its_ready_queue_also_without_a_plan(tmp_path):
    async with admin_world(tmp_path) as world:
        world.gate.clear()
        _, message = world.submit(count=2)
        await world.settle_down()
        by_plan = await find_place(world, message.spool_id)
        world.queue("a.test").plan = None

        place = await find_place(world, message.spool_id)

        assert by_plan.ready is place.ready is world.only_ready()
        assert place.entry is None


async def test_a_message_is_found_in_a_hand(tmp_path):
    async with admin_world(tmp_path) as world:
        world.world.carry_s = 30
        (message,) = world.submit()
        await world.settle_down()
        (session,) = world.give_sessions(world.only_ready())
        session._hand.take(message)

        place = await find_place(world, message.spool_id)

        assert place.session is session
        with pytest.raises(OperationRefusedError, match="being sent"):
            take_out(world, message.spool_id, place)


async def test_a_message_that_left_its_place_meanwhile_is_not_taken(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=60)
        place = await find_place(world, message.spool_id)
        await world.sleep(120)

        with pytest.raises(OperationRefusedError, match="on its way"):
            take_out(world, message.spool_id, place)


async def test_a_message_whose_name_says_something_else_is_found_all_the_same(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=60)
        message.meta = {"tenant": "other"}
        world.store.update(message)

        place = await find_place(world, message.spool_id)

        assert place.queue_name == "a.test" and place.entry is not None


async def test_what_was_read_before_an_attempt_does_not_bring_back_who_was_reached(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=60)
        message.recipients = ["done@a.test", "waits@a.test"]
        world.store.update(message)
        place = await find_place(world, message.spool_id)
        # While it was looked for everywhere, one of the recipients was reached.
        message.recipients = ["waits@a.test"]
        message.attempts = 1
        world.store.update(message)

        taken = take_out(world, message.spool_id, place)
        world.promotion.insert(taken)

        assert (taken.recipients, taken.attempts) == (["waits@a.test"], 1)


async def test_a_message_of_a_spool_that_cannot_be_read_stays_where_it_is(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=60)
        place = await find_place(world, message.spool_id)
        world.store.is_away = True

        with pytest.raises(SpoolUnavailableError):
            take_out(world, message.spool_id, place)

        world.store.is_away = False
        assert world.queue("a.test").knows(place.entry)
