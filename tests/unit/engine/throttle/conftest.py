"""A real Redis for the tests of shared limits, and two nodes that share it."""

from __future__ import annotations

import pytest

from tests.fakes.redis_server import redis_server
from tests.fakes.shared_redis import options_of, sharing_nodes


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def pair(server):
    async with sharing_nodes(options_of(f"{server.url}/0"), 2) as nodes:
        yield nodes
        client = nodes[0].link._client
        if client is not None:
            await client.flushall()
