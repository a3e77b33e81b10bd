"""The endpoints of the TSA: records in, decisions out.

Place in flow: routes on an ``engine.base.http_service`` listener; hands records to
``tsa.record_intake``, serves ``tsa.publication``.

Invariants:
    * Records are answered 200 only when what they led to is safe.
    * Every endpoint but the status wants a trusted peer.
    * A websocket that does not read, or that sends more than can be worked off, is held back, then
      dropped; it never takes memory without bound.

Standard: the paths and documents that TSA clients know; batches are lines of JSON (NDJSON), over
a websocket one batch a message, answered in order.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from engine.base.http_call import Access, HttpCall, HttpRefusalError
from engine.base.http_service import HttpService
from engine.base.lifecycle import Supervisor
from tsa.errors import IntakeFullError, StoreUnavailableError
from tsa.publication import Publication, Subscriber
from tsa.record_intake import REFUSALS_SHOWN_MAX, RecordIntake, Refusal

#: Octets of a request, or of a message on a websocket, after decompression.
BODY_LIMIT = 8 * 1024 * 1024
#: Seconds between signs of life on a websocket; one without an answer is closed.
HEARTBEAT_S = 20.0
#: Seconds a subscriber may take to read a frame.
SEND_S = 30.0
#: Seconds after which a sender that was told to come back is looked at again.
RETRY_S = 0.2
#: What anyone is told while decisions cannot be made durable; the log says why.
NOT_DURABLE = "decisions cannot be made durable now"
BATCH_TYPES = frozenset({"application/x-ndjson", "application/jsonlines"})


class TsaApi:
    """The endpoints of one daemon.

    Args:
        intake: Where records go.
        publication: What is shown.
        supervisor: Owns the tasks that send frames.
    """

    def __init__(
        self, intake: RecordIntake, publication: Publication, supervisor: Supervisor
    ) -> None:
        self._intake = intake
        self._publication = publication
        self._supervisor = supervisor
        self._sockets: set[web.WebSocketResponse] = set()

    def add_routes(self, service: HttpService) -> None:
        """Offer the endpoints on a listener."""
        for method, path, function, access, summary in (
            ("POST", "/publish_log_v1", self._publish, Access.ADMIN, "Take log records."),
            ("GET", "/publish_stream_v1", self._stream, Access.ADMIN, "Take batches, websocket."),
            ("GET", "/get_config_v1/shaping.toml", self._overlay, Access.ADMIN, "Overrides."),
            ("GET", "/get_suspension_v1/suspended.json", self._suspended, Access.ADMIN, "Held."),
            ("GET", "/get_bounce_v1/bounced.json", self._bounced, Access.ADMIN, "Bounces."),
            ("GET", "/decisions", self._decisions, Access.ADMIN, "All decisions, with reasons."),
            ("GET", "/subscribe_event_v1", self._subscribe, Access.ADMIN, "Frames, websocket."),
            (
                "GET",
                "/subscribe_suspension_v1",
                self._subscribe_legacy,
                Access.ADMIN,
                "Suspensions only, deprecated.",
            ),
            ("GET", "/tsa/status", self._status, Access.ANY, "OK, or what is wrong."),
        ):
            service.add_route(method, path, function, access, summary=summary)

    def trouble(self) -> str | None:
        """Return what anyone may know of what is wrong, None when nothing is."""
        return NOT_DURABLE if self._intake.trouble is not None else None

    async def stop(self) -> None:
        """End all websockets, those that do not listen after a second."""

        async def end(socket: web.WebSocketResponse) -> None:
            with contextlib.suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(1.0):
                    await socket.close(code=1001, message=b"going away")

        await asyncio.gather(*map(end, self._sockets), return_exceptions=True)

    # -- records --------------------------------------------------------------------------------

    async def _publish(self, call: HttpCall) -> Any:
        is_batch = call.request.content_type in BATCH_TYPES
        lines = call.raw_body.split(b"\n") if is_batch else [call.raw_body]
        try:
            refusals = await self._intake.take(lines)
        except IntakeFullError as error:
            raise HttpRefusalError(503, str(error)) from error
        except StoreUnavailableError as error:
            raise HttpRefusalError(503, str(error)) from error
        if not is_batch:
            if refusals:
                raise HttpRefusalError(422, refusals[0].error)
            return web.Response()
        return _batch_answer(refusals)

    async def _stream(self, call: HttpCall) -> web.StreamResponse:
        socket = await self._open(call.request)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    lines = message.data.encode().split(b"\n")
                elif message.type is WSMsgType.BINARY:
                    lines = message.data.split(b"\n")
                else:
                    continue
                refusals = await self._take_patiently(lines)
                await socket.send_str(msgspec.json.encode(_batch_answer(refusals)).decode())
        except StoreUnavailableError as error:
            await socket.close(code=1013, message=str(error).encode()[:120])
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._sockets.discard(socket)
        return socket

    async def _take_patiently(self, lines: list[bytes]) -> list[Refusal]:
        """Take a batch; while there is no room the sender is not read from."""
        while True:
            try:
                return await self._intake.take(lines)
            except IntakeFullError:
                await asyncio.sleep(RETRY_S)

    async def _open(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=BODY_LIMIT, compress=False, timeout=SEND_S
        )
        if not socket.can_prepare(request).ok:
            raise HttpRefusalError(426, "a websocket is expected")
        await socket.prepare(request)
        self._sockets.add(socket)
        return socket

    # -- decisions ------------------------------------------------------------------------------

    async def _subscribe(self, call: HttpCall) -> web.StreamResponse:
        return await self._serve(call, is_legacy=False)

    async def _subscribe_legacy(self, call: HttpCall) -> web.StreamResponse:
        return await self._serve(call, is_legacy=True)

    async def _serve(self, call: HttpCall, *, is_legacy: bool) -> web.StreamResponse:
        subscriber = self._publication.subscribe(is_legacy=is_legacy)
        if subscriber is None:
            raise HttpRefusalError(503, "too many subscribers")
        try:
            socket = await self._open(call.request)
            sending = self._supervisor.start(
                _send_frames(socket, call.request, subscriber), "subscriber"
            )
            try:
                # Nothing is expected from a subscriber but its end.
                async for _message in socket:
                    pass
            finally:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError, TimeoutError):
                    await sending
                self._sockets.discard(socket)
            return socket
        finally:
            self._publication.unsubscribe(subscriber)

    async def _overlay(self, _call: HttpCall) -> web.Response:
        return web.Response(text=self._publication.overlay(), content_type="application/toml")

    async def _suspended(self, _call: HttpCall) -> Any:
        return self._publication.suspended()

    async def _bounced(self, _call: HttpCall) -> Any:
        return self._publication.bounced()

    async def _decisions(self, _call: HttpCall) -> Any:
        return self._publication.decisions()

    async def _status(self, _call: HttpCall) -> web.Response:
        trouble = self.trouble()
        return (
            web.Response(text="OK") if trouble is None else web.Response(status=503, text=trouble)
        )


async def _send_frames(
    socket: web.WebSocketResponse, request: web.Request, subscriber: Subscriber
) -> None:
    """Send frames until the subscriber is gone; one that does not read them is dropped."""
    try:
        while True:
            frame = await subscriber.next()
            async with asyncio.timeout(SEND_S):
                if frame is None:
                    await socket.close(code=1013, message=b"too slow: connect again")
                    return
                await socket.send_str(frame)
    except (TimeoutError, ConnectionError):
        # A farewell would have to wait behind everything that is not read.
        if request.transport is not None:
            request.transport.abort()


def _batch_answer(refusals: list[Refusal]) -> dict[str, Any]:
    shown = refusals[:REFUSALS_SHOWN_MAX]
    return {
        "refused": len(refusals),
        "errors": [{"line": one.line, "error": one.error} for one in shown],
    }
