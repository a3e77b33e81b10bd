"""An HTTP listener of a daemon: who may call what, bounded bodies, errors as JSON.

Place in flow: made by a daemon's composition root; each stage that offers an endpoint adds its
route before the start. ``engine.base.http_call`` holds what a route's function sees.

Invariants:
    * A request reaches its route only after the peer's address, its credentials and the access
      lists were judged.
    * A body never takes more memory than ``request_body_limit`` after decompression, nor longer
      than ``BODY_S`` to arrive, unless its route has limits of its own; a connection that sends no
      request is closed after ``IDLE_S``.
    * An answer never shows a traceback; an error is ``{"error": ..., "field": ...}``.
    * Only the peer's own address counts; forwarding headers are not believed.
    * Who guesses at passwords is slowed down (``login_brake``): 429.
    * Who does not read its answer loses the connection ``IDLE_S`` and ``FLUSH_S`` later.
    * ``/api/check-alive/v1`` depends on nothing but the event loop: a full disk restarts nobody.

Failure: a route that raises is answered 500 and logged; authentication that fails for another
reason than wrong credentials is answered 503.

Standard: RFC 9110; RFC 7617 and RFC 6750 for credentials; OpenAPI 3.1.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import hdrs, web

from engine.base.http_access import AccessLists, RouteAccess
from engine.base.http_answer import make_refusal, make_response, stream
from engine.base.http_body import make_inflater
from engine.base.http_call import (
    Access,
    Authenticate,
    AuthInfo,
    BasicCredentials,
    BearerCredentials,
    BodyLimits,
    HttpCall,
    HttpRefusalError,
    Liveness,
    Route,
    RouteFunction,
    decode_json_body,
    parse_credentials,
    refuse_other_sites,
)
from engine.base.http_query import decode_query, wanted_metrics
from engine.base.login_brake import LoginBrake
from engine.base.metrics import Metrics
from engine.base.openapi import build_openapi
from engine.base.tls_files import ServerTls
from engine.model.cidr import CidrSet

log = logging.getLogger("cirrus.http")

#: Octets of a request's body after decompression, by default.
BODY_LIMIT = 2 * 1024 * 1024
#: Seconds a body may take to arrive.
BODY_S = 60.0
#: Seconds a connection may stay without a request.
IDLE_S = 60.0
#: Seconds the rest of an answer may take to leave after that.
FLUSH_S = 60.0
#: Seconds a refused body is still read, so that the client sees the answer.
LINGER_S = 1.0
_TEXT, _JSON = "text/plain", "application/json"
#: Seconds between looks at idle connections.
_SWEEP_S = 5.0
#: Octets of a request line or of one header: bounds what an endless line can hold.
_LINE_MAX = 8190
#: Connections of one listener; more are closed at once.
_CONNECTIONS_MAX = 4096
#: What stands in the Server field.
PRODUCT = "Cirrus"
#: Peers that need no credentials when nothing else is configured.
LOOPBACK = ("127.0.0.1", "::1")


ALIVE_PATH = "/api/check-alive/v1"
LIVE_PATH = "/api/check-liveness/v1"
DOCS_PATH = "/api-docs/openapi.json"


class HttpService:
    """One listener.

    Args:
        listen: Address and port; port 0 takes a free one (see ``port``).
        hostname: The listener's name, shown in the certificate and to routes.
        metrics: What ``/metrics`` shows; no such page when None.
        trusted_hosts: Networks whose peers may do everything by default.
        request_body_limit: Octets of a body, after decompression.
        tls: Speak TLS with these certificates.
        authenticate: Port that judges credentials; without it, any are wrong.
        access: Port to the access lists of a script; the routes' own hold otherwise.
        on_denied: Port that is told of each call that was turned away, with the text it got.
        liveness: Port that gives the reason why the daemon takes no work, or None.
        title: Name of the daemon in the API's description.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        hostname: str,
        *,
        metrics: Metrics | None = None,
        trusted_hosts: CidrSet | Iterable[str] = LOOPBACK,
        request_body_limit: int = BODY_LIMIT,
        tls: ServerTls | None = None,
        authenticate: Authenticate | None = None,
        access: AccessLists | None = None,
        on_denied: Callable[[HttpCall, str], None] = lambda _call, _text: None,
        liveness: Liveness | None = None,
        title: str = "Cirrus",
        version: str = "",
    ) -> None:
        self.listen = listen
        self.hostname = hostname
        self.trusted_hosts = (
            trusted_hosts if isinstance(trusted_hosts, CidrSet) else CidrSet.parse(trusted_hosts)
        )
        self.request_body_limit = request_body_limit
        self.tls = tls
        self.authenticate = authenticate
        self._lists = access
        self._access: RouteAccess
        self._on_denied = on_denied
        self._metrics = metrics
        self._liveness = liveness
        self._title, self._version = title, version
        self._routes: list[Route] = []
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        # Kept beside the server: requests under way ask for it while that is closing.
        self._port = listen[1]
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._active: dict[Any, int] = {}
        self._idle_since: dict[Any, float] = {}
        # Kept beside the connections: these forget theirs while it still has something to send.
        self._transports: dict[Any, asyncio.Transport] = {}
        self._brake = LoginBrake(lambda: asyncio.get_running_loop().time())
        self._description = b""
        #: Called when it stops: by those whose connections do not end by themselves.
        self.on_stop: list[Callable[[], Awaitable[None]]] = []
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._add_own_routes()

    def _add_own_routes(self) -> None:
        own: list[tuple[str, RouteFunction, Access, str, str]] = [
            (ALIVE_PATH, self._check_alive, Access.ALWAYS, _TEXT, "OK if it answers at all"),
            (
                LIVE_PATH,
                self._check_liveness,
                Access.ANY,
                _TEXT,
                "OK if it takes work, or why not",
            ),
            (DOCS_PATH, self._describe, Access.ANY, _JSON, "This description, for programs"),
        ]
        if self._metrics is not None:
            text, json = "Metrics in the format of Prometheus", "Metrics as JSON"
            own += [
                ("/metrics", self._metrics_text, Access.ADMIN, _TEXT, text),
                ("/metrics.json", self._metrics_json, Access.ADMIN, _JSON, json),
            ]
        for path, function, who, kind, summary in own:
            self.add_route("GET", path, function, who, summary=summary, content_type=kind)

    @property
    def port(self) -> int:
        """Return the port listened on."""
        return self._port

    @property
    def routes(self) -> tuple[Route, ...]:
        """Return the endpoints on offer."""
        return tuple(self._routes)

    def add_route(
        self,
        method: str,
        path: str,
        function: RouteFunction,
        access: Access,
        *,
        body: Any = None,
        answer: Any = None,
        summary: str = "",
        query: Any = None,
        refusals: Mapping[int, str] | None = None,
        content_type: str = "",
        limits: BodyLimits | None = None,
        is_page: bool = False,
    ) -> None:
        """Offer an endpoint; before ``start`` only.

        Args:
            method: The HTTP method.
            path: The path, with ``{name}`` for variable parts.
            function: Answers a call; returns a struct or other JSON value, text, or a response.
            access: Who may call it where no access list says otherwise.
            body: Type of the JSON body; it is checked before the function is called.
            answer: Type of the answer, for the description.
            summary: One line for the description.
            query: Type of the query of the URL; it is checked like the body.
            refusals: Statuses of its own, for the description.
            content_type: Of an answer that is neither text nor JSON, for the description.
            limits: Of its body, where they are not the listener's.
            is_page: Whether it is for people with a browser; never an act.
        """
        self._routes.append(
            Route(
                method,
                path,
                function,
                access,
                body,
                answer,
                summary,
                query,
                refusals or {},
                content_type,
                limits,
                is_page,
            )
        )

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The address cannot be listened on.
        """
        self._access = RouteAccess(self._routes, self._lists)
        app = web.Application(middlewares=[self._answer])
        app.on_response_prepare.append(_name_product)
        for route in self._routes:
            serve = self._bind(route)
            app.router.add_route(route.method, route.path, serve)
            if route.method == hdrs.METH_GET:
                # Load balancers ask so; the server leaves the body out.
                app.router.add_route(hdrs.METH_HEAD, route.path, serve)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=IDLE_S,
            max_line_size=_LINE_MAX,
            max_field_size=_LINE_MAX,
            lingering_time=LINGER_S,
            shutdown_timeout=LINGER_S,
        )
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._make_protocol,
            self.listen[0] or None,
            self.listen[1],
            ssl=self.tls.listening_context() if self.tls is not None else None,
            ssl_handshake_timeout=30.0 if self.tls is not None else None,
            backlog=512,
            reuse_address=True,
        )
        self._port = int(self._server.sockets[0].getsockname()[1])
        self._sweep_timer = loop.call_later(_SWEEP_S, self._sweep)

    async def stop(self, drain_s: float = 5.0) -> None:
        """Stop listening, let running requests end within ``drain_s`` seconds, drop the rest."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        if self._server is not None:
            self._server.close()
        for close in self.on_stop:
            await close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await self._quiet.wait()
        if self._runner is not None:
            await self._runner.cleanup()

    def _make_protocol(self) -> asyncio.Protocol:
        assert self._runner is not None
        server = self._runner.server
        assert server is not None
        if len(server.connections) >= _CONNECTIONS_MAX:
            return _Refusing()
        return server()

    def _sweep(self) -> None:
        """Close connections on which no request came for too long."""
        loop = asyncio.get_running_loop()
        now_mono = loop.time()
        connections = (
            self._runner.server.connections if self._runner and self._runner.server else ()
        )
        present = set(connections)
        for connection in connections:
            if connection in self._active:
                continue
            since_mono = self._idle_since.setdefault(connection, now_mono)
            if now_mono - since_mono >= IDLE_S:
                connection.force_close()
            if now_mono - since_mono >= IDLE_S + FLUSH_S and connection in self._transports:
                # Who does not take the rest of an answer would keep it, and a place, for ever.
                self._transports[connection].abort()
        for table in (self._idle_since, self._transports):
            for gone in [known for known in table if known not in present]:
                del table[gone]
        self._sweep_timer = loop.call_later(_SWEEP_S, self._sweep)

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Answer a request, whatever happens in its route."""
        connection = request.protocol
        self._active[connection] = self._active.get(connection, 0) + 1
        self._idle_since.pop(connection, None)
        if request.transport is not None:
            self._transports[connection] = request.transport
        self._quiet.clear()
        try:
            return await self._answer_errors(request, handler)
        finally:
            self._active.pop(connection, None)
            if not self._active:
                self._quiet.set()

    async def _answer_errors(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except HttpRefusalError as refusal:
            return make_refusal(refusal)
        except web.HTTPException as error:
            response = make_refusal(HttpRefusalError(error.status, error.reason))
            if hdrs.ALLOW in error.headers:
                response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
            return response
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:  # boundary: admin command
            log.exception("the request %s %s failed", request.method, request.path)
            return make_refusal(HttpRefusalError(500, "internal error"))
        return response

    def _bind(self, route: Route) -> Any:
        async def serve(request: web.Request) -> web.StreamResponse:
            refuse_other_sites(request, is_page=route.is_page)
            call = HttpCall(request, route, self.hostname)
            await self._authorize(call)
            if request.body_exists:
                call.raw_body = await self._read_body(request, route.limits)
            if route.body is not None:
                call.body = decode_json_body(call.raw_body, route.body)
            if route.query is not None:
                call.query = decode_query(request.query, route.query)
            return make_response(await route.function(call))

        return serve

    async def _authorize(self, call: HttpCall) -> None:
        """Judge address and credentials.

        Raises:
            HttpRefusalError: The caller may not use the route.
        """
        call.is_trusted = call.peer_ip in self.trusted_hosts
        if call.route.access is Access.ALWAYS:
            return
        if call.route.access is Access.ANY and not self._access.is_custom:
            return
        try:
            await self._identify(call)
            await self._admit(call)
        except HttpRefusalError as refusal:
            if refusal.status in (401, 403, 429):
                self._on_denied(call, refusal.error)
            raise

    async def _identify(self, call: HttpCall) -> None:
        """Judge the credentials of a call, if it has any.

        Raises:
            HttpRefusalError: They are wrong, or cannot be judged.
        """
        shown = call.request.headers.get(hdrs.AUTHORIZATION)
        credentials = parse_credentials(shown)
        if credentials is None or shown is None:
            return
        attempt = self._brake.begin(call.peer_ip, shown)
        if attempt.wait_s > 0.0:
            text = "too many wrong credentials came from your address"
            raise HttpRefusalError(429, text, retry_after_s=attempt.wait_s)
        is_right = None
        try:
            call.auth = await self._authenticate(credentials)
            is_right = call.auth is not None
        except HttpRefusalError as refusal:
            is_right = False if refusal.status == 401 else None
            raise
        finally:
            attempt.end(is_right)
        if call.auth is None:
            raise HttpRefusalError(401, "wrong credentials")

    async def _admit(self, call: HttpCall) -> None:
        """Ask the access lists about a caller.

        Raises:
            HttpRefusalError: They say no (401 where credentials might help), or cannot be had.
        """
        try:
            verdict = await self._access.judge(call, f"{self.listen[0]}:{self.port}")
        except HttpRefusalError:
            raise
        except Exception as error:  # boundary: admin command
            log.exception("access to %s could not be judged", call.route.path)
            raise HttpRefusalError(503, "access cannot be judged now") from error
        if verdict.is_allowed:
            return
        may_help = call.auth is None and self.authenticate is not None
        why = "denied by an access list" if verdict.resource else "not allowed"
        raise HttpRefusalError(401 if may_help else 403, why)

    async def _authenticate(
        self, credentials: BasicCredentials | BearerCredentials
    ) -> AuthInfo | None:
        if self.authenticate is None:
            return None
        try:
            return await self.authenticate(credentials)
        except HttpRefusalError:
            raise
        except Exception as error:  # boundary: admin command
            # A defect is not a wrong password: the client shall try again with the same one.
            log.exception("credentials could not be judged")
            raise HttpRefusalError(503, "credentials cannot be judged now") from error

    async def _read_body(self, request: web.Request, limits: BodyLimits | None) -> bytes:
        limit = self.request_body_limit if limits is None else limits.octets()
        encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
        if encoding == "identity" and (request.content_length or 0) > limit:
            raise HttpRefusalError(413, f"the body has more than {limit} octets")
        inflater = make_inflater(encoding, limit)
        try:
            async with asyncio.timeout(BODY_S if limits is None else limits.seconds):
                async for piece in request.content.iter_any():
                    inflater.feed(piece)
        except TimeoutError:
            raise HttpRefusalError(408, "the body took too long") from None
        return inflater.finish()

    async def _check_alive(self, _call: HttpCall) -> web.Response:
        """Answer whoever would restart the process: what a restart cannot mend is no reason."""
        return web.Response(text="OK")

    async def _check_liveness(self, _call: HttpCall) -> web.Response:
        reason = self._liveness() if self._liveness is not None else None
        if reason is None:
            return web.Response(text="OK")
        return web.Response(status=503, text=reason)

    async def _describe(self, _call: HttpCall) -> web.Response:
        if not self._description:
            # Once: anybody may ask, and it takes a while.
            document = build_openapi(self._routes, self._title, self._version)
            self._description = msgspec.json.encode(document)
        return web.Response(body=self._description, content_type="application/json")

    async def _metrics_text(self, call: HttpCall) -> web.StreamResponse:
        assert self._metrics is not None
        pieces = self._metrics.iter_text(*wanted_metrics(call.request.query))
        return await stream(call.request, pieces, "text/plain; version=0.0.4; charset=utf-8")

    async def _metrics_json(self, call: HttpCall) -> web.StreamResponse:
        assert self._metrics is not None
        pieces = self._metrics.iter_json(*wanted_metrics(call.request.query))
        return await stream(call.request, pieces, "application/json")


async def _name_product(_request: web.Request, response: web.StreamResponse) -> None:
    """Say who answers, and not which versions of what it is made of."""
    response.headers[hdrs.SERVER] = PRODUCT


class _Refusing(asyncio.Protocol):
    """Closes a connection beyond the bound at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
