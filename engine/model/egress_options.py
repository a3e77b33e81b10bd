"""The table of egress path options: how each is read, and which are not yet in force.

Place in flow: ``engine.model.egress`` reads keywords by this table and shows objects by it.
"""

from __future__ import annotations

from enum import Enum

from engine.model.cidr import CidrSet
from engine.model.duration import parse_duration
from engine.model.keyword_options import (
    Option,
    choice,
    flag,
    host_name,
    key_source,
    list_of,
    table_of,
    text,
    whole,
)
from engine.model.throttle_spec import parse_limit, parse_throttle


class TlsMode(Enum):
    """What is asked of TLS towards a host."""

    OPPORTUNISTIC = "Opportunistic"
    OPPORTUNISTIC_INSECURE = "OpportunisticInsecure"
    REQUIRED = "Required"
    REQUIRED_INSECURE = "RequiredInsecure"
    DISABLED = "Disabled"


class IpLookupStrategy(Enum):
    """Which address families of a host are looked up, and in which order."""

    IPV4_AND_IPV6 = "Ipv4AndIpv6"
    IPV4_ONLY = "Ipv4Only"
    IPV6_ONLY = "Ipv6Only"
    IPV6_THEN_IPV4 = "Ipv6ThenIpv4"
    IPV4_THEN_IPV6 = "Ipv4ThenIpv6"


class ReconnectStrategy(Enum):
    """What follows when the peer breaks the connection in the middle of a delivery."""

    CONNECT_NEXT_HOST = "ConnectNextHost"
    RECONNECT_SAME_HOST = "ReconnectSameHost"
    TERMINATE_SESSION = "TerminateSession"


class RefreshStrategy(Enum):
    """When a cached configuration is asked for again."""

    TTL = "Ttl"
    EPOCH = "Epoch"


class WakeupStrategy(Enum):
    """How many idle sessions an arriving message wakes."""

    AGGRESSIVE = "Aggressive"
    RELAXED = "Relaxed"


class MemoryReductionPolicy(Enum):
    """What of a message leaves memory when memory is short."""

    SHRINK_DATA_AND_META = "ShrinkDataAndMeta"
    SHRINK_DATA = "ShrinkData"
    NO_SHRINK = "NoShrink"


def _duration(name: str) -> tuple[str, Option]:
    return name, Option(parse_duration, f"{name}_s")


_COUNT = Option(whole(1))
_FLAG = Option(flag)
_RATE = Option(parse_throttle)
_RATES = Option(table_of(parse_throttle))
_CIDR = Option(CidrSet.parse)
_TEXT = Option(text)
_MEMORY = Option(choice(MemoryReductionPolicy))
_WAKEUP = Option(choice(WakeupStrategy))

PATH_OPTIONS: dict[str, Option] = {
    "connection_limit": Option(parse_limit),
    "additional_connection_limits": Option(table_of(parse_limit)),
    "max_ready": _COUNT,
    "max_connection_rate": _RATE,
    "max_message_rate": _RATE,
    "additional_message_rate_throttles": _RATES,
    "source_selection_rate": _RATE,
    "additional_source_selection_rates": _RATES,
    "max_deliveries_per_connection": _COUNT,
    "max_recipients_per_batch": _COUNT,
    "consecutive_connection_failures_before_delay": Option(whole(0)),
    "smtp_port": Option(whole(1, 65535)),
    "ehlo_domain": Option(host_name),
    "enable_tls": Option(choice(TlsMode)),
    "enable_mta_sts": _FLAG,
    "enable_dane": _FLAG,
    "tls_prefer_openssl": _FLAG,
    "tls_certificate": Option(key_source, is_secret=True),
    "tls_private_key": Option(key_source, is_secret=True),
    "openssl_cipher_list": _TEXT,
    "openssl_cipher_suites": _TEXT,
    "openssl_options": _TEXT,
    "rustls_cipher_suites": Option(list_of(text)),
    "opportunistic_tls_reconnect_on_failed_handshake": _FLAG,
    "smtp_auth_plain_username": _TEXT,
    "smtp_auth_plain_password": Option(key_source, is_secret=True),
    "allow_smtp_auth_plain_without_tls": _FLAG,
    "allow_smtp_auth_plain_without_valid_certificate": _FLAG,
    "enable_pipelining": _FLAG,
    "enable_rset": _FLAG,
    "use_lmtp": _FLAG,
    "ignore_8bit_checks": _FLAG,
    "reconnect_strategy": Option(choice(ReconnectStrategy)),
    "try_next_host_on_transport_error": _FLAG,
    "prohibited_hosts": _CIDR,
    "skip_hosts": _CIDR,
    "ip_lookup_strategy": Option(choice(IpLookupStrategy)),
    **dict(
        _duration(name)
        for name in (
            "remember_broken_tls",
            "connect_timeout",
            "banner_timeout",
            "ehlo_timeout",
            "mail_from_timeout",
            "rcpt_to_timeout",
            "data_timeout",
            "data_dot_timeout",
            "rset_timeout",
            "idle_timeout",
            "starttls_timeout",
            "auth_timeout",
            "system_shutdown_timeout",
            "dispatcher_progress_watchdog_timeout",
            "refresh_interval",
        )
    ),
    "aggressive_connection_opening": _FLAG,
    "refresh_strategy": Option(choice(RefreshStrategy)),
    "dispatcher_wakeup_strategy": _WAKEUP,
    "maintainer_wakeup_strategy": _WAKEUP,
    "low_memory_reduction_policy": _MEMORY,
    "no_memory_reduction_policy": _MEMORY,
    "provider_name": _TEXT,
    "readyq_pool_name": _TEXT,
}

#: Known, read and checked, but without effect so far; giving one is reported.
PATH_NOT_IN_FORCE = (
    "tls_prefer_openssl",
    "openssl_cipher_list",
    "openssl_cipher_suites",
    "openssl_options",
    "rustls_cipher_suites",
    "aggressive_connection_opening",
    "dispatcher_wakeup_strategy",
    "maintainer_wakeup_strategy",
    "low_memory_reduction_policy",
    "no_memory_reduction_policy",
    "readyq_pool_name",
)
