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
from typing import Any

from engine.model.redis_options import RedisOptions, read_redis_options
from engine.script_modules.open_connections import OpenConnections, Opening
from engine.script_modules.script_call import caller_budget
from engine.script_modules.waiting_call import account_result, waiting
from policy.script_api import ScriptNamespace, known_to_scripts

MODULE = "mta.redis"
ARGUMENTS_MAX = 10_000
#: They change the connection for those who use it next, or never reply.
_REFUSED = frozenset(
    {"AUTH", "CLIENT", "DISCARD", "EXEC", "HELLO", "MONITOR", "MULTI", "PSUBSCRIBE", "PSYNC"}
    | {"PUNSUBSCRIBE", "QUIT", "RESET", "SELECT", "SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE"}
    | {"SYNC", "UNSUBSCRIBE", "UNWATCH", "WATCH"}
)


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
        read = read_redis_options("mta.redis.open", options)
        # Read here, where a script loads, and not when mail flows.
        importlib.import_module("engine.base.redis_client")
        return RedisConnection(self._connections, read)

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
        except (exceptions.RedisError, exceptions.RedisClusterException) as error:
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
    from engine.base.redis_client import open_redis  # noqa: PLC0415 - as in open
    from engine.script_modules.redis_parser import BoundedParser  # noqa: PLC0415

    client = await open_redis(options, BoundedParser)
    # What the library needs itself stays; commands of scripts are answered as they come.
    for name in [*client.response_callbacks]:
        if not str(name).upper().startswith(("CLUSTER", "COMMAND", "READONLY", "ASKING")):
            del client.response_callbacks[name]
    return client
