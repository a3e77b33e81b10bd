"""``mta.nats``: messages to NATS servers.

Place in flow: exposed by ``network_modules``; nats-py talks, where it is installed.

Invariants:
    * Connecting and publishing end within their time-outs. Nothing is kept for later: a connection
      that broke is replaced by the next call, and what could not be published is an error.
    * With ``await_ack`` (the default) a stream has stored the message when ``publish`` returns.

Failure: ``ConnectionError``, ``TimeoutError``, ``ValueError`` for what NATS does not take.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.model.keyword_options import (
    Option,
    flag,
    key_source,
    list_of,
    read_options,
    table_of,
    text,
    whole,
)
from engine.script_modules.broker_support import (
    LoadSecret,
    freeze,
    headers_of,
    make_tls,
    octets_of,
    positive,
    require_library,
)
from engine.script_modules.open_connections import OpenConnections, Opening
from engine.script_modules.waiting_call import waiting
from policy.script_api import ScriptNamespace, known_to_scripts

MODULE = "mta.nats"
SERVERS_MAX = 64


def _servers(value: Any) -> tuple[str, ...]:
    servers = (text(value),) if isinstance(value, str) else list_of(text)(value)
    if not 0 < len(servers) <= SERVERS_MAX:
        raise ValueError(f"1 to {SERVERS_MAX} servers are expected")
    return tuple(one if "://" in one else f"nats://{one}" for one in servers)


def _auth(value: Any) -> dict[str, Any]:
    auth = table_of(key_source)(value)
    if set(auth) not in ({"username", "password"}, {"token"}):
        raise ValueError("username and password are expected, or a token")
    return auth


OPTIONS: Mapping[str, Option] = {
    "servers": Option(_servers, is_secret=True),
    "name": Option(text),
    "auth": Option(_auth, is_secret=True),
    "no_echo": Option(flag),
    "connection_timeout": Option(positive, "connect_s"),
    "request_timeout": Option(positive, "request_s"),
    "ping_interval": Option(positive, "ping_s"),
    "tls_required": Option(flag),
    "tls_first": Option(flag),
    "certificate": Option(key_source, "root"),
    "client_cert": Option(text),
    "client_key": Option(text),
    "inbox_prefix": Option(text),
    "retain_servers_order": Option(flag, "keeps_order"),
}
#: Of clients that reconnect in the background; here the next call does.
NOT_IN_FORCE: Mapping[str, Option] = {
    "max_reconnects": Option(whole(0)),
    "sender_capacity": Option(whole(1)),
    "retry_on_initial_connect": Option(flag),
    "ignore_discovered_servers": Option(flag),
}


@dataclass(frozen=True, slots=True)
class NatsOptions:
    """Where servers are; times in seconds."""

    servers: tuple[str, ...] = field(repr=False)
    name: str = "cirrus"
    auth: Any = field(default=(), repr=False)
    no_echo: bool = False
    connect_s: float = 5.0
    #: Below the waiting time of an event, so that a script can still answer.
    request_s: float = 5.0
    ping_s: float = 60.0
    tls_required: bool = False
    tls_first: bool = False
    root: Any = None
    client_cert: str | None = None
    client_key: str | None = None
    inbox_prefix: str = "_INBOX"
    keeps_order: bool = False


class _Link:
    """A client, and the calls that wait for it: the library tells them nothing of its end."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.calls: set[asyncio.Timeout] = set()

    async def end_calls(self) -> None:
        """End the calls under way."""
        now = asyncio.get_running_loop().time()
        for call in self.calls:
            if not call.expired():
                call.reschedule(now)

    @property
    def is_good(self) -> bool:
        """Return whether it can be used."""
        return bool(self.client.is_connected)


