"""SMTP sessions watched as they happen, over websockets.

Place in flow: routes of ``engine.base.http_service``; subscribes to ``engine.base.trace_hub``.

The client says in its first text frame what it wants to see; from then on each event is a text
frame, ``{"conn_meta": ..., "payload": ..., "when": ...}``.

Invariants:
    * A slow reader holds up nobody: it misses events, and is told how many in a frame of its own.
    * Who watches is in the audit log: sessions show mail.
    * A socket that does not take a frame in time is closed.

Failure: a first frame that is none is answered with a frame ``{"error": ...}`` and the close code
of a bad payload (1007); more readers than there are places are refused with 503.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from engine.admin.admin_node import AdminNode
from engine.admin.audit_log import AuditResult
from engine.base.http_call import Access, HttpCall, HttpRefusalError
from engine.base.http_service import HttpService
from engine.base.trace_hub import READERS_MAX, Subscription, TraceEvent, TraceHub
from engine.model.caller import Caller
from engine.model.cidr import CidrSet
from engine.model.log_record import format_event_time

SERVER_PATH = "/api/admin/trace-smtp-server/v1"
CLIENT_PATH = "/api/admin/trace-smtp-client/v1"
#: How long the first frame may take, and each frame that is sent, seconds.
FIRST_S = 10.0
SEND_S = 30.0
#: Seconds between signs of life.
HEARTBEAT_S = 20.0
#: Octets of the first frame.
FILTER_MAX = 64 << 10
#: Characters of content that a terse reader sees.
SNIPPET_CHARS = 80

Wants = Callable[[Mapping[str, Any]], bool]


class ServerFilter(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which incoming sessions are wanted.

    Attributes:
        source_addr: Those of clients in these networks.
        terse: Show little of the content of messages.
    """

    source_addr: list[str] | None = None
    terse: bool = False


