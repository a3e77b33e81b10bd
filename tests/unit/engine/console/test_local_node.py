"""The node that the console runs in, as verbs take it."""

from __future__ import annotations

import asyncio

import pytest

from engine.admin.tracing import SERVER_PATH
from engine.base.trace_hub import TraceEvent
from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.console import local_node
from engine.console.local_node import LocalNode
from tests.fakes.admin_world import admin_world
from tests.fakes.console_world import make_desk, operator


def node_of(world, loop=None) -> LocalNode:
    loop = loop or asyncio.get_running_loop()
    return LocalNode(make_desk(world), loop, operator(), "192.0.2.1")


async def test_verbs_get_plain_values_as_over_http(tmp_path):
    async with admin_world(tmp_path) as world:
        node = node_of(world)

        assert await node.call("GET", "/api/admin/suspend/v1") == []
        body = {"tenant": "acme", "domain": None, "reason": "x"}
        made = await node.call("POST", "/api/admin/suspend/v1", body=body)
        (listed,) = await node.call("GET", "/api/admin/suspend/v1")
        assert await node.call("GET", "/api/check-liveness/v1") == "OK"
        samples = await node.read_metrics(["memory_usage"])

    assert (listed["id"], listed["author"], listed["tenant"]) == (made["id"], "ann", "acme")
    assert list(samples) == ["memory_usage"]


@pytest.mark.real_time
async def test_the_node_may_live_in_another_loop_and_refusals_come_back_from_there(tmp_path):
    async with admin_world(tmp_path) as world:
        node = node_of(world)

        def from_another_thread() -> str:
            async def ask() -> str:
                with pytest.raises(NodeRefusedError, match="422|field|mistyped"):
                    await node.call("GET", "/api/admin/queues/v1", query={"mistyped": 1})
                return await node.call("GET", "/api/check-liveness/v1")

            return asyncio.run(ask())

        assert await asyncio.to_thread(from_another_thread) == "OK"


async def test_what_happens_is_yielded_until_the_caller_goes(tmp_path):
    async with admin_world(tmp_path) as world:
        node = node_of(world)
        frames = node.watch(SERVER_PATH, {})
        first = asyncio.ensure_future(anext(frames))
        await asyncio.sleep(0.1)
        world.tracing.server.publish(TraceEvent({"a": 1}, "Read", b"x", 0.0))

        assert (await first)["conn_meta"] == {"a": 1}
        await frames.aclose()
        await asyncio.sleep(0.1)
        assert not world.tracing.server.is_on


async def test_a_node_that_does_not_answer_is_away_and_the_call_ends_there_too(
    tmp_path, monkeypatch
):
    async with admin_world(tmp_path) as world:
        node = node_of(world)
        ended = asyncio.Event()

        async def hang(*_: object) -> None:
            try:
                await asyncio.sleep(10**6)
            finally:
                ended.set()

        monkeypatch.setattr(node._desk, "call", hang)
        monkeypatch.setattr(local_node, "CALL_S", 5.0)
        with pytest.raises(NodeAwayError, match="within 5 s"):
            await node.call("GET", "/x")
        await asyncio.wait_for(ended.wait(), 1)


async def test_a_node_that_has_stopped_is_away(tmp_path):
    closed = asyncio.new_event_loop()
    closed.close()
    async with admin_world(tmp_path) as world:
        with pytest.raises(NodeAwayError, match="stopped"):
            await node_of(world, closed).call("GET", "/api/admin/suspend/v1")


async def test_what_is_done_at_the_console_itself_is_audited(tmp_path):
    async with admin_world(tmp_path) as world:
        node = node_of(world)
        node.note("console-login", role="viewer")
        node.note_denied("bounce", "not yours")
        await asyncio.sleep(0.1)
        told = [(one.act, one.identity, one.origin, one.result) for one in world.audited()]

    assert told == [
        ("console-login", "ann", "192.0.2.1", "done"),
        ("bounce", "ann", "192.0.2.1", "denied"),
    ]


@pytest.mark.parametrize("turns", range(6))
async def test_who_leaves_while_a_watch_is_being_opened_leaves_none_open(tmp_path, turns):
    async with admin_world(tmp_path) as world:
        frames = node_of(world).watch(SERVER_PATH, {})
        first = asyncio.ensure_future(anext(frames))
        for _ in range(turns):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.sleep(0.05)

        assert len(world.tracing.server) == 0
