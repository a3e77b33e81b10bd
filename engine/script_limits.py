"""What ``init`` says of limits that nodes share: ``mta.configure_redis_throttles``.

Place in flow: ``engine.script_api`` exposes it; ``engine.shared_limits`` carries it out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.model.keyword_options import flag, whole
from engine.model.redis_options import read_redis_options
from engine.script_declarations import Declarations, SharedLimitsDeclaration
from policy.script_api import ScriptNamespace

#: How long a server may take unless the script says otherwise, seconds. Mail waits for it.
CONNECT_S = WAIT_S = RESPONSE_S = 1.0
NODES_MAX = 10_000
_OWNER = "configure_redis_throttles"


class LimitDeclarations:
    """The function of ``init`` about shared limits.

    Args:
        open_declarations: Returns what ``init`` declares now; raises outside of it.
        warn: Notes a warning.
    """

    def __init__(
        self, open_declarations: Callable[[str], Declarations], warn: Callable[[str], None]
    ) -> None:
        self._open = open_declarations
        self._warn = warn

    def configure_redis_throttles(
        self, *, nodes: Any = 1, share_directives: Any = True, **options: Any
    ) -> None:
        """Share rates, connection limits and operators' directives with other nodes.

        Args:
            nodes: How many nodes to assume as long as none was seen.
            share_directives: Whether suspensions and bounces of operators are shared too.
            options: Those of ``mta.redis.open``; ``node`` has to be among them.
        """
        declarations = self._open(_OWNER)
        if declarations.shared_limits is not None:
            raise ValueError("the Redis of shared limits is declared twice")
        if options.pop("recycle_timeout", None) is not None:
            self._warn("recycle_timeout: connections are looked at when they are used")
        read = read_redis_options(
            _OWNER, options, connect_s=CONNECT_S, wait_s=WAIT_S, response_s=RESPONSE_S
        )
        if read.read_from_replicas:
            self._warn("read_from_replicas: each question writes, so that only masters are asked")
        declarations.shared_limits = SharedLimitsDeclaration(
            read,
            _named("nodes", whole(1, NODES_MAX), nodes),
            _named("share_directives", flag, share_directives),
        )

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the function importable by scripts."""
        namespace.expose(_OWNER, self.configure_redis_throttles)


def _named(name: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
