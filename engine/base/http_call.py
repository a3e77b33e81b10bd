"""A call of an HTTP route: who calls, with what, and how it may be refused.

Place in flow: made by ``engine.base.http_service`` for each request, handed to the route.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import msgspec
from aiohttp import hdrs, web


class Access(enum.Enum):
    """Who may use a route where no access list says otherwise."""

    #: Anyone whatever lists say: nothing that could fail or take its time is asked.
    ALWAYS = "always"
    ANY = "any"
    #: Trusted peers and whoever shows good credentials.
    INJECT = "inject"
    #: Trusted peers only.
    ADMIN = "admin"


class HttpRefusalError(Exception):
    """The call is refused with a status and a text that may be shown.

    Args:
        status: The HTTP status.
        error: What is wrong, for the caller.
        field: The field of the body it is about, such as ``recipients[2].email``.
        retry_after_s: After how many seconds it may be tried again, if that is known.
    """

    def __init__(
        self,
        status: int,
        error: str,
        field: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.field = field
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """User and password of HTTP Basic."""

    user: str
    password: str | None


@dataclass(frozen=True, slots=True)
class BearerCredentials:
    """The token of HTTP Bearer."""

    token: str


@dataclass(frozen=True, slots=True)
class AuthInfo:
    """Who the caller turned out to be.

    Attributes:
        identity: The name that records show.
        groups: What the caller belongs to.
        identities: All names of the caller, the first included.
    """

    identity: str
    groups: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()


#: Port: return who these credentials belong to, or None when they are wrong. It raises
#: HttpRefusalError to answer something of its own; any other error is answered 503.
Authenticate = Callable[[BasicCredentials | BearerCredentials], Awaitable[AuthInfo | None]]
#: Port: return why the daemon takes no work now, or None.
Liveness = Callable[[], str | None]


class HttpCall:
    """One request on its way through a route.

    Attributes:
        request: The request as the HTTP library has it.
        route: The route it matched.
        hostname: The listener's name.
        is_trusted: Whether the peer's address is trusted.
        auth: Who the credentials belong to, if any were shown.
        raw_body: The body, decompressed.
        body: The body as the type the route declared.
        query: The query of the URL as the type the route declared.
    """

    __slots__ = ("auth", "body", "hostname", "is_trusted", "query", "raw_body", "request", "route")

    def __init__(self, request: web.Request, route: Route, hostname: str) -> None:
        self.request = request
        self.route = route
        self.hostname = hostname
        self.is_trusted = False
        self.auth: AuthInfo | None = None
        self.raw_body = b""
        self.body: Any = None
        self.query: Any = None

    @property
    def peer_ip(self) -> str:
        """Return the peer's address."""
        return self._address("peername")

    @property
    def local_ip(self) -> str:
        """Return our address of the connection."""
        return self._address("sockname")

    def _address(self, which: str) -> str:
        transport = self.request.transport
        name = transport.get_extra_info(which) if transport is not None else None
        return str(name[0]) if isinstance(name, tuple) and name else ""

    @property
    def identity(self) -> str:
        """Return the caller's identity: the authenticated one, else the peer's address."""
        return self.auth.identity if self.auth is not None else self.peer_ip


RouteFunction = Callable[[HttpCall], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What the body of one endpoint may take, instead of what the listener says.

    Attributes:
        octets: Returns how large it may be now, after decompression.
        seconds: How long it may take to arrive.
    """

    octets: Callable[[], int]
    seconds: float


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint: method, path, who may use it and what goes in and out.

    Attributes:
        body: Type of the JSON body.
        query: Type of the query of the URL.
        answer: Type of the answer: text, or what JSON can carry.
        refusals: Statuses that are the route's own, each with what it means.
        content_type: Of the answer, where it is neither text nor JSON.
        is_page: Whether it is for people with a browser: a link of another site may open it, and
            it is no part of the API.
    """

    method: str
    path: str
    function: RouteFunction
    access: Access
    body: Any = None
    answer: Any = None
    summary: str = ""
    query: Any = None
    refusals: Mapping[int, str] = field(default_factory=dict)
    content_type: str = ""
    limits: BodyLimits | None = None
    is_page: bool = False


_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_NAMED_FIELD = re.compile(r"(?:unknown|required) field `([^`]*)`")


def decode_json_body(raw: bytes, kind: Any) -> Any:
    """Return the body as the declared type.

    Raises:
        HttpRefusalError: 422, naming the field that is missing, unknown or wrong.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        what, field = split_validation_error(str(error))
        raise HttpRefusalError(422, what, field) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpRefusalError(422, f"the body is no JSON: {error}") from error


def split_validation_error(text: str) -> tuple[str, str | None]:
    """Return complaint and field of a validation error's text.

    The library gives them in one text only: the path behind " - at", an unknown or missing
    field's name inside the complaint.
    """
    match = _AT.match(text)
    if match is None:
        return text, None
    what, path = match["what"], (match["path"] or "").removeprefix("$").removeprefix(".")
    named = _NAMED_FIELD.search(what)
    if named is not None:
        path = f"{path}.{named[1]}" if path else named[1]
    return what.replace("`", "'"), path or None


def parse_credentials(header: str | None) -> BasicCredentials | BearerCredentials | None:
    """Return the credentials of an Authorization header, None without one.

    Raises:
        HttpRefusalError: 401 for a header that makes no sense.
    """
    if header is None:
        return None
    scheme, _, value = header.partition(" ")
    match scheme.lower():
        case "bearer":
            return BearerCredentials(value.strip())
        case "basic":
            try:
                text = base64.b64decode(value.strip(), validate=True).decode()
            except (binascii.Error, ValueError):
                raise HttpRefusalError(401, "wrong credentials") from None
            if not text:
                raise HttpRefusalError(401, "wrong credentials")
            user, colon, password = text.partition(":")
            return BasicCredentials(user, password if colon else None)
    raise HttpRefusalError(401, "the authorization scheme is not known")


def refuse_other_sites(request: web.Request, *, is_page: bool = False) -> None:
    """Refuse what a page of another site makes an operator's browser send.

    Loopback is trusted by default, so that such a page would otherwise be an administrator.

    Args:
        request: What was sent.
        is_page: Whether a link from anywhere may open it, in a window of its own.

    Raises:
        HttpRefusalError: 403 for such a request.
    """
    headers = request.headers
    site, origin = headers.get("Sec-Fetch-Site", "none"), headers.get(hdrs.ORIGIN)
    how = headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")
    if is_page and how == ("navigate", "document") and origin is None:
        return
    if site not in ("none", "same-origin") or (
        origin is not None and urlsplit(origin).netloc != request.headers.get(hdrs.HOST)
    ):
        raise HttpRefusalError(403, "requests of other sites are not taken")
