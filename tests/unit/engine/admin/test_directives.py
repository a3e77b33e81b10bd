"""Bounces and suspensions of operators: what they do to mail, and how they are listed and ended."""

from __future__ import annotations

import asyncio

import pytest

from engine.admin.directives import (
    BOUNCE,
    BOUNCE_CANCEL,
    BOUNCE_LIST,
    SUSPEND,
    SUSPEND_CANCEL,
    SUSPEND_LIST,
    SUSPEND_READY,
    SUSPEND_READY_CANCEL,
    SUSPEND_READY_LIST,
)
from engine.admin.errors import OperationRefusedError, Refusal
from engine.model.log_record import RecordKind
from tests.fakes.admin_world import admin_world


async def test_a_bounce_ends_waiting_mail_of_its_scope_and_counts_it_at_once(tmp_path):
    async with admin_world(tmp_path) as world:
        world.submit(due_in_s=3600, count=2)
        world.submit(due_in_s=3600, tenant="t")
        world.submit(domain="b.test", due_in_s=3600)

        made = await world.act(BOUNCE, domain="a.test", reason="asked to")

        assert (made.bounced, made.total_bounced) == ({"a.test": 2, "t@a.test": 1}, 3)
        records = world.records(RecordKind.ADMIN_BOUNCE)
        assert {(one.site, one.response.code) for one in records} == {("localhost", 551)}
        assert "asked to" in records[0].response.content
        assert len(world.store.envelopes) == 1


async def test_a_listed_bounce_counts_what_came_later_too(tmp_path):
    async with admin_world(tmp_path) as world:
        made = await world.act(BOUNCE, domain="a.test", reason="x", duration="1h")
        world.submit(count=2)

        (listed,) = await world.act(BOUNCE_LIST)

        assert (made.total_bounced, listed.total_bounced) == (0, 2)
        assert (listed.id, listed.domain, listed.author) == (made.id, "a.test", "ann")
        assert listed.duration == "1h"


async def test_a_bounce_of_more_than_can_be_seen_through_at_once_answers_soon(tmp_path):
    async with admin_world(tmp_path) as world:
        world.submit(due_in_s=3600)
        world.bounces.on_change.clear()
        before = world.clock.mono()

        made = await world.act(BOUNCE, reason="x")

        assert made.total_bounced == 0
        assert world.clock.mono() - before == pytest.approx(1.0, abs=0.1)
        world.promotion.bounce_waiting()
        await asyncio.sleep(1)
        assert (await world.act(BOUNCE_LIST))[0].total_bounced == 1


async def test_a_bounce_without_records_leaves_none(tmp_path):
    async with admin_world(tmp_path) as world:
        world.submit(due_in_s=3600)

        await world.act(BOUNCE, reason="quietly", suppress_logging=True)

        assert world.records(RecordKind.ADMIN_BOUNCE) == []
        assert not world.store.envelopes


async def test_a_bounce_that_was_ended_bounces_no_more(tmp_path):
    async with admin_world(tmp_path) as world:
        made = await world.act(BOUNCE, reason="x", duration="1h")

        assert await world.act(BOUNCE_CANCEL, id=made.id) == "OK"
        assert await world.act(BOUNCE_LIST) == []
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(BOUNCE_CANCEL, id=made.id)
        assert refused.value.refusal is Refusal.NOT_FOUND
        world.submit()
        await asyncio.sleep(1)
        assert world.records(RecordKind.ADMIN_BOUNCE) == []


async def test_suspended_mail_is_held_with_reason_and_author_until_the_end(tmp_path):
    async with admin_world(tmp_path) as world:
        await world.act(SUSPEND, domain="a.test", reason="slow down", duration="10m")
        world.submit()
        await world.sleep(300)

        (record,) = world.records(RecordKind.TRANSIENT_FAILURE)
        assert record.response.code == 451
        assert "slow down (by ann)" in record.response.content
        assert world.records(RecordKind.DELIVERY) == []
        await world.sleep(600)
        assert len(world.records(RecordKind.DELIVERY)) == 1


async def test_a_suspension_by_names_is_listed_with_them_and_ended(tmp_path):
    async with admin_world(tmp_path) as world:
        made = await world.act(SUSPEND, queue_names=["b.test", "a.test"], reason="x")

        (listed,) = await world.act(SUSPEND_LIST)
        assert (listed.id, listed.queue_names) == (made.id, ["a.test", "b.test"])
        assert await world.act(SUSPEND_CANCEL, id=made.id) == "OK"
        assert await world.act(SUSPEND_LIST) == []


async def test_a_suspended_ready_queue_is_listed_with_its_end_and_ended(tmp_path):
    async with admin_world(tmp_path) as world:
        name = "s1->mx.a.test@smtp_client"
        made = await world.act(SUSPEND_READY, name=name, reason="x", expires="2099-01-01T00:00:00Z")

        (listed,) = await world.act(SUSPEND_READY_LIST)
        assert (listed.name, listed.reason, listed.id) == (name, "x", made.id)
        assert listed.expires.startswith(("2098-12-31T23:59", "2099-01-01T00:00"))
        assert await world.act(SUSPEND_READY_CANCEL, id=made.id) == "OK"
        assert await world.act(SUSPEND_READY_LIST) == []


async def test_an_id_of_another_list_ends_nothing(tmp_path):
    async with admin_world(tmp_path) as world:
        made = await world.act(SUSPEND, reason="x")

        for operation in (SUSPEND_READY_CANCEL, BOUNCE_CANCEL):
            with pytest.raises(OperationRefusedError):
                await world.act(operation, id=made.id)
        assert len(await world.act(SUSPEND_LIST)) == 1


@pytest.mark.parametrize("operation", [BOUNCE, SUSPEND])
@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"duration": "soon"}, "duration"),
        ({"duration": "-5s"}, "duration"),
        ({"expires": "tomorrow"}, "expires"),
        ({"expires": "2099-01-01T00:00:00"}, "expires"),
    ],
)
async def test_a_wrong_time_is_refused_and_changes_nothing(tmp_path, operation, arguments, field):
    async with admin_world(tmp_path) as world:
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(operation, reason="x", **arguments)

        assert refused.value.field == field
        assert await world.act(BOUNCE_LIST) == await world.act(SUSPEND_LIST) == []
