"""A node reached over HTTP: the way of the command line.

Place in flow: made by ``engine.cli.verb`` from ``--endpoint``; a ``NodePort`` for verbs.

Invariants:
    * A refusal is one line with the node's own words. No credential is in any text.
    * Nothing of the environment stands between a command and its node.

Failure: ``NodeRefusedError`` for a refusal, ``NodeAwayError`` when there is no answer.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

import aiohttp
import msgspec

from engine.base.os_reason import os_reason
from engine.cli.endpoint import parse_endpoint, shown_endpoint
from engine.cli.errors import NodeAwayError, NodeRefusedError
from engine.cli.samples import Samples, parse_samples
from engine.cli.table import printable

#: How long a node may take for an answer, seconds.
ANSWER_S = 60.0
#: Octets of an answer, and of one frame of a websocket.
ANSWER_MAX = 1 << 30
FRAME_MAX = 64 << 20
#: Octets of a refusal in plain text that are shown.
WORDS_MAX = 1000
#: Seconds between signs of life of a websocket.
HEARTBEAT_S = 20.0


class HttpNode:
    """The node at an endpoint; close it after use.

    Args:
        endpoint: The URL of its HTTP listener; user and password may stand in it.
        answer_s: How long it may take for an answer, seconds.

    Raises:
        click.UsageError: The endpoint is no such URL.
    """

    def __init__(self, endpoint: str, answer_s: float = ANSWER_S) -> None:
        self._base, self._headers = parse_endpoint(endpoint)
        self._shown = shown_endpoint(endpoint)
        self._answer_s = answer_s
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> HttpNode:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what the node answers. See ``NodePort``."""
        try:
            async with self._session().request(
                method,
                self._base + path,
                params=encode_query(query or {}),
                json=None if body is None else without_nothing(body),
            ) as answer:
                raw = await answer.content.read(ANSWER_MAX)
                while not answer.content.at_eof() and len(raw) < ANSWER_MAX:
                    raw += await answer.content.read(ANSWER_MAX - len(raw))
                if answer.status >= 400:
                    raise NodeRefusedError(
                        f"the node answers {answer.status}: "
                        f"{_words_of(raw, answer.content_type, answer.reason)}",
                        answer.status,
                    )
                if answer.content_type == "application/json":
                    return msgspec.json.decode(raw)
                return raw.decode("utf-8", "replace")
        except msgspec.DecodeError as error:
            raise NodeRefusedError(f"{self._shown} answers no JSON: is it a node?") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._away(error) from error

    async def watch(self, path: str, wanted: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Yield what happens on the node. See ``NodePort``."""
        try:
            async with self._session().ws_connect(
                self._base + path, heartbeat=HEARTBEAT_S, max_msg_size=FRAME_MAX
            ) as socket:
                await socket.send_str(msgspec.json.encode(without_nothing(wanted)).decode())
                async for message in socket:
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        continue
                    frame = msgspec.json.decode(message.data)
                    if "error" in frame:
                        raise NodeRefusedError(f"the node answers: {frame['error']}")
                    yield frame
        except aiohttp.WSServerHandshakeError as error:
            raise NodeRefusedError(
                f"the node answers {error.status}: {error.message}", error.status
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._away(error) from error

    async def read_metrics(self, names: Collection[str]) -> Samples:
        """Return the series of metrics. See ``NodePort``."""
        text = await self.call("GET", "/metrics", query={"names": ",".join(names)})
        return parse_samples(text.splitlines(), names)

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=self._answer_s)
            self._http = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self._http

    def _away(self, error: Exception) -> NodeAwayError:
        return NodeAwayError(f"no answer of {self._shown}: {_reason_of(error)}")


def _reason_of(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        return str(inner) if isinstance(inner, ssl.SSLError) else os_reason(inner)
    if isinstance(error, OSError):
        return os_reason(error)
    return str(error) or type(error).__name__


def _words_of(raw: bytes, content_type: str, reason: str | None) -> str:
    if content_type == "text/plain":
        # Whether a node lives is said in plain text; it is a line.
        text = " ".join(raw[:WORDS_MAX].decode("utf-8", "replace").split())
        return printable(text) or reason or "without a word"
    try:
        return str(msgspec.json.decode(raw)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return reason or "without a word"


def without_nothing(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments less those that were not given."""
    return {name: value for name, value in arguments.items() if value is not None}


def encode_query(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return arguments as a query: lists name by name, truth as JSON writes it."""
    pairs: list[tuple[str, str]] = []
    for name, value in without_nothing(arguments).items():
        values = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, str(one).lower() if isinstance(one, bool) else str(one)) for one in values]
    return pairs
