"""A look into the node itself."""

from __future__ import annotations

import logging

import pytest

from engine.admin.diagnostics import (
    LOG_FILTER,
    LOG_FILTER_SHOW,
    MACHINE_INFO,
    MEMORY_STATS,
    TASK_DUMP,
)
from engine.admin.errors import OperationRefusedError
from engine.base.run_log import set_log_filter
from tests.fakes.admin_world import admin_world


@pytest.fixture
def levels():
    before = logging.getLogger().level
    yield
    set_log_filter(logging.getLevelName(before).lower())


async def test_the_log_says_as_much_as_it_is_asked_for(tmp_path, levels):
    async with admin_world(tmp_path) as world:
        assert await world.act(LOG_FILTER, filter="warn,cirrus.x=debug") == "OK"

        assert logging.getLogger("cirrus.y").isEnabledFor(logging.INFO) is False
        assert logging.getLogger("cirrus.x").isEnabledFor(logging.DEBUG) is True
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(LOG_FILTER, filter="loud")
        assert refused.value.field == "filter"
        assert (await world.act(LOG_FILTER_SHOW)).filter == "warn,cirrus.x=debug"
        assert [one.result for one in world.audited()] == ["done", "refused"]


async def test_memory_is_told_in_lines_for_people(tmp_path):
    async with admin_world(tmp_path) as world:
        world.gate.clear()
        world.submit(count=3)
        world.submit(domain="b.test", due_in_s=60)
        await world.settle_down()

        world.only_ready().messages[0].data = b"x" * 66
        text = await world.act(MEMORY_STATS)

        assert "with 1 messages on disk" in text
        assert "1 with 3 messages" in text
        assert "1 with 66 octets" in text
        assert len(text.splitlines()) == 10


async def test_tasks_are_told_where_they_wait(tmp_path):
    async with admin_world(tmp_path) as world:
        world.gate.clear()
        world.submit()
        await world.settle_down()

        text = await world.act(TASK_DUMP, timeout=1)

        assert "1 x dispatcher unspecified->mx.a.test@smtp_client" in text
        assert "_dispatch" in text


@pytest.mark.real_time
async def test_the_machine_is_told_with_the_node_on_it(tmp_path):
    async with admin_world(tmp_path) as world:
        shown = await world.act(MACHINE_INFO)

        assert (shown.node_id, shown.version) == ("node-1", "1.2.3")
        assert shown.online_since == "2026-01-01T00:00:00Z"
