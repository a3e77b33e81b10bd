"""Messages to NATS servers. Needs ``pip install 'cirrus-mta[nats]'``."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, final, overload, type_check_only

_Duration: TypeAlias = int | float | str
_KeySource: TypeAlias = str | Mapping[str, Any]

@type_check_only
class Ack(TypedDict):
    """Where a stream stored a message."""

    stream: str
    sequence: int
    domain: str | None
    duplicate: bool

@final
@type_check_only
class Connection:
    """Publishes to the servers of one set of options.

    >>> connection = mta.nats.connect(servers="nats://127.0.0.1:4222")
    >>> await connection.publish(subject="mail", payload="", headers={"a": "b"}, await_ack=False)
    """

    @overload
    async def publish(
        self,
        *,
        subject: str,
        payload: str | bytes = b"",
        headers: Mapping[str, str] | None = None,
        await_ack: Literal[True] = True,
    ) -> Ack:
        """Publish, and wait until a stream has stored it.

        ConnectionError, TimeoutError: it may not have been; ValueError: it cannot be.
        """
    @overload
    async def publish(
        self,
        *,
        subject: str,
        payload: str | bytes = b"",
        headers: Mapping[str, str] | None = None,
        await_ack: Literal[False],
    ) -> None: ...
    def close(self) -> None:
        """Publish no more."""

def connect(
    *,
    servers: str | Sequence[str],
    name: str = "cirrus",
    auth: Mapping[Literal["username", "password", "token"], _KeySource] = ...,
    no_echo: bool = False,
    connection_timeout: _Duration = 5,
    request_timeout: _Duration = 5,
    ping_interval: _Duration = 60,
    tls_required: bool = False,
    tls_first: bool = False,
    certificate: _KeySource | None = None,
    client_cert: str | None = None,
    client_key: str | None = None,
    inbox_prefix: str = "_INBOX",
    retain_servers_order: bool = False,
    max_reconnects: int = ...,
    sender_capacity: int = ...,
    retry_on_initial_connect: bool = ...,
    ignore_discovered_servers: bool = ...,
) -> Connection:
    """A connection, made when the first message is published; a broken one is replaced.

    >>> connection = mta.nats.connect(servers="nats://127.0.0.1:4222")
    >>> await connection.publish(subject="mail", payload="{}", await_ack=False)
    """
