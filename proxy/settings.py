"""Frozen settings of the daemon, from the command line or from its script.

Place in flow: made by ``proxy.__main__`` or ``proxy.script_api``; read by ``proxy.app`` and by each
listener.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.base.http_service import LOOPBACK
from engine.model.cidr import CidrSet
from proxy.access import AccessRules

#: Where the proxy listens when a script does not say.
LISTEN = ("127.0.0.1", 1080)
HTTP_LISTEN = ("127.0.0.1", 8009)
LOOPBACK_ONLY = CidrSet.parse(LOOPBACK)
NOBODY = CidrSet()
DEFAULT_ACCESS = AccessRules()


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """When a silent connection is probed, in seconds.

    Attributes:
        time_s: Silence before the first probe.
        interval_s: Between probes.
        retries: Probes without an answer that end the connection.
    """

    enabled: bool = True
    time_s: int = 300
    interval_s: int = 30
    retries: int = 3


@dataclass(frozen=True, slots=True)
class SocksOptions:
    """One SOCKS5 listener. Durations in seconds.

    Attributes:
        hostname: Shown in a certificate that is made here.
        timeout_s: What each step of a dialogue and each connection may take.
        idle_timeout_s: How long nothing may pass in either direction. Longer than any wait of SMTP.
        access: Who may do what.
        use_splice: Whether octets may pass without coming into this process.
        reuse_port: Whether other processes may listen there too, and share the clients.
        resolve_names: Whether destinations may be host names.
        users_file: Names and hashed passwords; without it the script is asked.
        require_auth: Whether everybody shows a password; None: if one can be judged.
        proxy_protocol_from: Balancers, whose connections begin with a header that names the client.
        max_connections: Clients at a time.
        max_connections_per_client: Those of one address; None for no limit of its own.
        tls_certificate, tls_private_key: Key sources; a certificate is made without.
        tls_required_client_ca: Clients have to show a certificate by one of these authorities.
    """

    listen: tuple[str, int] = LISTEN
    hostname: str = "localhost"
    timeout_s: float = 60.0
    idle_timeout_s: float = 900.0
    access: AccessRules = DEFAULT_ACCESS
    use_splice: bool = True
    reuse_port: bool = False
    resolve_names: bool = False
    users_file: Path | None = None
    require_auth: bool | None = None
    proxy_protocol_from: CidrSet = NOBODY
    max_connections: int = 32768
    max_connections_per_client: int | None = None
    keep_alive: KeepAlive = KeepAlive()
    use_tls: bool = False
    tls_certificate: Any = field(default=None, repr=False)
    tls_private_key: Any = field(default=None, repr=False)
    tls_required_client_ca: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """One HTTP listener, for operators and for Prometheus.

    Attributes:
        hostname: Shown in the certificate.
        trusted_hosts: Networks that may see everything.
        tls_certificate, tls_private_key: Key sources; a certificate is made without.
    """

    listen: tuple[str, int] = HTTP_LISTEN
    hostname: str = "localhost"
    trusted_hosts: CidrSet = LOOPBACK_ONLY
    use_tls: bool = False
    tls_certificate: Any = field(default=None, repr=False)
    tls_private_key: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ZoneAnswers:
    """Names answered from given zones only.

    Attributes:
        zones: Texts of zone files.
        servfail: Names whose look-up fails.
    """

    zones: tuple[str, ...]
    servfail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How the daemon runs.

    Attributes:
        listeners: Where clients connect to.
        http: Where operators look.
        name_servers: Asked instead of those of the system, where names are resolved.
    """

    listeners: tuple[SocksOptions, ...] = ()
    http: tuple[HttpOptions, ...] = ()
    name_servers: tuple[str, ...] | None = None
    test_resolver: ZoneAnswers | None = None
