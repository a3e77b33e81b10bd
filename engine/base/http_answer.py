"""What a route's answer looks like on the wire: JSON, text, an error, or a stream in slices.

Place in flow: made by ``engine.base.http_service`` of what routes return and raise.

Invariants:
    * A stream takes its share of the loop and no more, however much there is to say: after a slice
      of ``SLICE_S`` others have it for at least ``PAUSE_S``.
    * An answer that ends early does not look like a finished one.

Standard: RFC 9110, 8.4 and 12.5.3, for streams that are packed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import zlib
from collections.abc import Awaitable, Iterable, Iterator
from typing import Any, Protocol

import msgspec
from aiohttp import hdrs, web

from engine.base.http_call import HttpRefusalError

#: Seconds that a stream waits for its reader, all in all; what it takes to say it all is ours.
STREAM_S = 60.0
#: How long a stream holds the loop at a time, and how long it then stays away, seconds.
SLICE_S = 0.004
PAUSE_S = 0.008
#: Characters that are written at once, at most.
WRITE_CHARS = 64 << 10
#: The fastest: a slice takes half a millisecond, and metrics become a tenth.
GZIP_LEVEL = 1
_GZIP_WBITS = 31
_ZERO = re.compile(r"0(\.0*)?")


def make_response(value: Any) -> web.StreamResponse:
    """Return what a route returned as a response: JSON, unless it is text or a response."""
    if isinstance(value, web.StreamResponse):
        return value
    if isinstance(value, str):
        return web.Response(text=value)
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


def make_refusal(refusal: HttpRefusalError) -> web.Response:
    """Return a refusal as a response."""
    document: dict[str, Any] = {"error": refusal.error}
    if refusal.field is not None:
        document["field"] = refusal.field
    headers = {hdrs.WWW_AUTHENTICATE: 'Basic realm="cirrus"'} if refusal.status == 401 else {}
    if refusal.retry_after_s is not None:
        headers[hdrs.RETRY_AFTER] = str(math.ceil(refusal.retry_after_s))
    response = web.Response(
        status=refusal.status,
        body=msgspec.json.encode(document),
        content_type="application/json",
        headers=headers,
    )
    if refusal.status in (408, 413):
        # What is left of the body is not worth reading.
        response.force_close()
    return response


async def stream(
    request: web.Request, pieces: Iterable[str], content_type: str
) -> web.StreamResponse:
    """Return a response after its pieces were sent, packed for who takes that.

    Args:
        request: What is answered.
        pieces: The text; an empty piece is a place to pause.
        content_type: Of the text.
    """
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: content_type})
    response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
    pack: _Pack = _Plain()
    if accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        response.headers[hdrs.CONTENT_ENCODING] = "gzip"
        pack = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_WBITS)
    if request.method == hdrs.METH_HEAD:
        await response.prepare(request)
        return response
    with contextlib.suppress(TimeoutError, ConnectionError):
        await _send(request, response, iter(pieces), pack)
        return response
    # The reader is gone or too slow: the connection must not look like a finished answer.
    response.force_close()
    if request.transport is not None:
        request.transport.abort()
    return response


async def _send(
    request: web.Request, response: web.StreamResponse, pieces: Iterator[str], pack: _Pack
) -> None:
    """Send pieces in slices.

    Raises:
        TimeoutError: The reader took too long, all in all.
        ConnectionError: It is gone.
    """
    mono = asyncio.get_running_loop().time
    left_s = STREAM_S

    async def patiently(sending: Awaitable[Any]) -> None:
        nonlocal left_s
        began_mono = mono()
        async with asyncio.timeout(left_s):
            await sending
        left_s -= mono() - began_mono

    await patiently(response.prepare(request))
    is_over = False
    while not is_over:
        text, is_over = take_slice(pieces, mono)
        octets = pack.compress(text.encode())
        if octets:
            await patiently(response.write(octets))
        if not is_over:
            await asyncio.sleep(PAUSE_S)
    if octets := pack.flush():
        await patiently(response.write(octets))
    await patiently(response.write_eof())


class _Pack(Protocol):
    """Something that makes octets smaller, a part at a time."""

    def compress(self, octets: bytes, /) -> bytes:
        """Return what can be sent by now."""

    def flush(self) -> bytes:
        """Return what is left to send."""


class _Plain:
    def compress(self, octets: bytes, /) -> bytes:
        return octets

    def flush(self) -> bytes:
        return b""


def accepts_gzip(accepted: str) -> bool:
    """Return whether an Accept-Encoding field (RFC 9110, 12.5.3) takes gzip."""
    weights: dict[str, bool] = {}
    for part in accepted.lower().split(","):
        name, _, parameter = part.partition(";")
        key, _, value = parameter.partition("=")
        is_refused = key.strip() == "q" and _ZERO.fullmatch(value.strip()) is not None
        weights[name.strip()] = not is_refused
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


def take_slice(pieces: Iterator[str], mono: Any) -> tuple[str, bool]:
    """Return what can be said within one slice, and whether that was the last of it.

    Args:
        pieces: What is left to say; the iterator moves on.
        mono: The clock.
    """
    gathered: list[str] = []
    chars = 0
    until_mono = mono() + SLICE_S
    for piece in pieces:
        gathered.append(piece)
        chars += len(piece)
        if chars >= WRITE_CHARS or mono() >= until_mono:
            return "".join(gathered), False
    return "".join(gathered), True
