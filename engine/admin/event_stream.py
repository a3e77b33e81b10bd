"""Events of a node watched as they happen, over websockets.

Place in flow: routes of ``engine.base.http_service``; subscribes to an ``engine.base.event_hub``.
What there is to watch is declared by ``engine.admin.tracing`` and ``engine.admin.record_stream``.

The client says in its first text frame what it wants to see; from then on each event is a text
frame.

Invariants:
    * A slow reader holds up nobody: it misses events, and is told how many in a frame of its own.
    * Who watches is in the audit log: events show mail.
    * A socket that does not take a frame in time is closed.

Failure: a first frame that is none is answered with a frame ``{"error": ...}`` and the close code
of a bad payload (1007); more readers than there are places are refused with 503.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from engine.admin.admin_node import AdminNode
from engine.admin.audit_log import AuditResult
from engine.base.event_hub import READERS_MAX, EventHub, Subscription, TooManyReadersError
from engine.base.http_call import Access, HttpCall, HttpRefusalError
from engine.base.http_service import HttpService
from engine.model.caller import Caller

#: How long the first frame may take, and each frame that is sent, seconds.
FIRST_S = 10.0
SEND_S = 30.0
#: Seconds between signs of life.
HEARTBEAT_S = 20.0
#: Octets of the first frame.
FILTER_MAX = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStream:
    """Something that can be watched.

    Attributes:
        act: What the audit log calls it.
        path: Where its websocket is.
        summary: One line for people.
        kind: The type of what the client says it wants.
        hub: Returns the hub of a node.
        subscribe: Returns a subscription; raises ValueError for values that say nothing.
        show: Returns an event as a frame.
        show_missed: Returns as a frame how many were missed, and when that was noticed.
    """

    act: str
    path: str
    summary: str
    kind: type[Any]
    hub: Callable[[AdminNode], EventHub[Any]]
    subscribe: Callable[[AdminNode, Any], Subscription[Any]]
    show: Callable[[Any, Any], str]
    show_missed: Callable[[int, float], str]


def watch(node: AdminNode, stream: EventStream, caller: Caller, wanted: Any) -> Subscription[Any]:
    """Return a subscription, after it was noted who watches.

    Args:
        node: The node.
        stream: What is watched.
        caller: Who wants to.
        wanted: What of it, of the stream's kind.

    Raises:
        ValueError: A value of it is none.
        TooManyReadersError: There is no place.
    """
    subscription = stream.subscribe(node, wanted)
    arguments = msgspec.to_builtins(wanted)
    node.audit.note(caller, stream.act, arguments, AuditResult.DONE)
    return subscription


class StreamSockets:
    """The websockets of one listener.

    Args:
        node: The node.
        streams: What they show.
    """

    def __init__(self, node: AdminNode, streams: Iterable[EventStream]) -> None:
        self._node = node
        self._streams = tuple(streams)
        self._sockets: set[web.WebSocketResponse] = set()

    def add_to(self, service: HttpService) -> None:
        """Add the routes to the listener."""
        for stream in self._streams:
            service.add_route(
                "GET",
                stream.path,
                self._route(stream),
                Access.ADMIN,
                summary=stream.summary,
                content_type="application/json",
                refusals={400: "it is no websocket", 503: "too many watch already"},
            )
        service.on_stop.append(self._close_all)

    async def _close_all(self) -> None:
        closing = [_close(one, WSCloseCode.GOING_AWAY, "going away") for one in self._sockets]
        await asyncio.gather(*closing, return_exceptions=True)

    def _route(self, stream: EventStream) -> Any:
        async def serve(call: HttpCall) -> web.StreamResponse:
            return await self._watch(call, stream)

        return serve

    async def _watch(self, call: HttpCall, stream: EventStream) -> web.StreamResponse:
        if len(stream.hub(self._node)) >= READERS_MAX:
            raise HttpRefusalError(503, "too many watch already")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=FILTER_MAX, compress=False
        )
        await socket.prepare(call.request)
        self._sockets.add(socket)
        try:
            wanted = await _read_filter(socket, stream.kind)
            if wanted is None:
                return socket
            caller = Caller(call.identity, call.peer_ip, "http")
            try:
                subscription = watch(self._node, stream, caller, wanted)
            except ValueError as error:
                await _refuse(socket, str(error))
                return socket
            except TooManyReadersError:
                await _refuse(socket, "too many watch already")
                return socket
            await self._serve(call.request, socket, subscription, stream, wanted)
        finally:
            self._sockets.discard(socket)
        return socket

    async def _serve(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        subscription: Subscription[Any],
        stream: EventStream,
        wanted: Any,
    ) -> None:
        reading = self._node.supervisor.start(_read_on(socket, subscription), "stream-reader")
        try:
            while (item := await subscription.next()) is not None:
                if isinstance(item, int):
                    frame = stream.show_missed(item, self._node.clock.wall())
                else:
                    frame = stream.show(item, wanted)
                async with asyncio.timeout(SEND_S):
                    await socket.send_str(frame)
        except (TimeoutError, ConnectionError):
            # It reads nothing any more: what is buffered for it is let go.
            if request.transport is not None:
                request.transport.abort()
        finally:
            subscription.close()
            reading.cancel()
            await _close(socket, WSCloseCode.OK, "")


async def _read_filter(socket: web.WebSocketResponse, kind: type[Any]) -> Any:
    """Return what the reader wants to see; None where it does not say, and the socket is closed."""
    try:
        message = await socket.receive(timeout=FIRST_S)
    except TimeoutError:
        await _refuse(socket, "no filter came")
        return None
    if message.type is not WSMsgType.TEXT:
        if message.type is WSMsgType.BINARY:
            await _refuse(socket, "the first frame is a filter, as text")
        return None
    try:
        return msgspec.json.decode(message.data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        await _refuse(socket, str(error))
        return None


async def _refuse(socket: web.WebSocketResponse, text: str) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(1.0):
            await socket.send_str(msgspec.json.encode({"error": text}).decode())
    await _close(socket, WSCloseCode.INVALID_TEXT, "no filter")


async def _close(socket: web.WebSocketResponse, code: int, text: str) -> None:
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(1.0):
            await socket.close(code=code, message=text.encode())


async def _read_on(socket: web.WebSocketResponse, subscription: Subscription[Any]) -> None:
    """Take what the reader says, which is nothing, until it leaves."""
    try:
        async for _ in socket:
            continue
    finally:
        subscription.close()
