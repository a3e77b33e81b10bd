"""A web server on loopback with good and bad manners, for clients under test."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

MIB = 1 << 20


class WebServer:
    """What it serves, and what it has seen.

    Attributes:
        requests: Method, path with query, headers and body of each request, in order.
        routes: What answers a path; more can be added.
        connections: How many are open now.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any, bytes]] = []
        self.connections = 0
        self.most_connections = 0
        self.port = 0
        self.routes: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            "/echo": self._echo,
            "/slow": self._slow,
            "/drip": self._drip,
            "/huge": self._huge,
            "/loop": self._loop,
            "/to-echo": self._to_echo,
            "/to-file": self._to_file,
            "/gzip": self._gzip,
            "/bomb": self._bomb,
            "/short": self._short,
            "/hang-up": self._hang_up,
        }

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, request.path_qs, request.headers, body))
        route = self.routes.get(request.path)
        return await route(request) if route else web.Response(status=404, text="nothing here")

    async def _echo(self, request: web.Request) -> web.Response:
        return web.json_response({"method": request.method, "query": dict(request.query)})

    async def _slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        return web.Response(text="late")

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(1)

    async def _huge(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(64):
            await response.write(b"x" * MIB)
        return response

    async def _loop(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("/loop")

    async def _to_echo(self, request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect("/echo")

    async def _to_file(self, request: web.Request) -> web.Response:
        raise web.HTTPFound("file:///etc/passwd")

    async def _gzip(self, request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"unpacked"), headers={"Content-Encoding": "gzip"})

    async def _bomb(self, request: web.Request) -> web.Response:
        packed = zlib.compress(bytes(64 * MIB), 9)
        return web.Response(body=packed, headers={"Content-Encoding": "deflate"})

    async def _short(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"only this")
        assert request.transport is not None
        request.transport.close()
        return response

    async def _hang_up(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@contextlib.asynccontextmanager
async def web_server() -> AsyncIterator[WebServer]:
    """Run one; it must have no connection left when its clients are done."""
    served = WebServer()
    server = web.Server(lambda request: served.answer(request))
    loop = asyncio.get_running_loop()

    def connected() -> Any:
        protocol = server()
        made, lost = protocol.connection_made, protocol.connection_lost

        def connection_made(transport: Any) -> None:
            served.connections += 1
            served.most_connections = max(served.most_connections, served.connections)
            made(transport)

        def connection_lost(error: BaseException | None) -> None:
            served.connections -= 1
            lost(error)

        return _Counted(protocol, connection_made, connection_lost)

    listening = await loop.create_server(connected, "127.0.0.1", 0)
    served.port = listening.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        listening.close()
        await server.shutdown(0.1)


class _Counted(asyncio.Protocol):
    """A protocol of aiohttp with its coming and going noticed."""

    def __init__(self, inner: Any, made: Callable[..., None], lost: Callable[..., None]) -> None:
        self._inner = inner
        self._made, self._lost = made, lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        result: bool | None = self._inner.eof_received()
        return result

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
