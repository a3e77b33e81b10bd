"""Single messages, as operators see them."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.messages import INSPECT
from engine.admin.queues import INSPECT_SCHEDULED
from tests.fakes.admin_world import admin_world


async def test_a_message_that_waits_is_shown_with_its_content_if_wanted(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(tenant="acme", due_in_s=3600)

        shown = await world.act(INSPECT, id=message.id)
        whole = await world.act(INSPECT, id=message.id, want_body=True)

        assert shown.id == message.id
        assert (shown.message.sender, shown.message.recipient) == ("s@from.test", "r@a.test")
        assert (shown.message.meta, shown.message.num_attempts) == ({"tenant": "acme"}, 0)
        assert shown.message.data is None
        assert whole.message.data == "Subject: x\r\n\r\nhello\r\n"


async def test_who_reads_content_is_in_the_audit_log(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)
        name = message.queue_name

        await world.act(INSPECT, id=message.id)
        await world.act(INSPECT_SCHEDULED, queue_name=name)
        assert world.audited() == []

        await world.act(INSPECT, id=message.id, want_body=True)
        await world.act(INSPECT_SCHEDULED, queue_name=name, want_body=True)

        acts = sorted(entry.act for entry in world.audited())
        assert acts == ["inspect-message", "inspect-sched-q"]


async def test_several_recipients_are_a_list(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)
        message.recipients.append("q@a.test")
        world.store.update(message)

        shown = await world.act(INSPECT, id=message.id)

        assert shown.message.recipient == ["r@a.test", "q@a.test"]


@pytest.mark.parametrize(
    ("text", "refusal"),
    [("00" * 16, Refusal.NOT_FOUND), ("00", Refusal.WRONG), ("nonsense", Refusal.WRONG)],
)
async def test_what_is_no_message_is_refused(tmp_path, text, refusal):
    async with admin_world(tmp_path) as world:
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(INSPECT, id=text)

        assert refused.value.refusal is refusal


async def test_a_spool_that_is_away_is_a_reason_to_try_later(tmp_path):
    async with admin_world(tmp_path) as world:
        (message,) = world.submit(due_in_s=3600)
        world.store.is_away = True
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(INSPECT, id=message.id)

        assert refused.value.refusal is Refusal.UNAVAILABLE
