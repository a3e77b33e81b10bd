"""``mta.redis``: commands to a Redis server or cluster.

Place in flow: exposed by ``network_modules``; redis-py talks.

Invariants:
    * A command waits for its connection, its turn and its reply at most the three time-outs.
    * One that is broken off takes its connection with it, so that no reply reaches the wrong
      command. Nothing is sent twice: a script alone knows whether it may.
    * Commands that change what a shared connection is (SUBSCRIBE, SELECT, MULTI, ...) are refused.
    * Replies are as the server sends them, in version 2 of its protocol, and bounded.

Failure: ``ConnectionError`` or ``TimeoutError``; what the server refuses is a ``RuntimeError``. No
text holds a password.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from engine.model.duration import parse_duration
from engine.model.keyword_options import Option, flag, list_of, read_options, text, whole
from engine.script_modules.open_connections import OpenConnections, Opening
from engine.script_modules.script_call import caller_budget
from engine.script_modules.waiting_call import account_result, waiting
from policy.script_api import ScriptNamespace, known_to_scripts

MODULE = "mta.redis"
NODES_MAX = 64
POOL_SIZE_MAX = 1000
ARGUMENTS_MAX = 10_000
_SCHEMES = ("redis", "rediss", "unix")
#: They change the connection for those who use it next, or never reply.
_REFUSED = frozenset(
    {"AUTH", "CLIENT", "DISCARD", "EXEC", "HELLO", "MONITOR", "MULTI", "PSUBSCRIBE", "PSYNC"}
    | {"PUNSUBSCRIBE", "QUIT", "RESET", "SELECT", "SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE"}
    | {"SYNC", "UNSUBSCRIBE", "UNWATCH", "WATCH"}
)


def _node(value: Any) -> str:
    url = text(value)
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not (parts.hostname or parts.path):
        # Not the value: it may hold a password.
        raise ValueError("redis://host:port, rediss://host:port or unix:///path is expected")
    return url


def _nodes(value: Any) -> tuple[str, ...]:
    nodes = (_node(value),) if isinstance(value, str) else list_of(_node)(value)
    if not 0 < len(nodes) <= NODES_MAX:
        raise ValueError(f"1 to {NODES_MAX} nodes are expected")
    return nodes


def _positive(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError(f"a duration above zero is expected, not {value!r}")
    return seconds


OPTIONS: Mapping[str, Option] = {
    "node": Option(_nodes, "nodes", is_secret=True),
    "pool_size": Option(whole(1, POOL_SIZE_MAX)),
    "username": Option(text),
    "password": Option(text, is_secret=True),
    "connect_timeout": Option(_positive, "connect_s"),
    "wait_timeout": Option(_positive, "wait_s"),
    "response_timeout": Option(_positive, "response_s"),
    "cluster": Option(flag),
    "read_from_replicas": Option(flag),
}


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Where a server is and how long it may take; times in seconds.

    The defaults are below the waiting time of an event, so that a script can still answer.
    """

    nodes: tuple[str, ...] = field(repr=False)
    pool_size: int = 10
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    connect_s: float = 5.0
    wait_s: float = 5.0
    response_s: float = 5.0
    cluster: bool | None = None
    read_from_replicas: bool = False

    @property
    def is_cluster(self) -> bool:
        """Return whether the nodes are those of one cluster."""
        return self.cluster if self.cluster is not None else len(self.nodes) > 1

    @property
    def whole_s(self) -> float:
        """Return the longest that a command may take."""
        return self.connect_s + self.wait_s + self.response_s


