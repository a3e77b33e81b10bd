"""HTTP servers that are not there: canned answers for scripts under test.

Place in flow: ``engine.script_testing`` puts it in the place of the connections of ``mta.http``,
of what reads shaping files from URLs, and of what asks a Vault.

Invariants:
    * Nothing is connected to. A request that no answer was given for fails as a host that is
      not there.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp
from aiohttp.client_reqrep import ConnectionKey

from engine.base.shaping_source import FetchError
from engine.base.vault import VaultPlace
from engine.script_modules.http_client import ClientOptions, HttpClients
from engine.script_modules.open_connections import Opening

#: Where a request without an answer went, as ``aiohttp`` says it.
_NOWHERE = ConnectionKey("nowhere", 80, False, True, None, None, None)


class SentRequest(NamedTuple):
    """A request that a script sent."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the value of a body in JSON."""
        return json.loads(self.body)


class _Content:
    def __init__(self, body: bytes) -> None:
        self.body = body

    async def iter_any(self) -> AsyncIterator[bytes]:
        """Give the body at once."""
        yield self.body


@dataclass(slots=True)
class _Answer:
    """What ``aiohttp`` gives, as far as ``mta.http`` looks at it."""

    status: int
    reason: str
    headers: dict[str, str]
    content: _Content
    charset: str | None = "utf-8"


@dataclass(slots=True)
class _Canned:
    answers: list[_Answer | Exception] = field(default_factory=list)

    def next(self) -> _Answer | Exception:
        """Return the next answer; the last one stays."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class FakeHttp:
    """Answers requests of scripts, and keeps them.

    Attributes:
        requests: What was sent, in order.
    """

    def __init__(self) -> None:
        self.requests: list[SentRequest] = []
        self._canned: dict[tuple[str, str], _Canned] = {}

    def answer(
        self,
        method: str,
        url: str,
        *,
        status: int = 200,
        text: str = "",
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer requests to a URL; of several answers to one, each comes once, the last stays.

        Args:
            method: Such as ``GET``.
            url: The whole of it, or its beginning followed by ``*``.
            status: Such as 200.
            text: The body.
            json: A value that is the body instead.
            headers: Header fields.
        """
        fields = dict(headers or {})
        if json is not None:
            text = _to_json(json)
            fields.setdefault("Content-Type", "application/json")
        self._add(method, url, _Answer(status, "", fields, _Content(text.encode())))

    def fail(self, method: str, url: str) -> None:
        """Break off requests to a URL."""
        self._add(method, url, aiohttp.ServerDisconnectedError())

    def _add(self, method: str, url: str, answer: _Answer | Exception) -> None:
        self._canned.setdefault((method.upper(), url), _Canned()).answers.append(answer)

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, url: str, *, data: Any, headers: dict[str, str], max_redirects: int
    ) -> AsyncIterator[_Answer]:
        """Give the answer to a request, as a session of ``aiohttp`` does."""
        del max_redirects  # nothing redirects here
        body = data() if isinstance(data, aiohttp.FormData) else data
        octets = body if isinstance(body, bytes) else b"" if body is None else b"(form)"
        yield self._ask(method, url, headers, octets)

    async def read_url(self, url: str, timeout_s: float) -> bytes:
        """Return a shaping file, as ``engine.base.shaping_source`` reads one from a URL.

        Raises:
            FetchError: No answer is prepared, or it is none with a file.
        """
        del timeout_s  # answers come at once
        try:
            answer = self._ask("GET", url, {}, b"")
        except aiohttp.ClientError:
            raise FetchError("cannot be reached: no answer is prepared for it") from None
        if not 200 <= answer.status < 300:
            raise FetchError(f"answered with status {answer.status}")
        return answer.content.body

    async def ask_vault(self, place: VaultPlace) -> tuple[int, bytes]:
        """Return status and body of a secret, as ``engine.base.vault`` asks for one."""
        answer = self._ask("GET", place.url, {"X-Vault-Token": place.token}, b"")
        return answer.status, answer.content.body

    def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes) -> _Answer:
        self.requests.append(SentRequest(method, url, headers, body))
        found = self._find(method, url)
        if isinstance(found, Exception):
            raise found
        return found

    def _find(self, method: str, url: str) -> _Answer | Exception:
        exact = self._canned.get((method, url))
        if exact is not None:
            return exact.next()
        for (known, pattern), canned in self._canned.items():
            if known == method and pattern.endswith("*") and url.startswith(pattern[:-1]):
                return canned.next()
        return aiohttp.ClientConnectorError(_NOWHERE, OSError(0, "no answer is prepared for it"))


def _to_json(value: Any) -> str:
    return json.dumps(value)


class FakeHttpClients(HttpClients):
    """Makes clients that ask a ``FakeHttp``."""

    fake: FakeHttp

    def opening(self, options: ClientOptions) -> Opening[Any]:
        """Return the fake, as if it were connections."""
        fake = self.fake

        async def open_session() -> FakeHttp:
            return fake

        async def close_session(_session: FakeHttp) -> None:
            return None

        return Opening(("http", options), open_session, close_session)
