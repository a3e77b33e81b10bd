"""``mta.http``: requests to HTTP servers.

Place in flow: exposed by ``network_modules``; the answer is an ``http_response``.

Invariants:
    * A request is over, body and all, when ``send`` returns; it holds no connection afterwards,
      however it ends.
    * Bounded are: its whole time, the connections of a client, redirects, the octets of a body.
    * Clients with the same options share their connections, also across reloads. No cookies are
      kept, and no proxy of the environment is used.

Failure: ``TimeoutError`` or ``ConnectionError``, with the host and never the rest of the URL, which
may hold secrets. A status of 4xx or 5xx is an answer.

Standard: RFC 9110, RFC 7617 (Basic), RFC 6750 (Bearer), RFC 7578 (forms).
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import aiohttp
import yarl
from aiohttp import abc as aiohttp_abc
from aiohttp import hdrs

from engine.base.http_body import make_inflater
from engine.base.http_call import HttpRefusalError
from engine.model.duration import parse_duration
from engine.model.errors import EngineError
from engine.model.keyword_options import Option, flag, read_options, text
from engine.route.dns_resolver import DnsResolver
from engine.script_modules.http_response import BODY_BYTES_MAX, HttpResponse
from engine.script_modules.open_connections import OpenConnections, Opening
from engine.script_modules.script_call import caller_budget
from engine.script_modules.waiting_call import waiting
from policy.script_api import ScriptNamespace, known_to_scripts

log = logging.getLogger("cirrus.script")

MODULE = "mta.http"
CONNECTIONS_PER_CLIENT = 64
REDIRECTS_MAX = 10
HEADERS_MAX = 100
URL_CHARACTERS_MAX = 8192
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}\Z")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]{0,8192}\Z")
#: What a client may not set: it belongs to the connection.
_OF_CONNECTION = frozenset({"connection", "content-length", "transfer-encoding", "upgrade", "te"})


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How requests are made; times in seconds."""

    user_agent: str = "cirrus"
    connection_verbose: bool = False
    pool_idle_s: float = 90.0
    timeout_s: float = 60.0
    accept_invalid_certs: bool = False


def _positive(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError(f"a duration above zero is expected, not {value!r}")
    return seconds


OPTIONS: Mapping[str, Option] = {
    "user_agent": Option(text),
    "connection_verbose": Option(flag),
    "pool_idle_timeout": Option(_positive, "pool_idle_s"),
    "timeout": Option(_positive, "timeout_s"),
    "accept_invalid_certs": Option(flag),
}

#: Port: return header fields that sign a request: method, url, headers, body.
Sign = Callable[[str, str, Mapping[str, str], bytes], Awaitable[dict[str, str]]]
#: Port: return what signs by the options that a script gave; raises where they do not fit.
MakeSign = Callable[[Mapping[str, Any]], Sign]


class _HostLookup(aiohttp_abc.AbstractResolver):
    """Looks hosts up as the machine does, but for a node whose world is given zones only."""

    def __init__(self, resolver: Callable[[], DnsResolver]) -> None:
        self._resolver = resolver
        self._of_machine = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp_abc.ResolveResult]:
        resolver = self._resolver()
        if not resolver.is_closed_world:
            return await self._of_machine.resolve(host, port, family)
        found: list[aiohttp_abc.ResolveResult] = []
        try:
            addresses = await resolver.resolve_addresses(host)
        except EngineError as error:
            raise OSError(0, str(error)) from error
        for address in addresses:
            found.append(
                {
                    "hostname": host,
                    "host": address,
                    "port": port,
                    "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                    "proto": 0,
                    "flags": socket.AI_NUMERICHOST,
                }
            )
        if not found:
            raise OSError(0, f"{host} has no address")
        return found

    async def close(self) -> None:
        await self._of_machine.close()


