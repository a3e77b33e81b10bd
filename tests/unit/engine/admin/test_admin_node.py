"""The node of the tests has what administration asks a node for."""

from engine.admin.admin_node import AdminNode
from tests.fakes.admin_world import admin_world


async def test_a_world_is_a_node(tmp_path):
    async with admin_world(tmp_path) as world:
        missing = [name for name in AdminNode.__annotations__ if not hasattr(world, name)]

        assert missing == []
