"""Secrets of HashiCorp Vault, from its key-value store of version 2.

Place in flow: ``engine.base.key_source`` asks for the sources that name a Vault.

Invariants:
    * An answer is kept for ``CACHE_S``; asked for once at a time. While Vault cannot be reached, a
      known secret goes on for ``STALE_S``; a refusal is an answer and ends it.
    * Neither a token nor a secret is in an error, a log or a representation.
    * Bounded: time, redirects (never from https to http), octets of an answer, what is kept.

Failure: always a ``ConfigurationError`` that names address, mount and path.

Standard: Vault's HTTP API, ``GET /v1/:mount/data/:path``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import aiohttp

from engine.model.errors import ConfigurationError

log = logging.getLogger("cirrus.secrets")

CACHE_S = 60.0
STALE_S = 86_400.0
TIMEOUT_S = 10.0
#: After a failure, a known secret goes on this long before Vault is asked again.
PAUSE_S = 5.0
ENTRIES_MAX = 1024
ANSWER_BYTES_MAX = 2 << 20
REDIRECTS_MAX = 3
NAME_MAX = 1024


@dataclass(frozen=True, slots=True)
class VaultPlace:
    """Where a secret is, and who asks.

    Attributes:
        address: Of the server, ``https://host:8200``.
        mount: Of the key-value store.
        path: Below it.
        token: Who asks.
    """

    address: str
    mount: str
    path: str
    token: str = field(repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigurationError("Vault: the address is not like https://host:8200")
        for name in (self.mount, self.path):
            pieces = name.split("/")
            if not name or len(name) > NAME_MAX or {".", "..", ""} & set(pieces):
                raise ConfigurationError(f"Vault: not a mount or path: {name[:100]!r}")
        if not self.token or not self.token.isascii() or not self.token.isprintable():
            raise ConfigurationError("Vault: the token is missing or not a token")

    def __str__(self) -> str:
        return f"{self.mount}/{self.path} of Vault at {urlsplit(self.address).hostname}"

    @property
    def url(self) -> str:
        """Return the address of the newest version."""
        return f"{self.address.rstrip('/')}/v1/{quote(self.mount)}/data/{quote(self.path)}"

    @property
    def key(self) -> tuple[str, bytes]:
        """Return what makes two places the same, without a token to be seen."""
        return self.url, hashlib.sha256(self.token.encode()).digest()


@dataclass(slots=True)
class _Known:
    secrets: Mapping[str, Any]
    read_mono: float
    asked_mono: float


#: Port: return the status and the body of the answer to a question; raise what aiohttp raises.
AskVault = Callable[[VaultPlace], Awaitable[tuple[int, bytes]]]


class _UnreachableError(ConfigurationError):
    """Vault gave no answer, or one that says nothing of the secret."""


class VaultClient:
    """Reads secrets.

    Args:
        mono: Monotonic time in seconds.
        ask: What asks a server; HTTP if not given.
    """

    def __init__(self, mono: Callable[[], float], ask: AskVault | None = None) -> None:
        self._mono = mono
        self._ask: AskVault = ask or _ask
        self._known: OrderedDict[tuple[str, bytes], _Known] = OrderedDict()
        self._asking: dict[tuple[str, bytes], asyncio.Lock] = {}

    async def read(self, place: VaultPlace, name: str) -> bytes:
        """Return one value of a secret.

        Args:
            place: Where the secret is.
            name: Of the value in it.

        Raises:
            ConfigurationError: There is none.
        """
        secrets = await self._secrets(place)
        value = secrets.get(name)
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{place} has no text under {name[:100]!r}")
        return value.encode()

    async def _secrets(self, place: VaultPlace) -> Mapping[str, Any]:
        key = place.key
        lock = self._asking.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                known = self._known.get(key)
                now_mono = self._mono()
                if known is not None and (
                    now_mono - known.read_mono < CACHE_S or now_mono - known.asked_mono < PAUSE_S
                ):
                    return known.secrets
                return await self._renew(place, known)
        finally:
            if not lock.locked():
                self._asking.pop(key, None)

    async def _renew(self, place: VaultPlace, known: _Known | None) -> Mapping[str, Any]:
        try:
            secrets = await self._read_from(place)
        except _UnreachableError as error:
            if known is None or self._mono() - known.read_mono > STALE_S:
                raise
            known.asked_mono = self._mono()
            log.warning("the secret known goes on: %s", error)
            return known.secrets
        except ConfigurationError:
            self._known.pop(place.key, None)
            raise
        self._known[place.key] = _Known(secrets, self._mono(), self._mono())
        self._known.move_to_end(place.key)
        if len(self._known) > ENTRIES_MAX:
            self._known.popitem(last=False)
        return secrets

    async def _read_from(self, place: VaultPlace) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                status, body = await self._ask(place)
        except TimeoutError:
            raise _UnreachableError(f"{place}: no answer in {TIMEOUT_S:g} s") from None
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            raise _UnreachableError(f"{place}: {type(error).__name__}") from None
        return _judge(place, status, body)


async def _ask(place: VaultPlace) -> tuple[int, bytes]:
    async with aiohttp.ClientSession(trust_env=False) as session:
        return await _get(session, place)


def _judge(place: VaultPlace, status: int, body: bytes) -> Mapping[str, Any]:
    if status == 200:
        return _read_answer(place, body)
    if status == 403:
        raise ConfigurationError(f"{place}: the token may not read it")
    if status == 404:
        raise ConfigurationError(f"{place}: there is no such secret")
    if status == 503:
        raise _UnreachableError(f"{place}: Vault is sealed or under maintenance")
    raise _UnreachableError(f"{place}: answered with status {status}")


async def _get(session: aiohttp.ClientSession, place: VaultPlace) -> tuple[int, bytes]:
    url, scheme = place.url, urlsplit(place.address).scheme
    for _ in range(REDIRECTS_MAX + 1):
        async with session.get(
            url,
            headers={"X-Vault-Token": place.token, "X-Vault-Request": "true"},
            allow_redirects=False,
        ) as answer:
            if answer.status in (301, 302, 307, 308):
                # A standby server names the active one.
                url = urljoin(url, answer.headers.get("Location", ""))
                if urlsplit(url).scheme != scheme:
                    raise ValueError("redirected to another scheme")
                continue
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > ANSWER_BYTES_MAX:
                    raise ValueError("the answer is too large")
            return answer.status, bytes(body)
    raise ValueError("too many redirects")


def _read_answer(place: VaultPlace, body: bytes) -> Mapping[str, Any]:
    try:
        secrets = json.loads(body)["data"]["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        secrets = None
    if not isinstance(secrets, dict):
        raise _UnreachableError(f"{place}: the answer is not one of a key-value store, version 2")
    return secrets
