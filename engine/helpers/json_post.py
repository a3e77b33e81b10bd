"""Posting of JSON to a URL of the operator.

Place in flow: ``log_hook_helper`` gives it the records of a hook.

Invariants:
    * A request is over when ``post`` returns, body and all; its whole time is bounded.
    * An answer's text is shown to operators; the URL, which may hold a secret, never is.

Failure: ``OSError`` or ``TimeoutError`` where there is no answer; a status is an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp

#: Characters of an answer that are kept.
ANSWER_MAX = 200
#: How long closing may take, seconds.
CLOSE_S = 5.0


class Posted(NamedTuple):
    """The answer to a request."""

    status: int
    text: str

    @property
    def is_taken(self) -> bool:
        """Return whether the receiver has it."""
        return 200 <= self.status < 300


def parse_url(value: object) -> str:
    """Return a URL that can be posted to.

    Raises:
        ValueError: It is none, or not one of http or https.
    """
    if isinstance(value, str) and value.isprintable() and " " not in value:
        try:
            parts = urlsplit(value)
            if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
                return value
        except ValueError:
            pass
    # Not the value: it may hold a password.
    raise ValueError("a URL is expected, as in https://host/path")


def host_of(url: str) -> str:
    """Return the part of a URL that may be shown."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


class JsonPost:
    """Posts for the hooks of one node, by connections that they share."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> Posted:
        """Return the answer to a request.

        Args:
            url: Where to; redirects are not followed.
            body: JSON.
            headers: Further header fields.
            timeout_s: How long the whole of it may take, seconds.

        Raises:
            OSError: The receiver cannot be reached, or broke off.
            TimeoutError: It took too long.
        """
        if self._session is None:
            # No cookies and nothing of the environment: each request stands for itself.
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                headers={"User-Agent": "Cirrus"},
            )
        sent = {"Content-Type": "application/json", **headers}
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.post(url, data=body, headers=sent, allow_redirects=False) as answer,
            ):
                raw = await answer.content.read(4 * ANSWER_MAX)
                # What is left of a long answer ends the connection, not the request.
                return Posted(answer.status, _shown(raw, answer.reason))
        except aiohttp.ClientError as error:
            raise OSError(0, type(error).__name__) from error

    async def close(self) -> None:
        """Close the connections, at the stop of the node."""
        session, self._session = self._session, None
        if session is not None:
            # What does not close in time is closed with the process.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await session.close()


def _shown(raw: bytes, reason: str | None) -> str:
    text = " ".join(raw.decode("utf-8", "replace").split()) or (reason or "")
    return "".join(one if one.isprintable() else " " for one in text[:ANSWER_MAX])
