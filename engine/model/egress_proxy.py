"""The proxy of an egress source: by which server, from which of its addresses, as whom.

Place in flow: ``make_egress_source`` reads the options; ``engine.deliver.connector`` follows them.

Invariants:
    * A source that names a proxy never connects without it.
    * PROXY protocol goes before SOCKS5 where both are given, as operators of the field know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from engine.model.keyword_options import host_name


class ProxyServer(NamedTuple):
    """Where a proxy listens: a name or an address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ProxyRoute:
    """The way out through a proxy.

    Attributes:
        protocol: How the proxy is spoken to.
        server: The proxy.
        source_address: The address that mail leaves from; None lets the proxy pick.
        username: Who we are to the proxy; None where it does not ask.
        password: A key source.
    """

    protocol: Literal["socks5", "haproxy"]
    server: ProxyServer
    source_address: str | None = None
    username: str | None = None
    password: Any = None


def proxy_server(value: Any) -> ProxyServer:
    """Return the server that ``host:port`` names; an IPv6 address stands in brackets."""
    if isinstance(value, ProxyServer):
        return value
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise ValueError(f"host:port is expected, not {value!r:.80}")
    if ":" in host and not is_bracketed:
        raise ValueError(f"an IPv6 address stands in brackets: [{host}]:{port}")
    name = host[1:-1] if is_bracketed else host
    if not name:
        raise ValueError(f"host:port is expected, not {value!r:.80}")
    return ProxyServer(name if is_bracketed else host_name(name), int(port))


def proxy_route(values: Mapping[str, Any]) -> ProxyRoute | None:
    """Return the proxy that the options of a source ask for, None if they ask for none.

    Args:
        values: The options as they were read.

    Raises:
        ValueError: One of them needs another that is missing.
    """
    given = {name for name, value in values.items() if value is not None}
    for one, other in (
        ("ha_proxy_server", "ha_proxy_source_address"),
        ("ha_proxy_source_address", "ha_proxy_server"),
        ("socks5_proxy_source_address", "socks5_proxy_server"),
        ("socks5_proxy_username", "socks5_proxy_server"),
        ("socks5_proxy_username", "socks5_proxy_password"),
        ("socks5_proxy_password", "socks5_proxy_username"),
    ):
        if one in given and other not in given:
            raise ValueError(f"{one}: {other} has to be given too")
    if "ha_proxy_server" in given:
        return ProxyRoute("haproxy", values["ha_proxy_server"], values["ha_proxy_source_address"])
    if "socks5_proxy_server" in given:
        return ProxyRoute(
            "socks5",
            values["socks5_proxy_server"],
            values.get("socks5_proxy_source_address"),
            values.get("socks5_proxy_username"),
            values.get("socks5_proxy_password"),
        )
    return None