class NatsConnections:
    """Makes what scripts publish with."""

    def __init__(
        self,
        connections: OpenConnections,
        load_secret: LoadSecret,
        warn: Callable[[str], None],
    ) -> None:
        self.connections = connections
        self._load_secret = load_secret
        self._warn = warn

    def connect(self, **options: Any) -> NatsConnection:
        """Return a connection; it is made when the first message is published.

        Raises:
            ImportError: The library is not installed.
            TypeError: An option is unknown or missing.
            ValueError: A value does not fit.
        """
        require_library("nats", "nats")
        read = read_options("mta.nats.connect", options, {**OPTIONS, **NOT_IN_FORCE})
        if "servers" not in read:
            raise TypeError("mta.nats.connect: servers is missing")
        for name in NOT_IN_FORCE.keys() & read.keys():
            self._warn(f"mta.nats.connect: {name} is known but not yet in force")
        known = {name: freeze(read[name]) for name in read if name not in NOT_IN_FORCE}
        return NatsConnection(self, NatsOptions(**known))

    def opening(self, options: NatsOptions) -> Opening[_Link]:
        """Return how such a connection comes and goes."""

        async def close(link: _Link) -> None:
            await link.client.close()

        return Opening(
            ("nats", options), lambda: self._open(options), close, lambda one: one.is_good
        )

    async def _open(self, options: NatsOptions) -> _Link:
        nats = require_library("nats", "nats")
        auth = {
            {"username": "user"}.get(name, name): (await self._load_secret(_thaw(source)))
            .decode()
            .strip()
            for name, source in options.auth
        }
        tls = None
        if options.tls_required or options.tls_first or options.root or options.client_cert:
            tls = await make_tls(
                self._load_secret, _thaw(options.root), options.client_cert, options.client_key
            )

        async def be_quiet(*_what: Any) -> None:
            """Leave it to the call that meets the trouble."""

        logging.getLogger("nats").setLevel(logging.CRITICAL)
        link = _Link(nats.NATS())
        try:
            async with asyncio.timeout(options.connect_s):
                await link.client.connect(
                    list(options.servers),
                    name=options.name,
                    error_cb=be_quiet,
                    closed_cb=link.end_calls,
                    allow_reconnect=False,
                    # Each server is tried twice, at once.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=options.connect_s,
                    ping_interval=options.ping_s,
                    no_echo=options.no_echo,
                    inbox_prefix=options.inbox_prefix.encode(),
                    dont_randomize=options.keeps_order,
                    tls=tls,
                    tls_handshake_first=options.tls_first,
                    **auth,
                )
        except BaseException:
            with contextlib.suppress(Exception):
                await link.client.close()
            raise
        return link

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the module importable by scripts."""
        namespace.expose("connect", self.connect, module=MODULE)


def _thaw(source: Any) -> Any:
    """Return a key source as it was before it became part of a key."""
    return dict(source) if isinstance(source, tuple) else source


@known_to_scripts("Connection")
class NatsConnection:
    """Publishes to the servers of one set of options."""

    __slots__ = ("_nats", "_options")

    def __init__(self, nats: NatsConnections, options: NatsOptions) -> None:
        self._nats = nats
        self._options = options

    @waiting("nats.publish")
    async def publish(
        self,
        *,
        subject: str,
        payload: str | bytes = b"",
        headers: Mapping[str, str] | None = None,
        await_ack: bool = True,
    ) -> dict[str, Any] | None:
        """Publish a message.

        Args:
            subject: Where to.
            payload: What.
            headers: Beside it.
            await_ack: Whether a stream must have stored it; None is returned otherwise.
        """
        nats = require_library("nats", "nats")
        errors = require_library("nats.errors", "nats")
        octets, fields = octets_of("payload", payload), headers_of(headers or {}) or None
        options, opening = self._options, self._nats.opening(self._options)
        has_ended = False
        if not isinstance(subject, str) or not subject or not subject.isprintable():
            raise ValueError("subject: text is expected")
        try:
            async with (
                asyncio.timeout(options.connect_s + options.request_s) as limit,
                self._nats.connections.use(opening) as link,
            ):
                link.calls.add(limit)
                try:
                    ack = await _publish(
                        link.client, subject, octets, fields, options.request_s, await_ack
                    )
                finally:
                    link.calls.discard(limit)
                    has_ended = not link.is_good
        except (TimeoutError, errors.TimeoutError):
            if has_ended:
                raise ConnectionError("nats: the connection ended") from None
            raise TimeoutError("nats: no answer in time") from None
        except nats.js.errors.NoStreamResponseError:
            raise ValueError(f"nats: no stream takes {subject[:200]!r}") from None
        except (errors.MaxPayloadError, errors.BadSubjectError) as error:
            raise ValueError(f"nats: {error}") from None
        except (errors.Error, OSError) as error:
            raise ConnectionError(f"nats: {error}"[:300]) from None
        return ack

    def close(self) -> None:
        """Do nothing: the connection is closed when no script uses it any more."""

    def __repr__(self) -> str:
        return "<nats connection>"


async def _publish(
    client: Any,
    subject: str,
    octets: bytes,
    headers: dict[str, str] | None,
    limit_s: float,
    await_ack: bool,
) -> dict[str, Any] | None:
    if not await_ack:
        await client.publish(subject, octets, headers=headers)
        await client.flush(limit_s)
        return None
    ack = await client.jetstream().publish(subject, octets, timeout=limit_s, headers=headers)
    return {
        "stream": ack.stream,
        "sequence": ack.seq,
        "domain": ack.domain,
        "duplicate": bool(ack.duplicate),
    }