class ClientFilter(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which outgoing sessions are wanted: all lists agree with what is known of them so far.

    Attributes:
        source_addr, mx_addr: Networks of our address, and of the host's.
        terse: Show little of the content of messages.
    """

    campaign: list[str] | None = None
    tenant: list[str] | None = None
    domain: list[str] | None = None
    routing_domain: list[str] | None = None
    egress_pool: list[str] | None = None
    egress_source: list[str] | None = None
    mail_from: list[str] | None = None
    rcpt_to: list[str] | None = None
    mx_host: list[str] | None = None
    ready_queue: list[str] | None = None
    source_addr: list[str] | None = None
    mx_addr: list[str] | None = None
    terse: bool = False


class TracingApi:
    """The websockets of one node."""

    def __init__(self, node: AdminNode) -> None:
        self._node = node

    def add_to(self, service: HttpService) -> None:
        """Add the routes to a listener."""
        sockets: set[web.WebSocketResponse] = set()
        tracing = self._node.tracing

        async def watch_server(call: HttpCall) -> web.StreamResponse:
            return await self._watch(call, tracing.server, ServerFilter, server_wants, sockets)

        async def watch_client(call: HttpCall) -> web.StreamResponse:
            return await self._watch(call, tracing.client, ClientFilter, client_wants, sockets)

        async def close_all() -> None:
            closing = [_close(one, WSCloseCode.GOING_AWAY, "going away") for one in sockets]
            await asyncio.gather(*closing, return_exceptions=True)

        for path, watch, summary in (
            (SERVER_PATH, watch_server, "Watch incoming SMTP sessions, websocket"),
            (CLIENT_PATH, watch_client, "Watch outgoing SMTP sessions, websocket"),
        ):
            service.add_route(
                "GET",
                path,
                watch,
                Access.ADMIN,
                summary=summary,
                content_type="application/json",
                refusals={400: "it is no websocket", 503: "too many watch already"},
            )
        service.on_stop.append(close_all)

    async def _watch(
        self,
        call: HttpCall,
        hub: TraceHub,
        kind: type[Any],
        make_wants: Callable[[Any], Wants],
        sockets: set[web.WebSocketResponse],
    ) -> web.StreamResponse:
        if len(hub) >= READERS_MAX:
            raise HttpRefusalError(503, "too many watch already")
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=FILTER_MAX, compress=False
        )
        await socket.prepare(call.request)
        sockets.add(socket)
        try:
            wanted = await _read_filter(socket, kind)
            if wanted is None:
                return socket
            try:
                subscription = hub.subscribe(make_wants(wanted))
            except ValueError as error:
                await _refuse(socket, str(error))
                return socket
            self._note(call, wanted)
            await self._serve(call.request, socket, subscription, is_terse=wanted.terse)
        finally:
            sockets.discard(socket)
        return socket

    def _note(self, call: HttpCall, wanted: Any) -> None:
        act = call.route.path.split("/")[3]
        caller = Caller(call.identity, call.peer_ip, "http")
        self._node.audit.note(caller, act, msgspec.to_builtins(wanted), AuditResult.DONE)

    async def _serve(
        self,
        request: web.Request,
        socket: web.WebSocketResponse,
        subscription: Subscription,
        *,
        is_terse: bool,
    ) -> None:
        reading = self._node.supervisor.start(_read_on(socket, subscription), "trace-reader")
        try:
            while (item := await subscription.next()) is not None:
                if isinstance(item, int):
                    item = missed_event(item, self._node.clock.wall())
                frame = show_event(item, is_terse=is_terse)
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


async def _read_on(socket: web.WebSocketResponse, subscription: Subscription) -> None:
    """Take what the reader says, which is nothing, until it leaves."""
    try:
        async for _ in socket:
            continue
    finally:
        subscription.close()


# -- what is wanted ---------------------------------------------------------------------------


def server_wants(wanted: ServerFilter) -> Wants:
    """Return whether an incoming session is wanted, by its metadata.

    Raises:
        ValueError: A network is none.
    """
    if not wanted.source_addr:
        return lambda _meta: True
    networks = CidrSet.parse(wanted.source_addr)

    def wants(meta: Mapping[str, Any]) -> bool:
        peer = meta.get("received_from")
        return not isinstance(peer, str) or _host_of(peer) in networks

    return wants


def client_wants(wanted: ClientFilter) -> Wants:
    """Return whether an outgoing session is wanted, by what is known of it.

    Raises:
        ValueError: A network is none.
    """
    names = {
        name: frozenset(values)
        for name in ClientFilter.__struct_fields__
        if isinstance(values := getattr(wanted, name), list) and values
    }
    networks = {
        name: CidrSet.parse(sorted(names.pop(name)))
        for name in ("source_addr", "mx_addr")
        if name in names
    }

    def wants(meta: Mapping[str, Any]) -> bool:
        for name, values in names.items():
            value = meta.get(name)
            if isinstance(value, list):
                if values.isdisjoint(value):
                    return False
            elif value is not None and value not in values:
                return False
        return all(
            meta.get(name) is None or meta[name] in found for name, found in networks.items()
        )

    return wants


def _host_of(address: str) -> str:
    """Return the host of ``host:port`` or ``[host]:port``."""
    return address.rpartition(":")[0].strip("[]")


# -- what is shown ----------------------------------------------------------------------------


def show_event(event: TraceEvent, *, is_terse: bool) -> str:
    """Return an event as a frame."""
    value = event.value
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    payload: Any
    if event.is_content and is_terse:
        snippet = {"snippet": value[:SNIPPET_CHARS], "len": len(event.value)}
        payload = {f"Abbreviated{event.kind}": snippet}
    elif value is None:
        payload = event.kind
    else:
        payload = {event.kind: value}
    shown = {
        "conn_meta": event.meta,
        "payload": payload,
        "when": format_event_time(event.at),
    }
    return msgspec.json.encode(shown, enc_hook=str).decode()


def missed_event(count: int, at: float) -> TraceEvent:
    """Return the event that tells a reader how many it missed."""
    text = f"{count} events were missed: they came faster than they were read"
    return TraceEvent({}, "Diagnostic", {"level": "ERROR", "message": text}, at)
