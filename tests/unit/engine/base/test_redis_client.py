"""Clients of Redis that never send a command twice."""

from __future__ import annotations

import pytest

from engine.base.redis_client import REDIS_FAILURES, open_redis
from engine.model.redis_options import RedisOptions
from tests.fakes.redis_server import redis_server

pytestmark = pytest.mark.real_time


async def test_a_server_is_spoken_to_in_text(tmp_path):
    with redis_server(tmp_path) as server:
        client = await open_redis(RedisOptions((server.url,)))
        await client.set("k", "v")
        assert await client.get("k") == "v"
        await client.aclose()


async def test_a_command_to_a_server_that_is_gone_fails_at_once_and_is_not_repeated(tmp_path):
    with redis_server(tmp_path) as server:
        client = await open_redis(RedisOptions((server.url,)))
        await client.set("k", "v")
    with pytest.raises(REDIS_FAILURES):
        await client.incr("k")
    await client.aclose()


async def test_a_cluster_that_cannot_be_asked_is_an_error():
    with pytest.raises(REDIS_FAILURES):
        await open_redis(RedisOptions(("redis://127.0.0.1:1",), cluster=True))
