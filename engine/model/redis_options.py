"""Where a Redis is and how long it may take, as scripts say it.

Place in flow: options of ``mta.redis.open`` and ``mta.configure_redis_throttles``;
``engine.base.redis_client`` opens what they name.

Invariants: no text made of these holds a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from engine.model.duration import parse_duration
from engine.model.keyword_options import Option, flag, list_of, read_options, text, whole

NODES_MAX = 64
POOL_SIZE_MAX = 1000
_SCHEMES = ("redis", "rediss", "unix")


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


REDIS_OPTIONS: Mapping[str, Option] = {
    "node": Option(_nodes, "nodes", is_secret=True),
    "pool_size": Option(whole(1, POOL_SIZE_MAX)),
    "username": Option(text),
    "password": Option(text, is_secret=True),
    "connect_timeout": Option(_positive, "connect_s"),
    "wait_timeout": Option(_positive, "wait_s"),
    "response_timeout": Option(_positive, "response_s"),
    "cluster": Option(flag),
    "read_from_replicas": Option(flag),
    "tls_ca": Option(text),
    "tls_verify": Option(flag),
}


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Where a server is and how long it may take; times in seconds.

    The defaults are below the waiting time of an event, so that a script can still answer.

    Attributes:
        nodes: URLs: of one server, or of some of a cluster.
        pool_size: Connections to a server, at most.
        cluster: Whether it is a cluster; None: if there are several nodes.
        tls_ca: File of the authorities that sign for ``rediss://`` servers; None: the system's.
        tls_verify: Whether its certificate has to be good.
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
    tls_ca: str | None = None
    tls_verify: bool = True

    @property
    def is_cluster(self) -> bool:
        """Return whether the nodes are those of one cluster."""
        return self.cluster if self.cluster is not None else len(self.nodes) > 1

    @property
    def whole_s(self) -> float:
        """Return the longest that a command may take."""
        return self.connect_s + self.wait_s + self.response_s


def read_redis_options(owner: str, options: Mapping[str, Any], **others: Any) -> RedisOptions:
    """Return the options that were given.

    Args:
        owner: What the operator called, for the message of an error.
        options: The keyword arguments.
        others: Values for what was not given, by attribute.

    Raises:
        TypeError: An option is unknown or missing.
        ValueError: A value does not fit.
    """
    read = read_options(owner, options, REDIS_OPTIONS)
    if "nodes" not in read:
        raise TypeError(f"{owner}: node is missing")
    if read.get("cluster") is False and len(read["nodes"]) > 1:
        raise ValueError(f"{owner}: several nodes are a cluster")
    return RedisOptions(**{**others, **read})
