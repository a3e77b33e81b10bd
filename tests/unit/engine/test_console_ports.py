"""What the console gets of a node."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from engine.cli.errors import NodeRefusedError
from engine.console_ports import desk_maker
from engine.model.caller import Caller
from tests.fakes.admin_world import admin_world
from tests.fakes.console_world import operator

ANN = Caller("ann", "", "console")


async def test_the_desk_has_all_operations_and_says_why_the_node_takes_no_mail(tmp_path):
    async def knows_nobody(_credentials: object) -> None:
        await asyncio.sleep(0)

    async with admin_world(tmp_path) as world:
        world.declared = SimpleNamespace(callers=SimpleNamespace(authenticate=knows_nobody))
        world.liveness = lambda: "the disk is full"
        desk = desk_maker(world)()

        with pytest.raises(NodeRefusedError, match="the disk is full"):
            await desk.call(operator(), ANN, "GET", "/api/check-liveness/v1", {})
        assert not await desk.check_password("ann", "x")
        for path in ("/api/admin/queues/v1", "/api/admin/xfer/v1"):
            assert ("GET", path) in desk._endpoints
