"""Another node, as far as transfers see it: an HTTP server that answers as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import BasicAuth, web

from engine.model.transfer_target import TransferTarget, parse_target
from engine.model.transfer_wire import Transferred, decode_transfer

NEW_ID = "0195f00000007000800000000000ffff"


class OtherNode:
    """What it was sent, and what it says.

    Attributes:
        taken: The messages, in order.
        users: User and password of each request, or None.
        answer: Makes the answer to a request; by default it is 200 with an id.
        gate: While it is cleared nothing is answered.
    """

    def __init__(self) -> None:
        self.taken: list[Transferred] = []
        self.users: list[tuple[str, str] | None] = []
        self.requests: list[web.Request] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: Callable[[], web.Response] = lambda: web.json_response({"id": NEW_ID})
        self.port = 0

    @property
    def target(self) -> TransferTarget:
        return parse_target(f"http://127.0.0.1:{self.port}")

    async def serve(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.requests.append(request)
        header = request.headers.get("Authorization")
        auth = BasicAuth.decode(header, "utf-8") if header else None
        self.users.append(None if auth is None else (auth.login, auth.password))
        if raw:
            if raw.startswith(b"\x1f\x8b"):
                raw = gzip.decompress(raw)
            self.taken.append(decode_transfer(raw))
        await self.gate.wait()
        return self.answer()


@contextlib.asynccontextmanager
async def other_node(port: int = 0) -> AsyncIterator[OtherNode]:
    node = OtherNode()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", node.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    node.port = runner.addresses[0][1]
    try:
        yield node
    finally:
        node.gate.set()
        await runner.cleanup()


def as_target(node: OtherNode, user: str = "") -> Any:
    """Return the node as a target, with user and password if given as ``user:password``."""
    return parse_target(f"http://{user}@127.0.0.1:{node.port}" if user else node.target.url)
