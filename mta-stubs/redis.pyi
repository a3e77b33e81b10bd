"""Commands to a Redis server or cluster."""

from collections.abc import Sequence
from typing import Any, TypeAlias, final, type_check_only

_Duration: TypeAlias = int | float | str

@final
@type_check_only
class Connection:
    """What commands are sent with; those that are opened alike share a pool.

    >>> db = mta.redis.open(node="redis://127.0.0.1:6379", response_timeout="2s")
    >>> await db.query("SET", "tenant:acme", "pool-a")
    'OK'
    >>> await db.query("GET", "tenant:acme")
    'pool-a'
    """

    async def query(self, command: str, *args: str | bytes | int | float) -> Any:
        """The reply: text, number, None or a list, as the server sends it.

        Octets that are no UTF-8 come as surrogates. ConnectionError, TimeoutError: there is no
        reply; RuntimeError: the server refuses.
        """

def open(
    *,
    node: str | Sequence[str],
    pool_size: int = 10,
    username: str | None = None,
    password: str | None = None,
    connect_timeout: _Duration = 5,
    wait_timeout: _Duration = 5,
    response_timeout: _Duration = 5,
    cluster: bool | None = None,
    read_from_replicas: bool = False,
    tls_ca: str | None = None,
    tls_verify: bool = True,
) -> Connection:
    """Open ``redis://host:port/0``; several nodes are a cluster. Nothing is sent yet.

    ``rediss://`` speaks TLS; ``tls_ca`` names the file of those who may sign its certificate.

    >>> db = mta.redis.open(node="redis://127.0.0.1:6379")
    >>> await db.query("SET", "greeting", "hello")
    'OK'
    """
