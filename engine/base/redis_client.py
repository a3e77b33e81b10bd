"""A client of Redis or of a cluster, as the options say, that never repeats a command by itself.

Place in flow: ``engine.script_modules.redis_query`` opens it for scripts,
``engine.throttle.redis_link`` for shared limits. redis-py talks. It is large: this module is read
only where a Redis is used.

Invariants: whether a command may be sent again is for the caller to know; here nothing is.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from redis import asyncio as redis
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from engine.model.redis_options import RedisOptions

#: What a call of a client raises when Redis fails or refuses. The library's trouble with a cluster
#: is no error of its family; the last two it raises itself, of a reply that is none.
REDIS_FAILURES = (RedisError, RedisClusterException, OSError, ValueError, IndexError)


async def open_redis(options: RedisOptions, parser: type | None = None) -> Any:
    """Return a client: ``redis.asyncio.Redis`` or ``RedisCluster``.

    A single server is connected to at the first command, a cluster here: it has to say what its
    parts are.

    Args:
        options: Where and how.
        parser: Reads replies in place of the library's own parser.

    Raises:
        One of ``REDIS_FAILURES``: The cluster cannot be asked.
    """
    shared: dict[str, Any] = {
        "protocol": 2,
        "decode_responses": True,
        "encoding_errors": "surrogateescape",
        "socket_timeout": options.response_s,
        "socket_connect_timeout": options.connect_s,
        "username": options.username,
        "password": options.password,
    }
    if urlsplit(options.nodes[0]).scheme == "rediss":
        shared["ssl_ca_certs"] = options.tls_ca
        shared["ssl_cert_reqs"] = "required" if options.tls_verify else "none"
        shared["ssl_check_hostname"] = options.tls_verify
    if options.is_cluster:
        return await _open_cluster(options, shared, parser)
    return _open_single(options, shared, parser)


def _open_single(options: RedisOptions, shared: dict[str, Any], parser: type | None) -> Any:
    given = {name: value for name, value in shared.items() if value is not None}
    if parser is not None:
        given["parser_class"] = parser
    pool = redis.BlockingConnectionPool.from_url(
        options.nodes[0],
        max_connections=options.pool_size,
        timeout=options.wait_s,
        retry=Retry(NoBackoff(), 0),
        **given,
    )
    return redis.Redis.from_pool(pool)


async def _open_cluster(options: RedisOptions, shared: dict[str, Any], parser: type | None) -> Any:

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
    if parser is not None:
        makers: tuple[Any, ...] = (cluster, *cluster.nodes_manager.startup_nodes.values())
        for one in makers:
            one.connection_kwargs["parser_class"] = parser
    try:
        await cluster.initialize()
    except BaseException:
        await cluster.aclose()
        raise
    return cluster
