"""``mta.amqp``: messages to AMQP 0-9-1 brokers such as RabbitMQ.

Place in flow: exposed by ``network_modules``; aio-pika talks, where it is installed.

Invariants:
    * The broker has taken the message when ``basic_publish`` returns (publisher confirms).
    * Connecting and publishing end within their time-outs; a connection that broke is replaced by
      the next call. Nothing is sent twice.

Failure: ``ConnectionError``, ``TimeoutError``; a message that the broker returns or refuses is a
``RuntimeError``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.model.keyword_options import Option, flag, key_source, read_options, text, whole
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
from policy.script_api import ScriptNamespace

MODULE = "mta.amqp"
_LIBRARY = "aio_pika"

CONNECTION_OPTIONS: Mapping[str, Option] = {
    "host": Option(text),
    "port": Option(whole(1, 65535)),
    "username": Option(text),
    "password": Option(text, is_secret=True),
    "vhost": Option(text),
    "connection_name": Option(text, "name"),
    "heartbeat": Option(whole(0, 3600)),
    "enable_tls": Option(flag),
    "root_ca_cert": Option(key_source, "root"),
    "client_cert": Option(text),
    "client_private_key": Option(text, "client_key"),
    "connect_timeout": Option(positive, "connect_s"),
    "publish_timeout": Option(positive, "publish_s"),
    # All calls share one connection: the reference's pool has no counterpart.
    "pool_size": Option(whole(1)),
    "recycle_timeout": Option(positive),
    "wait_timeout": Option(positive),
}
_OF_POOLS = ("pool_size", "recycle_timeout", "wait_timeout")

MESSAGE_OPTIONS: Mapping[str, Option] = {
    "app_id": Option(text),
    "cluster_id": Option(text),
    "content_encoding": Option(text),
    "content_type": Option(text),
    "correlation_id": Option(text),
    "delivery_mode": Option(whole(1, 2)),
    "expiration": Option(positive),
    "message_id": Option(text),
    "message_type": Option(text, "type"),
    "priority": Option(whole(0, 255)),
    "reply_to": Option(text),
    "timestamp": Option(whole(0)),
    "user_id": Option(text),
}


@dataclass(frozen=True, slots=True)
class AmqpOptions:
    """Where a broker is; times in seconds."""

    host: str = "127.0.0.1"
    port: int | None = None
    username: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    name: str = "cirrus"
    heartbeat: int = 60
    enable_tls: bool = False
    root: Any = None
    client_cert: str | None = None
    client_key: str | None = None
    connect_s: float = 5.0
    publish_s: float = 5.0


@dataclass(slots=True)
class _Link:
    connection: Any
    channel: Any
    is_stuck: bool = False


class AmqpPublisher:
    """Publishes for scripts."""

    def __init__(
        self,
        connections: OpenConnections,
        load_secret: LoadSecret,
        warn: Callable[[str], None],
    ) -> None:
        self._connections = connections
        self._load_secret = load_secret
        self._warn = warn

    async def basic_publish(
        self,
        *,
        routing_key: str,
        payload: str | bytes,
        exchange: str = "",
        connection: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        mandatory: bool = False,
        immediate: bool = False,
        **properties: Any,
    ) -> None:
        """Publish a message, and wait until the broker has taken it."""
        pika = require_library(_LIBRARY, "amqp")
        read = read_options("mta.amqp: connection", connection or {}, CONNECTION_OPTIONS)
        for name in _OF_POOLS:
            if name in read:
                self._warn(f"mta.amqp: connection: {name} is known but not yet in force")
        given = {name: freeze(read[name]) for name in read if name not in _OF_POOLS}
        options = AmqpOptions(**given)
        values = read_options("mta.amqp.basic_publish", properties, MESSAGE_OPTIONS)
        values.pop("cluster_id", None)  # deprecated in AMQP 0-9-1; brokers ignore it
        octets, fields = octets_of("payload", payload), dict(headers_of(headers or {}))
        for name, value in (("routing_key", routing_key), ("exchange", exchange)):
            if not isinstance(value, str) or len(value.encode()) > 255:
                raise ValueError(f"{name}: text of at most 255 octets is expected")
        message = pika.Message(octets, headers=fields, **values)
        opening = Opening(("amqp", options), lambda: self._open(options), _close, _is_good)
        errors = pika.exceptions
        try:
            async with (
                asyncio.timeout(options.connect_s + options.publish_s),
                self._connections.use(opening) as link,
            ):
                target = link.channel.default_exchange
                if exchange:
                    target = await link.channel.get_exchange(exchange, ensure=False)
                try:
                    async with asyncio.timeout(options.publish_s):
                        await target.publish(
                            message, routing_key, mandatory=mandatory, immediate=immediate
                        )
                except (TimeoutError, asyncio.CancelledError):
                    # The library remembers each message until the broker has answered: a channel
                    # that owes an answer is not used again.
                    link.is_stuck = True
                    raise
        except TimeoutError:
            raise TimeoutError("amqp: no answer in time") from None
        except (errors.DeliveryError, errors.PublishError) as error:
            raise RuntimeError(
                f"amqp: the broker did not take it: {type(error).__name__}"
            ) from None
        except errors.AuthenticationError:
            raise ConnectionError("amqp: the broker refuses user or password") from None
        except (errors.AMQPError, OSError, asyncio.InvalidStateError) as error:
            told = " ".join(str(error).split())[:200]
            raise ConnectionError(f"amqp: {type(error).__name__}: {told}") from None

    async def _open(self, options: AmqpOptions) -> _Link:
        pika = require_library(_LIBRARY, "amqp")
        tls = None
        if options.enable_tls:
            root = dict(options.root) if isinstance(options.root, tuple) else options.root
            tls = await make_tls(self._load_secret, root, options.client_cert, options.client_key)
        async with asyncio.timeout(options.connect_s):
            connection = await pika.connect(
                host=options.host,
                port=options.port or (5671 if options.enable_tls else 5672),
                login=options.username,
                password=options.password,
                virtualhost=options.vhost,
                ssl=options.enable_tls,
                ssl_context=tls,
                timeout=options.connect_s,
                client_properties={"connection_name": options.name},
                heartbeat=options.heartbeat,
            )
            try:
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            except BaseException:
                await connection.close()
                raise
        return _Link(connection, channel)

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the module importable by scripts."""
        namespace.expose("basic_publish", self.basic_publish, module=MODULE, waits=True)


async def _close(link: _Link) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await link.connection.close()


def _is_good(link: _Link) -> bool:
    return not (link.is_stuck or link.connection.is_closed or link.channel.is_closed)
