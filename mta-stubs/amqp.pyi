"""Messages to AMQP brokers such as RabbitMQ. Needs ``pip install 'cirrus-mta[amqp]'``."""

from collections.abc import Mapping
from typing import Any, TypeAlias, TypedDict, type_check_only

_Duration: TypeAlias = int | float | str
_KeySource: TypeAlias = str | Mapping[str, Any]

@type_check_only
class ConnectionOptions(TypedDict, total=False):
    """Where a broker is."""

    host: str
    port: int
    username: str
    password: str
    vhost: str
    connection_name: str
    heartbeat: int
    enable_tls: bool
    root_ca_cert: _KeySource
    client_cert: str
    client_private_key: str
    connect_timeout: _Duration
    publish_timeout: _Duration
    pool_size: int
    recycle_timeout: _Duration
    wait_timeout: _Duration

async def basic_publish(
    *,
    routing_key: str,
    payload: str | bytes,
    exchange: str = "",
    connection: ConnectionOptions | None = None,
    headers: Mapping[str, str] | None = None,
    mandatory: bool = False,
    immediate: bool = False,
    app_id: str = ...,
    cluster_id: str = ...,
    content_encoding: str = ...,
    content_type: str = ...,
    correlation_id: str = ...,
    delivery_mode: int = ...,
    expiration: _Duration = ...,
    message_id: str = ...,
    message_type: str = ...,
    priority: int = ...,
    reply_to: str = ...,
    timestamp: int = ...,
    user_id: str = ...,
) -> None:
    """Publish, and wait until the broker has taken it.

    ConnectionError, TimeoutError: it may not have; RuntimeError: it refused or returned it.

    >>> await mta.amqp.basic_publish(
    ...     routing_key="mail", payload="{}", connection={"host": "127.0.0.1", "port": 5672}
    ... )
    """
