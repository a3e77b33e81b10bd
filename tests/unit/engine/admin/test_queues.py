"""Scheduled queues, as operators see them."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.queues import INSPECT_SCHEDULED
from tests.fakes.admin_world import admin_world


async def test_a_queue_is_shown_with_some_of_its_messages(tmp_path):
    async with admin_world(tmp_path) as world:
        first, *_ = world.submit(count=3, due_in_s=3600)

        some = await world.act(INSPECT_SCHEDULED, queue_name="a.test", limit=2)
        everything = await world.act(INSPECT_SCHEDULED, queue_name="a.test", want_body=True)
        nothing = await world.act(INSPECT_SCHEDULED, queue_name="a.test", limit=0)

        assert (some.num_scheduled, len(some.messages)) == (3, 2)
        assert len(everything.messages) == 3
        assert nothing.messages == []
        assert some.messages[0].id == first.id
        assert some.messages[0].message.data is None
        assert everything.messages[0].message.data.endswith("hello\r\n")
        assert some.messages[0].message.due > some.now


async def test_a_queue_says_why_its_head_cannot_go(tmp_path):
    script = """
        @on("get_queue_config")
        def get_queue_config(domain, tenant, campaign, routing_domain):
            return mta.make_queue_config(max_message_rate="1/h")
    """
    async with admin_world(tmp_path, script) as world:
        world.submit(count=2)
        await world.settle_down()

        shown = await world.act(INSPECT_SCHEDULED, queue_name="a.test")

        assert shown.blocked_by == "max_message_rate"
        assert shown.queue_config["max_message_rate"] == "1/h"
        assert shown.num_scheduled == 1


async def test_messages_that_cannot_be_read_now_are_left_out(tmp_path):
    async with admin_world(tmp_path) as world:
        world.submit(count=2, due_in_s=3600)
        world.store.is_away = True

        shown = await world.act(INSPECT_SCHEDULED, queue_name="a.test")

        assert (shown.num_scheduled, shown.messages) == (2, [])


async def test_a_queue_that_is_not_there_is_refused(tmp_path):
    async with admin_world(tmp_path) as world:
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(INSPECT_SCHEDULED, queue_name="none.test")

        assert refused.value.refusal is Refusal.NOT_FOUND
