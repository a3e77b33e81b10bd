"""Egress sources, pools and paths: from where mail leaves, and by which rules.

Place in flow: scripts make them (``make_egress_*``); ``engine.ready`` and ``engine.deliver`` read
the attributes.

Invariants:
    * Frozen: an object in use never changes; a new configuration is a new object.
    * What asks for more safety than can be had is an error; what is known and not yet in force is
      named by ``unsupported``, so that nothing is dropped in silence.
    * Durations are attributes in seconds that end in ``_s``; rates and limits are parsed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.model.cidr import CidrSet
from engine.model.duration import parse_duration
from engine.model.egress_options import (
    PATH_NOT_IN_FORCE,
    PATH_OPTIONS,
    IpLookupStrategy,
    ReconnectStrategy,
    RefreshStrategy,
    TlsMode,
    WakeupStrategy,
)
from engine.model.egress_proxy import ProxyRoute, ProxyServer, proxy_route, proxy_server
from engine.model.keyword_options import (
    Option,
    host_name,
    ip_address,
    key_source,
    list_of,
    read_options,
    show_options,
    text,
    whole,
)
from engine.model.option_error import OptionError
from engine.model.throttle_spec import LimitSpec, ThrottleSpec, parse_throttle

__all__ = [
    "EgressPath",
    "EgressPool",
    "EgressSource",
    "IpLookupStrategy",
    "PoolEntry",
    "ReconnectStrategy",
    "RefreshStrategy",
    "SuspendRule",
    "TlsMode",
    "WakeupStrategy",
    "make_egress_path",
    "make_egress_pool",
    "make_egress_source",
    "to_json",
]

#: The pool and the source that exist without being configured: any local address.
UNSPECIFIED = "unspecified"
_LOOPBACK_AND_NONE = CidrSet(("127.0.0.0/8", "::1", "0.0.0.0/32", "::"))
_DEFAULT_CONNECTION_LIMIT = LimitSpec(32)
#: A host whose TLS broke is spoken to in clear for so long if nothing else is said.
_IMPLIED_BROKEN_TLS_S = 900.0


@dataclass(frozen=True, slots=True)
class SuspendRule:
    """When a source that fails locally is taken out, and for how long.

    Attributes:
        threshold: Failures that it takes; None for the first.
        duration_s: How long the source stays out.
    """

    threshold: ThrottleSpec | None
    duration_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as operators write it."""
        trigger = "Immediate" if self.threshold is None else {"Threshold": str(self.threshold)}
        return {"trigger": trigger, "duration": self.duration_s}


def _suspend_rule(value: Any) -> SuspendRule:
    if not isinstance(value, Mapping) or set(value) != {"trigger", "duration"}:
        raise ValueError(f"{{trigger, duration}} is expected, not {value!r}")
    trigger, duration_s = value["trigger"], parse_duration(value["duration"])
    if trigger == "Immediate":
        return SuspendRule(None, duration_s)
    if isinstance(trigger, Mapping) and set(trigger) == {"Threshold"}:
        return SuspendRule(parse_throttle(trigger["Threshold"]), duration_s)
    raise ValueError(f"trigger: 'Immediate' or {{'Threshold': rate}} is expected, not {trigger!r}")


