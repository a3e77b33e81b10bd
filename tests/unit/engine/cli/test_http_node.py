"""A node reached over HTTP."""

from __future__ import annotations

import asyncio
import json

import click
import pytest
from aiohttp import BasicAuth, web

from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.cli.http_node import HttpNode, encode_query


@pytest.fixture
async def served():
    """Return the endpoint of a small node, and what it was asked."""
    asked: list[tuple[str, dict[str, object], str | None]] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        known = request.headers.get("Authorization")
        asked.append((request.path_qs, body, known))
        if request.path == "/no":
            return web.json_response({"error": "not so"}, status=422)
        if request.path == "/draining":
            return web.Response(status=503, text="draining;\nthe disk is full\x1b[1m")
        if request.path == "/odd":
            return web.Response(text="{", content_type="application/json")
        if request.path == "/metrics":
            return web.Response(text='up{a="b"} 1\nother 2\n')
        if request.path == "/text":
            return web.Response(text="OK")
        return web.json_response({"fine": True})

    async def watch(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        wanted = json.loads(await socket.receive_str())
        if wanted.get("bad"):
            await socket.send_str('{"error": "no such filter"}')
        else:
            await socket.send_str(json.dumps({"wanted": wanted}))
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/watch", watch)
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"127.0.0.1:{port}", asked
    await runner.cleanup()


async def test_arguments_go_as_query_or_body_and_what_is_none_stays_away(served):
    host, asked = served
    async with HttpNode(f"http://{host}") as node:
        assert await node.call("GET", "/a", query={"x": 1, "y": None, "z": True}) == {"fine": True}
        assert await node.call("POST", "/b", body={"q": ["1"], "r": None}) == {"fine": True}
        assert await node.call("GET", "/text") == "OK"

    assert asked[0][0] == "/a?x=1&z=true"
    assert asked[1][:2] == ("/b", {"q": ["1"]})
    assert encode_query({"name": ["a", "b"]}) == [("name", "a"), ("name", "b")]


async def test_credentials_of_the_url_are_shown_to_the_node_and_to_nobody_else(served):
    host, asked = served
    async with HttpNode(f"http://ann:s%40cret@{host}") as node:
        with pytest.raises(NodeRefusedError) as refused:
            await node.call("GET", "/no")
    async with HttpNode("http://ann:s%40cret@127.0.0.1:1") as node:
        with pytest.raises(NodeAwayError) as away:
            await node.call("GET", "/")

    assert BasicAuth.decode(asked[0][2]).password == "s@cret"
    assert refused.value.message == "the node answers 422: not so"
    assert refused.value.status == 422
    assert away.value.message == "no answer of http://127.0.0.1:1: Connection refused"


async def test_a_refusal_in_plain_text_is_one_line(served):
    host, _ = served
    async with HttpNode(f"http://{host}") as node:
        with pytest.raises(NodeRefusedError) as refused:
            await node.call("GET", "/draining")
    assert refused.value.message == ("the node answers 503: draining; the disk is full\\x1b[1m")


async def test_something_that_is_no_node_is_said_to_be_none(served):
    host, _ = served
    async with HttpNode(f"http://{host}") as node:
        with pytest.raises(NodeRefusedError, match="is it a node"):
            await node.call("GET", "/odd")


async def test_metrics_are_read_by_name(served):
    host, asked = served
    async with HttpNode(f"http://{host}") as node:
        samples = await node.read_metrics(["up", "down"])

    assert (samples["up"][0].value, samples["down"]) == (1, [])
    # A large node counts much that is not wanted here.
    assert asked[0][0] == "/metrics?names=up,down"


async def test_a_watcher_says_what_it_wants_and_hears_refusals(served):
    host, _ = served
    async with HttpNode(f"http://{host}") as node:
        frames = [frame async for frame in node.watch("/watch", {"terse": True, "none": None})]
        with pytest.raises(NodeRefusedError, match="no such filter"):
            async for _ in node.watch("/watch", {"bad": True}):
                pass
        with pytest.raises(NodeRefusedError, match="200"):
            async for _ in node.watch("/text", {}):
                pass

    assert frames == [{"wanted": {"terse": True}}]


@pytest.mark.real_time
async def test_a_node_that_never_answers_is_away_after_its_time():
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    async with server, HttpNode(f"http://{host}:{port}", answer_s=0.05) as node:
        with pytest.raises(NodeAwayError, match="too long"):
            await node.call("GET", "/")


@pytest.mark.parametrize("text", ["127.0.0.1:8000", "ftp://x", "http://", "http://x:99999", "://"])
def test_an_endpoint_that_is_no_url_is_wrong_usage(text):
    with pytest.raises(click.UsageError):
        HttpNode(text)
