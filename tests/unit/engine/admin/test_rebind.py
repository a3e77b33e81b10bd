"""Rebinding, as operators ask for it."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.rebind import REBIND
from engine.model.log_record import RecordKind
from tests.fakes.admin_world import admin_world


async def test_the_answer_says_how_it_went_and_records_say_who_and_why(tmp_path):
    async with admin_world(tmp_path) as world:
        world.submit(count=2, due_in_s=3600)

        answer = await world.act(
            REBIND, reason="other route", domain="a.test", data={"routing_domain": "b.test"}
        )

        assert (answer.is_complete, answer.seen, answer.moved) == (True, 2, 2)
        records = world.records(RecordKind.ADMIN_REBIND)
        assert len(records) == 2
        assert "other route (by ann)" in records[0].response.content
        assert [entry.act for entry in world.audited()] == ["rebind"]


SLOW = """
    @on("rebind_message")
    async def rebind_message(msg, data):
        await mta.pause(3)
"""


async def test_what_takes_long_goes_on_after_the_answer(tmp_path):
    async with admin_world(tmp_path, SLOW) as world:
        world.submit(count=2, due_in_s=3600)

        answer = await world.act(REBIND, reason="x", always_flush=True, trigger_rebind_event=True)
        assert (answer.is_complete, answer.flushed) == (False, 0)
        await world.sleep(10)

        assert len(world.records(RecordKind.DELIVERY)) == 2


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({}, "data"), ({"trigger_rebind_event": True}, "trigger_rebind_event")],
)
async def test_what_would_do_nothing_is_refused(tmp_path, arguments, field):
    async with admin_world(tmp_path) as world:
        world.submit(due_in_s=3600)
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(REBIND, reason="x", **arguments)

        assert (refused.value.refusal, refused.value.field) == (Refusal.WRONG, field)
