"""What the script of the egress proxy declares, in ``proxy_init`` only."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

_Duration: TypeAlias = int | float | str
_KeySource: TypeAlias = str | bytes | Mapping[str, str | bytes]

def start_proxy_listener(
    *,
    listen: str = "127.0.0.1:1080",
    hostname: str | None = None,
    allow_clients: Iterable[str] = ...,
    allow_sources: Iterable[str] | None = None,
    allow_destinations: Iterable[str] = ...,
    rules: Iterable[Mapping[str, Any]] | None = None,
    users_file: str | None = None,
    require_auth: bool | None = None,
    resolve_names: bool = False,
    proxy_protocol_from: Iterable[str] = ...,
    max_connections: int = 32768,
    max_connections_per_client: int | None = None,
    timeout: _Duration = 60,
    idle_timeout: _Duration = "15m",
    use_splice: bool = True,
    reuse_port: bool = False,
    tcp_keepalive: Mapping[str, Any] = ...,
    use_tls: bool = False,
    tls_certificate: _KeySource | None = None,
    tls_private_key: _KeySource | None = None,
    tls_required_client_ca: _KeySource | None = None,
) -> None:
    """Declare a SOCKS5 listener; what is not allowed here is refused.

    ``allow_clients`` are loopback without; ``allow_destinations`` are "network:ports", without it
    the ports of mail everywhere but on this host and link. ``rules`` say instead, by ``clients``,
    ``users`` and ``groups``, which ``sources`` and ``destinations`` belong together.

    >>> mta.proxy.start_proxy_listener(
    ...     listen="0.0.0.0:1080", allow_clients=["192.0.2.0/24"], allow_sources=["198.51.100.7"]
    ... )
    """

def start_http_listener(
    *,
    listen: str = "127.0.0.1:8009",
    hostname: str | None = None,
    trusted_hosts: Iterable[str] = ...,
    use_tls: bool = False,
    tls_certificate: _KeySource | None = None,
    tls_private_key: _KeySource | None = None,
) -> None:
    """Declare a listener for metrics, status and sessions; ``trusted_hosts`` may see them.

    >>> mta.proxy.start_http_listener(listen="0.0.0.0:8009", trusted_hosts=["192.0.2.0/24"])
    """