SOURCE_OPTIONS: dict[str, Option] = {
    "name": Option(text),
    "ehlo_domain": Option(host_name),
    "source_address": Option(ip_address),
    "remote_port": Option(whole(1, 65535)),
    "ha_proxy_server": Option(proxy_server),
    "ha_proxy_source_address": Option(ip_address),
    "socks5_proxy_server": Option(proxy_server),
    "socks5_proxy_source_address": Option(ip_address),
    "socks5_proxy_username": Option(text),
    "socks5_proxy_password": Option(key_source, is_secret=True),
    "suspend_when_unplumbed": Option(_suspend_rule),
    "suspend_when_proxy_unhealthy": Option(_suspend_rule),
    "ttl": Option(parse_duration, "ttl_s"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressSource:
    """A named origin of mail.

    Attributes:
        name: Its name in queues, records and rules.
        ehlo_domain: What it calls itself, unless the path says otherwise.
        source_address: Local address to bind; None lets the system pick.
        remote_port: Port to connect to, before all others.
        ha_proxy_server, ha_proxy_source_address: A proxy that is told by a PROXY header from which
            of its addresses to connect.
        socks5_proxy_server, socks5_proxy_source_address: A SOCKS5 proxy, and which of its addresses
            it is to connect from.
        socks5_proxy_username, socks5_proxy_password: Who we are to it.
        suspend_when_unplumbed: What to do when its address is not on this machine.
        suspend_when_proxy_unhealthy: What to do when its proxy fails.
        ttl_s: How long the answer of the script is kept.
    """

    name: str
    ehlo_domain: str | None = None
    source_address: str | None = None
    remote_port: int | None = None
    ha_proxy_server: ProxyServer | None = None
    ha_proxy_source_address: str | None = None
    socks5_proxy_server: ProxyServer | None = None
    socks5_proxy_source_address: str | None = None
    socks5_proxy_username: str | None = None
    socks5_proxy_password: Any = None
    suspend_when_unplumbed: SuspendRule | None = None
    suspend_when_proxy_unhealthy: SuspendRule | None = None
    ttl_s: float = 60.0

    @staticmethod
    def unsupported(kw: Mapping[str, Any]) -> list[str]:
        """Return what was asked for that is known and not yet in force."""
        return _not_in_force(kw, ())

    @property
    def proxy(self) -> ProxyRoute | None:
        """Return the proxy that mail leaves by; None for this machine itself."""
        if self.ha_proxy_server is None and self.socks5_proxy_server is None:
            return None
        return proxy_route(
            {name: getattr(self, name) for name in SOURCE_OPTIONS if name.find("_proxy_") > 0}
        )

    @property
    def outer_address(self) -> str | None:
        """Return the address that destinations see; None where it is not chosen."""
        proxy = self.proxy
        return self.source_address if proxy is None else proxy.source_address


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """A source in a pool, with the share of mail it gets."""

    name: str
    weight: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as operators write it."""
        return {"name": self.name, "weight": self.weight}


def _pool_entry(value: Any) -> PoolEntry:
    if isinstance(value, PoolEntry):
        return value
    if not isinstance(value, Mapping):
        raise OptionError(f"an entry is {{name, weight}}, not {value!r}")
    values = read_options("entry", value, {"name": Option(text), "weight": Option(whole(0, 10**6))})
    if "name" not in values:
        raise ValueError("an entry needs a name")
    return PoolEntry(**values)


POOL_OPTIONS: dict[str, Option] = {
    "name": Option(text),
    "entries": Option(list_of(_pool_entry)),
    "ttl": Option(parse_duration, "ttl_s"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPool:
    """A weighted set of egress sources; an entry of weight 0 gets no mail."""

    name: str
    entries: tuple[PoolEntry, ...] = ()
    ttl_s: float = 60.0

    @staticmethod
    def unsupported(kw: Mapping[str, Any]) -> list[str]:
        """Return what was asked for that is known and not yet in force: nothing."""
        return _not_in_force(kw, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPath:
    """The settings for a routing domain, source and site; each attribute is the option's name."""

    connection_limit: LimitSpec = _DEFAULT_CONNECTION_LIMIT
    additional_connection_limits: Mapping[str, LimitSpec] = field(default_factory=dict)
    max_ready: int = 1024
    max_connection_rate: ThrottleSpec | None = None
    max_message_rate: ThrottleSpec | None = None
    additional_message_rate_throttles: Mapping[str, ThrottleSpec] = field(default_factory=dict)
    source_selection_rate: ThrottleSpec | None = None
    additional_source_selection_rates: Mapping[str, ThrottleSpec] = field(default_factory=dict)
    max_deliveries_per_connection: int = 1024
    max_recipients_per_batch: int = 100
    consecutive_connection_failures_before_delay: int = 100
    smtp_port: int = 25
    ehlo_domain: str | None = None
    enable_tls: TlsMode = TlsMode.OPPORTUNISTIC
    enable_mta_sts: bool = False
    enable_dane: bool = False
    tls_prefer_openssl: bool = False
    tls_certificate: Any = None
    tls_private_key: Any = None
    openssl_cipher_list: str | None = None
    openssl_cipher_suites: str | None = None
    openssl_options: str | None = None
    rustls_cipher_suites: tuple[str, ...] | None = None
    opportunistic_tls_reconnect_on_failed_handshake: bool = False
    remember_broken_tls_s: float | None = None
    smtp_auth_plain_username: str | None = None
    smtp_auth_plain_password: Any = None
    allow_smtp_auth_plain_without_tls: bool = False
    allow_smtp_auth_plain_without_valid_certificate: bool = False
    enable_pipelining: bool = True
    enable_rset: bool = True
    use_lmtp: bool = False
    ignore_8bit_checks: bool = False
    reconnect_strategy: ReconnectStrategy = ReconnectStrategy.CONNECT_NEXT_HOST
    try_next_host_on_transport_error: bool = False
    prohibited_hosts: CidrSet = _LOOPBACK_AND_NONE
    skip_hosts: CidrSet = field(default_factory=CidrSet)
    ip_lookup_strategy: IpLookupStrategy = IpLookupStrategy.IPV4_AND_IPV6
    connect_timeout_s: float = 60.0
    banner_timeout_s: float = 60.0
    ehlo_timeout_s: float = 300.0
    mail_from_timeout_s: float = 300.0
    rcpt_to_timeout_s: float = 300.0
    data_timeout_s: float = 300.0
    data_dot_timeout_s: float = 300.0
    rset_timeout_s: float = 5.0
    idle_timeout_s: float = 5.0
    starttls_timeout_s: float = 5.0
    auth_timeout_s: float = 60.0
    system_shutdown_timeout_s: float | None = None
    dispatcher_progress_watchdog_timeout_s: float | None = None
    aggressive_connection_opening: bool = False
    refresh_interval_s: float = 60.0
    refresh_strategy: RefreshStrategy = RefreshStrategy.TTL
    dispatcher_wakeup_strategy: WakeupStrategy | None = None
    maintainer_wakeup_strategy: WakeupStrategy | None = None
    low_memory_reduction_policy: Any = None
    no_memory_reduction_policy: Any = None
    provider_name: str | None = None
    readyq_pool_name: str | None = None

    @staticmethod
    def unsupported(kw: Mapping[str, Any]) -> list[str]:
        """Return what was asked for that is known and not yet in force."""
        asked = _not_in_force(kw, PATH_NOT_IN_FORCE)
        if kw.get("enable_mta_sts") is True:
            asked.append("enable_mta_sts is not yet in force: no MTA-STS policy is looked up")
        return asked

    @property
    def lease_s(self) -> float:
        """Return how long a connection slot is leased: the sum of what a session may wait for."""
        return (
            self.connect_timeout_s
            + self.banner_timeout_s
            + self.ehlo_timeout_s
            + self.auth_timeout_s
            + self.starttls_timeout_s
            + self.idle_timeout_s
            + self.transaction_s
        )

    @property
    def transaction_s(self) -> float:
        """Return the longest that one transaction may wait for its replies."""
        return (
            self.mail_from_timeout_s
            + self.rcpt_to_timeout_s
            + self.data_timeout_s
            + self.data_dot_timeout_s
        )

    @property
    def shutdown_s(self) -> float:
        """Return the grace that deliveries under way get at shutdown."""
        given = self.system_shutdown_timeout_s
        return self.transaction_s if given is None else given

    @property
    def watchdog_s(self) -> float:
        """Return after how long without progress a session is stuck."""
        if self.dispatcher_progress_watchdog_timeout_s is not None:
            return self.dispatcher_progress_watchdog_timeout_s
        longest_s = max(
            self.connect_timeout_s,
            self.banner_timeout_s,
            self.ehlo_timeout_s,
            self.mail_from_timeout_s,
            self.rcpt_to_timeout_s,
            self.data_timeout_s,
            self.data_dot_timeout_s,
            self.rset_timeout_s,
            self.idle_timeout_s,
            self.starttls_timeout_s,
            self.auth_timeout_s,
        )
        return max(2 * longest_s, 60.0)

    @property
    def broken_tls_s(self) -> float | None:
        """Return how long a host whose TLS broke is taken as one without; None for not at all."""
        if (
            self.remember_broken_tls_s is None
            and self.opportunistic_tls_reconnect_on_failed_handshake
        ):
            return _IMPLIED_BROKEN_TLS_S
        return self.remember_broken_tls_s


def _not_in_force(kw: Mapping[str, Any], names: tuple[str, ...]) -> list[str]:
    return [
        f"{name} is known but not yet in force"
        for name in names
        if kw.get(name) is not None and kw[name] is not False
    ]


def make_egress_source(**kw: Any) -> EgressSource:
    """Return an egress source.

    Raises:
        TypeError: An option is unknown, or ``name`` is missing.
        ValueError: A value does not fit, or of the options of a proxy one is missing.
    """
    values = _named("make_egress_source", kw, SOURCE_OPTIONS)
    try:
        proxy_route(values)
    except ValueError as error:
        raise ValueError(f"make_egress_source: {error}") from error
    return EgressSource(**values)


def make_egress_pool(**kw: Any) -> EgressPool:
    """Return an egress pool.

    Raises:
        TypeError: An option is unknown, or ``name`` is missing.
        ValueError: A value does not fit, or a source is listed twice.
    """
    values = _named("make_egress_pool", kw, POOL_OPTIONS)
    names = [entry.name for entry in values.get("entries", ())]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"make_egress_pool: entries: {twice!r} is listed twice")
    return EgressPool(**values)


def make_egress_path(**kw: Any) -> EgressPath:
    """Return an egress path.

    Raises:
        TypeError: An option is unknown.
        ValueError: A value does not fit, or asks for safety that cannot be had.
    """
    values = read_options("make_egress_path", kw, PATH_OPTIONS)
    if values.get("enable_dane"):
        raise ValueError("make_egress_path: enable_dane: DANE is not yet available")
    return EgressPath(**values)


def _named(owner: str, kw: Mapping[str, Any], table: Mapping[str, Option]) -> dict[str, Any]:
    values = read_options(owner, kw, table)
    if "name" not in values:
        raise TypeError(f"{owner}: name is missing")
    return values


_TABLES: dict[type, Mapping[str, Option]] = {
    EgressSource: SOURCE_OPTIONS,
    EgressPool: POOL_OPTIONS,
    EgressPath: PATH_OPTIONS,
}


def to_json(value: EgressSource | EgressPool | EgressPath) -> dict[str, Any]:
    """Return the options that an object holds, for operators; secrets are hidden."""
    return show_options(value, _TABLES[type(value)])
