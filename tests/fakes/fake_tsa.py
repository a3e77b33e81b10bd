"""A daemon of the automation on loopback: takes records, gives frames, misbehaves as told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

from aiohttp import web


class FakeTsa:
    """What it took, and what it says.

    Attributes:
        records: Every record it took, in order.
        requests: Content type and number of lines of each request.
        statuses: What the next requests are answered with instead of 200.
        takes_batches: Whether it understands lines of JSON.
        frames: What each subscriber gets first; then what is put into ``live``.
        is_legacy: Whether it knows the deprecated socket only.
        overlay: The text of its overlay.
    """

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.requests: list[tuple[str, int]] = []
        self.statuses: list[int] = []
        self.takes_batches = True
        self.refused = 0
        self.frames: list[Any] = []
        self.live: asyncio.Queue[Any] = asyncio.Queue()
        self.is_legacy = False
        self.overlay = ""
        self.subscribed = 0
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/publish_log_v1", self._publish)
        path = "/subscribe_suspension_v1" if self.is_legacy else "/subscribe_event_v1"
        app.router.add_get(path, self._subscribe)
        app.router.add_get("/get_config_v1/shaping.toml", self._overlay)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None

    async def _publish(self, request: web.Request) -> web.Response:
        body = await request.read()
        lines = body.split(b"\n")
        self.requests.append((request.content_type, len(lines)))
        if self.statuses:
            return web.Response(status=self.statuses.pop(0), text="not now")
        if request.content_type == "application/x-ndjson" and not self.takes_batches:
            return web.Response(status=400, text="one record is expected")
        self.records += [json.loads(line) for line in lines]
        if self.takes_batches:
            return web.json_response({"refused": self.refused, "errors": []})
        return web.Response()

    async def _overlay(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.overlay)

    async def _subscribe(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.subscribed += 1
        for frame in self.frames:
            await socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))
        with contextlib.suppress(ConnectionError):
            while (frame := await self.live.get()) is not None:
                await socket.send_str(frame if isinstance(frame, str) else json.dumps(frame))
        await socket.close()
        return socket


async def wait_until(condition: Any, timeout_s: float = 5.0) -> None:
    """Return when something became true; it is asked again and again."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
