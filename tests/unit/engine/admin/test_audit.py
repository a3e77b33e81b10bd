"""Reading the audit log."""

from __future__ import annotations

import pytest

from engine.admin.audit import AUDIT
from engine.admin.directives import BOUNCE, BOUNCE_CANCEL, SUSPEND
from engine.admin.errors import OperationRefusedError
from engine.model.caller import Caller
from tests.fakes.admin_world import admin_world

pytestmark = pytest.mark.real_time


async def test_entries_are_found_by_act_caller_result_and_time(tmp_path):
    async with admin_world(tmp_path) as world:
        await world.act(BOUNCE, reason="x")
        await world.act(SUSPEND, Caller("bob", "192.0.2.9", "http"), reason="y")
        with pytest.raises(OperationRefusedError):
            await world.act(BOUNCE_CANCEL, id="none")

        async def acts(**wanted):
            return [entry.act for entry in (await world.act(AUDIT, **wanted)).entries]

        assert await acts() == ["bounce-cancel", "suspend", "bounce"]
        assert await acts(limit=1) == ["bounce-cancel"]
        assert await acts(act="bounce") == ["bounce-cancel", "bounce"]
        assert await acts(identity="bob") == ["suspend"]
        assert await acts(origin="192.0.2.9") == ["suspend"]
        assert await acts(result="refused") == ["bounce-cancel"]
        assert await acts(since="1970-01-01T00:00:00Z") == ["bounce-cancel", "suspend", "bounce"]
        assert await acts(since="2999-01-01T00:00:00+02:00") == []
        with pytest.raises(OperationRefusedError):
            await acts(since="yesterday")
