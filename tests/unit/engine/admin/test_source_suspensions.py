"""Egress sources taken out and let back by operators."""

from __future__ import annotations

import pytest

from engine.admin.directives import SUSPEND, SUSPEND_LIST
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.source_suspensions import (
    SUSPEND_SOURCE,
    SUSPEND_SOURCE_CANCEL,
    SUSPEND_SOURCE_LIST,
)
from engine.model.log_record import RecordKind
from tests.fakes.admin_world import ANN, admin_world
from tests.fakes.queue_world import policy


async def test_mail_of_a_source_that_is_out_waits_until_it_is_let_back(tmp_path):
    async with admin_world(tmp_path, policy()) as world:
        made = await world.act(SUSPEND_SOURCE, name="s1", reason="blocked", duration="1h")
        world.submit()
        await world.sleep(60)
        (listed,) = await world.act(SUSPEND_SOURCE_LIST)

        assert (listed.id, listed.name, listed.author) == (made.id, "s1", ANN.identity)
        assert (listed.reason, listed.duration) == ("blocked", "59m")
        assert world.records(RecordKind.DELIVERY) == []

        assert await world.act(SUSPEND_SOURCE_CANCEL, id=made.id) == "OK"
        await world.sleep(120)
        assert await world.act(SUSPEND_SOURCE_LIST) == []
        assert len(world.records(RecordKind.DELIVERY)) == 1


async def test_one_that_the_node_took_out_is_let_back_too(tmp_path):
    async with admin_world(tmp_path) as world:
        world.suspensions.add_source("s1", "not here", "source health", 600.0)
        (listed,) = await world.act(SUSPEND_SOURCE_LIST)

        assert await world.act(SUSPEND_SOURCE_CANCEL, id=listed.id) == "OK"
        assert world.suspensions.is_empty


async def test_an_id_of_another_list_lets_nothing_back(tmp_path):
    async with admin_world(tmp_path) as world:
        made = await world.act(SUSPEND, reason="x")
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(SUSPEND_SOURCE_CANCEL, id=made.id)

        assert refused.value.refusal is Refusal.NOT_FOUND
        assert len(await world.act(SUSPEND_LIST)) == 1