class HttpClients:
    """Makes the clients of one node's scripts."""

    def __init__(
        self,
        connections: OpenConnections,
        resolver: Callable[[], DnsResolver],
        mono: Callable[[], float],
        make_sign: MakeSign,
    ) -> None:
        self.connections = connections
        self.mono = mono
        self.make_sign = make_sign
        self._resolver = resolver

    def build_client(self, **options: Any) -> HttpClient:
        """Return a client; it opens a connection when a request is sent."""
        read = read_options("mta.http.build_client", options, OPTIONS)
        return HttpClient(self, ClientOptions(**read))

    def opening(self, options: ClientOptions) -> Opening[aiohttp.ClientSession]:
        """Return how the connections of such clients come and go."""

        async def open_session() -> aiohttp.ClientSession:
            connector = aiohttp.TCPConnector(
                limit=CONNECTIONS_PER_CLIENT,
                keepalive_timeout=options.pool_idle_s,
                resolver=_HostLookup(self._resolver),
                ssl=not options.accept_invalid_certs,
            )
            return aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
                auto_decompress=False,
                headers={hdrs.USER_AGENT: options.user_agent, hdrs.ACCEPT_ENCODING: "identity"},
            )

        return Opening(
            ("http", options),
            open_session,
            lambda session: session.close(),
            lambda session: not session.closed,
        )

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the module importable by scripts."""
        namespace.expose("build_client", self.build_client, module=MODULE)
        namespace.expose("build_url", build_url, module=MODULE)


def build_url(base: str, params: Mapping[str, Any]) -> str:
    """Return a URL with parameters appended to its query."""
    parts = urlsplit(_checked_url(base))
    query = "&".join(part for part in (parts.query, urlencode(_pairs(params))) if part)
    return urlunsplit(parts._replace(query=query))


@known_to_scripts("Client")
class HttpClient:
    """Makes requests with the same options."""

    __slots__ = ("_clients", "_is_closed", "_options")

    def __init__(self, clients: HttpClients, options: ClientOptions) -> None:
        self._clients = clients
        self._options = options
        self._is_closed = False

    def get(self, url: str) -> HttpRequest:
        """Return a GET request."""
        return self._request("GET", url)

    def post(self, url: str) -> HttpRequest:
        """Return a POST request."""
        return self._request("POST", url)

    def put(self, url: str) -> HttpRequest:
        """Return a PUT request."""
        return self._request("PUT", url)

    def delete(self, url: str) -> HttpRequest:
        """Return a DELETE request."""
        return self._request("DELETE", url)

    def close(self) -> None:
        """Make no more requests; connections close when no client uses them."""
        self._is_closed = True

    def _request(self, method: str, url: str) -> HttpRequest:
        if self._is_closed:
            raise RuntimeError("this client is closed")
        return HttpRequest(self._clients, self._options, method, _checked_url(url))


@known_to_scripts("Request")
class HttpRequest:
    """A request being made up; each method but ``send`` returns it again."""

    __slots__ = (
        "_body",
        "_clients",
        "_headers",
        "_method",
        "_options",
        "_sign",
        "_timeout_s",
        "_url",
    )

    def __init__(self, clients: HttpClients, options: ClientOptions, method: str, url: str) -> None:
        self._clients = clients
        self._options = options
        self._method = method
        self._url = url
        self._headers: dict[str, str] = {}
        self._body: Callable[[], Any] = lambda: None
        self._timeout_s = options.timeout_s
        self._sign: Sign | None = None

    def header(self, name: str, value: str) -> HttpRequest:
        """Set a header field."""
        if not isinstance(name, str) or not _TOKEN.match(name):
            raise ValueError(f"not the name of a header: {name!r}"[:200])
        if not isinstance(value, str) or not _VALUE.match(value):
            # Not the value: it may be a secret.
            raise ValueError(f"{name}: text of one line is expected")
        if name.lower() in _OF_CONNECTION:
            raise ValueError(f"{name}: belongs to the connection and cannot be set")
        for known in self._headers:
            if known.lower() == name.lower():
                del self._headers[known]
                break
        if len(self._headers) >= HEADERS_MAX:
            raise ValueError(f"more than {HEADERS_MAX} header fields")
        self._headers[name] = value
        return self

    def headers(self, fields: Mapping[str, str]) -> HttpRequest:
        """Set several header fields."""
        for name, value in _table(fields).items():
            self.header(name, value)
        return self

    def basic_auth(self, user: str, password: str | None = None) -> HttpRequest:
        """Show a name and a password."""
        shown = base64.b64encode(f"{user}:{password or ''}".encode()).decode()
        return self.header("Authorization", f"Basic {shown}")

    def bearer_auth(self, token: str) -> HttpRequest:
        """Show a token."""
        return self.header("Authorization", f"Bearer {token}")

    def body(self, data: str | bytes) -> HttpRequest:
        """Send this as the body."""
        octets = data.encode() if isinstance(data, str) else data
        if not isinstance(octets, bytes):
            raise TypeError("body: text or bytes are expected")
        caller_budget().account_text(len(octets))
        self._body = lambda: octets
        return self

    def form_url_encoded(self, fields: Mapping[str, Any]) -> HttpRequest:
        """Send a form, as a browser sends one without files."""
        self.header("Content-Type", "application/x-www-form-urlencoded")
        return self.body(urlencode(_pairs(fields)))

    def form_multipart_data(self, fields: Mapping[str, str | bytes]) -> HttpRequest:
        """Send a form in parts: text as text, bytes as octet streams."""
        parts = _pairs(fields)
        caller_budget().account_text(sum(len(value) for _, value in parts))

        def make() -> aiohttp.FormData:
            form = aiohttp.FormData(default_to_multipart=True)
            for name, value in parts:
                kind = "application/octet-stream" if isinstance(value, bytes) else None
                form.add_field(name, value, content_type=kind)
            return form

        self._body = make
        return self

    def timeout(self, duration: Any) -> HttpRequest:
        """Give the whole request this much time."""
        self._timeout_s = _positive(duration)
        return self

    def aws_sign_v4(self, **options: Any) -> HttpRequest:
        """Sign the request for AWS when it is sent."""
        self._sign = self._clients.make_sign(options)
        return self

    @waiting("request.send")
    async def send(self) -> HttpResponse:
        """Send the request and return the whole response."""
        started_mono = self._clients.mono()
        host = yarl.URL(self._url).host or ""
        what = f"{self._method} {host}"
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._clients.connections.use(self._clients.opening(self._options)) as session,
            ):
                response = await self._exchange(session)
        except TimeoutError:
            raise TimeoutError(f"{what}: no whole answer in {self._timeout_s:g} s") from None
        except aiohttp.TooManyRedirects:
            raise ConnectionError(f"{what}: more than {REDIRECTS_MAX} redirects") from None
        except HttpRefusalError as error:
            raise ConnectionError(f"{what}: {error.error}") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlRedirectClientError):
            raise ConnectionError(f"{what}: it or a redirect leads to no URL") from None
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            raise ConnectionError(f"{what}: {_reason_of(error)}") from None
        if self._options.connection_verbose:
            took_s = self._clients.mono() - started_mono
            log.info("%s: %d in %.3f s", what, response.status_code, took_s)
        caller_budget().account_text(len(response.bytes()))
        return response

    async def _exchange(self, session: aiohttp.ClientSession) -> HttpResponse:
        body, headers = self._body(), dict(self._headers)
        if self._sign is not None:
            if not isinstance(body, bytes | None):
                raise ValueError("a form in parts cannot be signed")
            headers |= await self._sign(self._method, self._url, headers, body or b"")
        async with session.request(
            self._method, self._url, data=body, headers=headers, max_redirects=REDIRECTS_MAX
        ) as answer:
            inflater = make_inflater(
                answer.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower(),
                BODY_BYTES_MAX,
            )
            async for piece in answer.content.iter_any():
                inflater.feed(piece)
            return HttpResponse(
                answer.status,
                answer.reason or "",
                list(answer.headers.items()),
                inflater.finish() if self._method != "HEAD" else b"",
                answer.charset,
            )

    def __repr__(self) -> str:
        return f"<{self._method} request>"


def _reason_of(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "the certificate is not valid"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return os.strerror(number) if number else error.os_error.strerror or "cannot be reached"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the body ended too early"
    if isinstance(error, aiohttp.ClientResponseError):
        return "not an HTTP response"
    return type(error).__name__


def _checked_url(url: Any) -> str:
    if not isinstance(url, str) or len(url) > URL_CHARACTERS_MAX:
        raise ValueError(f"url: text of at most {URL_CHARACTERS_MAX} characters is expected")
    try:
        parts = yarl.URL(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.host)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError("url: http://host/... or https://host/... is expected")
    return url


def _table(fields: Any) -> dict[Any, Any]:
    try:
        return dict(fields)
    except (TypeError, ValueError):
        raise TypeError("wants a dict from names to values") from None


def _pairs(fields: Any) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in _table(fields).items():
        if not isinstance(name, str):
            raise TypeError("the names of fields are text")
        if isinstance(value, bool) or not isinstance(value, str | bytes | int | float):
            raise TypeError(f"{name[:100]}: text, bytes or a number is expected")
        pairs.append((name, value if isinstance(value, str | bytes) else str(value)))
    return pairs