class RedisConnections:
    """Makes what scripts send commands with."""

    def __init__(self, connections: OpenConnections) -> None:
        self._connections = connections

    def open(self, **options: Any) -> RedisConnection:
        """Return a connection; it is made when the first command is sent.

        Raises:
            TypeError: An option is unknown or missing.
            ValueError: A value does not fit.
        """
        read = read_options("mta.redis.open", options, OPTIONS)
        if "nodes" not in read:
            raise TypeError("mta.redis.open: node is missing")
        if read.get("cluster") is False and len(read["nodes"]) > 1:
            raise ValueError("mta.redis.open: several nodes are a cluster")
        # Read here, where a script loads, and not when mail flows.
        importlib.import_module("redis.asyncio")
        return RedisConnection(self._connections, RedisOptions(**read))

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the module importable by scripts."""
        namespace.expose("open", self.open, module=MODULE)


@known_to_scripts("Connection")
class RedisConnection:
    """Sends commands to one server or cluster, together with all scripts that use the same."""

    __slots__ = ("_connections", "_options")

    def __init__(self, connections: OpenConnections, options: RedisOptions) -> None:
        self._connections = connections
        self._options = options

    @waiting("redis.query")
    async def query(self, command: str, *args: str | bytes | int | float) -> Any:
        """Return the reply to a command."""
        from redis import exceptions  # noqa: PLC0415 - as in open

        _check_command(command, args)
        options = self._options
        opening = Opening(("redis", options), lambda: _open(options), lambda one: one.aclose())
        try:
            async with asyncio.timeout(options.whole_s), self._connections.use(opening) as client:
                reply = await client.execute_command(command, *args)
        except (TimeoutError, exceptions.TimeoutError):
            raise TimeoutError("redis: no reply in time") from None
        except (exceptions.ConnectionError, exceptions.InvalidResponse, OSError) as error:
            raise ConnectionError(f"redis: {_told(error)}") from None
        except exceptions.RedisError as error:
            raise RuntimeError(f"redis: {_told(error)}") from None
        except (ValueError, IndexError) as error:
            # redis-py itself, of a reply that is none.
            raise ConnectionError(f"redis: not a reply: {type(error).__name__}") from None
        return account_result(caller_budget(), reply)

    def __repr__(self) -> str:
        return "<redis connection>"


def _check_command(command: Any, args: tuple[Any, ...]) -> None:
    words = command.split() if isinstance(command, str) else []
    if not words:
        raise TypeError("query: the command is text")
    if words[0].upper() in _REFUSED:
        raise ValueError(f"query: {words[0].upper()} changes a connection that is shared")
    if len(args) > ARGUMENTS_MAX:
        raise ValueError(f"query: more than {ARGUMENTS_MAX} arguments")
    for argument in args:
        if isinstance(argument, bool) or not isinstance(argument, str | bytes | int | float):
            kind = type(argument).__name__
            raise TypeError(f"query: arguments are text, bytes or numbers, not {kind}")


def _told(error: BaseException) -> str:
    """Return the text of an error, on one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__


async def _open(options: RedisOptions) -> Any:
    from redis import asyncio as redis  # noqa: PLC0415 - as in open
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    from engine.script_modules.redis_parser import BoundedParser  # noqa: PLC0415

    shared = {
        "protocol": 2,
        "decode_responses": True,
        "encoding_errors": "surrogateescape",
        "socket_timeout": options.response_s,
        "socket_connect_timeout": options.connect_s,
        "username": options.username,
        "password": options.password,
    }
    if not options.is_cluster:
        given = {name: value for name, value in shared.items() if value is not None}
        pool = redis.BlockingConnectionPool.from_url(
            options.nodes[0],
            max_connections=options.pool_size,
            timeout=options.wait_s,
            parser_class=BoundedParser,
            retry=Retry(NoBackoff(), 0),
            **given,
        )
        client = redis.Redis.from_pool(pool)
        client.response_callbacks.clear()
        return client
    return await _open_cluster(options, shared, BoundedParser)


async def _open_cluster(options: RedisOptions, shared: dict[str, Any], parser: type) -> Any:
    from redis import asyncio as redis  # noqa: PLC0415 - as in open
    from redis.asyncio.cluster import ClusterNode  # noqa: PLC0415

    first = urlsplit(options.nodes[0])
    shared["username"] = options.username or first.username
    shared["password"] = options.password or first.password
    if first.scheme == "rediss":
        shared["ssl"] = True
    nodes = [urlsplit(node) for node in options.nodes]
    cluster = redis.RedisCluster(
        startup_nodes=[ClusterNode(node.hostname or "", node.port or 6379) for node in nodes],
        max_connections=options.pool_size,
        read_from_replicas=options.read_from_replicas,
        cluster_error_retry_attempts=0,
        **shared,
    )
    makers: tuple[Any, ...] = (cluster, *cluster.nodes_manager.startup_nodes.values())
    for one in makers:
        one.connection_kwargs["parser_class"] = parser
    try:
        await cluster.initialize()
    except BaseException:
        await cluster.aclose()
        raise
    # What the library needs itself stays; commands of scripts are answered as they come.
    for name in [*cluster.response_callbacks]:
        if not str(name).upper().startswith(("CLUSTER", "COMMAND", "READONLY", "ASKING")):
            del cluster.response_callbacks[name]
    return cluster
