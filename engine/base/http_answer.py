"""What a route's answer looks like on the wire: JSON, text, an error, or a stream in slices.

Place in flow: made by ``engine.base.http_service`` of what routes return and raise.

Invariants:
    * A stream takes its share of the loop and no more, however much there is to say: after a slice
      of ``SLICE_S`` others have it for at least ``PAUSE_S``.
    * An answer that ends early does not look like a finished one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from aiohttp import hdrs, web

from engine.base.http_call import HttpRefusalError

#: Seconds a reader of a stream may take.
STREAM_S = 60.0
#: How long a stream holds the loop at a time, and how long it then stays away, seconds.
SLICE_S = 0.004
PAUSE_S = 0.008
#: Characters that are written at once, at most.
WRITE_CHARS = 64 << 10


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
    """Return a response after its pieces were sent; an empty piece is a place to pause."""
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: content_type})
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(STREAM_S):
            await response.prepare(request)
            iterator = iter(pieces)
            while True:
                text, is_over = take_slice(iterator, asyncio.get_running_loop().time)
                if text:
                    await response.write(text.encode())
                if is_over:
                    break
                await asyncio.sleep(PAUSE_S)
            await response.write_eof()
            return response
    # The reader is gone or too slow: the connection must not look like a finished answer.
    response.force_close()
    if request.transport is not None:
        request.transport.abort()
    return response


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
