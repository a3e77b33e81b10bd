"""Acts on the node itself."""

from __future__ import annotations

import pytest

from engine.admin.admin_node import SharedLimitsStatus
from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.maintenance import (
    AUTOMATION,
    BUMP_EPOCH,
    COMPACT_SPOOL,
    SHARED_LIMITS,
    SWITCH_AUTOMATION,
)
from policy.errors import PolicyLoadError
from tests.fakes.admin_world import admin_world


async def test_it_is_shown_whether_limits_are_shared_and_why_not(tmp_path):
    async with admin_world(tmp_path) as world:
        world.sharing = SharedLimitsStatus(
            configured=True, shared=False, nodes=3, trouble="no answer in time"
        )
        shown = await world.act(SHARED_LIMITS)

    assert (shown.nodes, shown.shared, shown.trouble) == (3, False, "no answer in time")


async def test_the_automation_is_switched_and_shown(tmp_path):
    async with admin_world(tmp_path) as world:
        assert await world.act(SWITCH_AUTOMATION, enabled=False) == {"is_off": True}
        assert await world.act(AUTOMATION) == {"is_off": True}
        assert await world.act(SWITCH_AUTOMATION, enabled=True) == {"is_off": False}

        world.automation_is_off = None
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(SWITCH_AUTOMATION, enabled=True)
        assert refused.value.refusal is Refusal.NOT_FOUND


@pytest.mark.parametrize(
    ("error", "refusal", "text"),
    [
        (PolicyLoadError("init.py", 7, "no such name"), Refusal.FAILED, "init.py:7: no such name"),
        (OSError(24, "Too many open files"), Refusal.UNAVAILABLE, "Too many open files"),
    ],
)
async def test_a_policy_that_is_not_taken_is_answered_with_the_reason(
    tmp_path, error, refusal, text
):
    async with admin_world(tmp_path) as world:
        assert await world.act(BUMP_EPOCH) == "OK"
        world.reload = error
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(BUMP_EPOCH)

        assert refused.value.refusal is refusal
        assert text in refused.value.text
        assert [entry.result for entry in world.audited()] == ["done", "failed"]


@pytest.mark.parametrize("name", ["spool", "data", "meta"])
async def test_the_spool_is_compacted_by_any_of_its_names(tmp_path, name):
    async with admin_world(tmp_path) as world:
        assert await world.act(COMPACT_SPOOL, name=name) == "OK"
        with pytest.raises(OperationRefusedError) as refused:
            await world.act(COMPACT_SPOOL, name="other")

        assert refused.value.refusal is Refusal.NOT_FOUND
