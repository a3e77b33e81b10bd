"""How a node asks for names, as a policy says it in ``init``.

Place in flow: ``engine.script_api`` reads the options of ``mta.dns.configure_resolver`` and the
setters beside it; ``engine.route.dns_resolver`` obeys.

Invariants:
    * Frozen and comparable: a reload that changes nothing keeps the resolver and its cache.
    * An option that asks for more safety than there is (``validate``) is an error; another that is
      known and not in force is named, so that it can be a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from engine.model.duration import parse_duration
from engine.model.keyword_options import (
    Option,
    choice,
    flag,
    list_of,
    read_options,
    text,
    whole,
)
from engine.model.option_error import OptionError

CACHE_SIZE_MAX = 1_000_000
CONCURRENCY_MAX = 65_536


class ServerOrdering(Enum):
    """Which of several name servers is asked first."""

    QUERY_STATISTICS = "QueryStatistics"
    ROUND_ROBIN = "RoundRobin"
    USER_PROVIDED_ORDER = "UserProvidedOrder"


@dataclass(frozen=True, slots=True)
class ResolverOptions:
    """Limits and habits of a resolver; times in seconds.

    Attributes:
        timeout_s: The longest that a look-up may take, over all servers.
        try_s: The longest that one server may take before the next is asked.
        concurrency: How many look-ups may be under way.
        negative_ttl_s: How long absence is remembered.
    """

    timeout_s: float = 5.0
    try_s: float = 2.0
    concurrency: int = 128
    negative_ttl_s: float = 300.0
    cache_size: int = 65_536
    positive_min_s: float = 0.0
    positive_max_s: float = 86_400.0
    negative_min_s: float = 0.0
    negative_max_s: float = 86_400.0
    edns0: bool = True
    recursion_desired: bool = True
    ordering: ServerOrdering = ServerOrdering.USER_PROVIDED_ORDER


def _positive(value: Any) -> float:
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError(f"a duration above zero is expected, not {value!r}")
    return seconds


def _no_validation(value: Any) -> bool:
    if flag(value):
        raise OptionError("answers cannot be validated (DNSSEC) by this node")
    return False


#: The options in force, by the name scripts write.
OPTIONS: Mapping[str, Option] = {
    "timeout": Option(_positive, "try_s"),
    "cache_size": Option(whole(1, CACHE_SIZE_MAX)),
    "positive_min_ttl": Option(parse_duration, "positive_min_s"),
    "positive_max_ttl": Option(parse_duration, "positive_max_s"),
    "negative_min_ttl": Option(parse_duration, "negative_min_s"),
    "negative_max_ttl": Option(parse_duration, "negative_max_s"),
    "edns0": Option(flag),
    "recursion_desired": Option(flag),
    "server_ordering_strategy": Option(choice(ServerOrdering), "ordering"),
}
#: Known, checked for their type, and without effect.
NOT_IN_FORCE: Mapping[str, Option] = {
    "attempts": Option(whole(1, 100)),
    "case_randomization": Option(flag),
    "ip_strategy": Option(text),
    "ndots": Option(whole(0, 100)),
    "num_concurrent_reqs": Option(whole(1, 100)),
    "preserve_intermediates": Option(flag),
    "trust_anchor_file": Option(lambda value: value),
    "try_tcp_on_error": Option(flag),
    "use_hosts_file": Option(text),
}
_TABLE = {**OPTIONS, **NOT_IN_FORCE, "validate": Option(_no_validation)}
_SERVER_TABLE: Mapping[str, Option] = {
    "socket_addr": Option(text),
    "protocol": Option(text),
    "trust_negative_responses": Option(flag),
    "bind_addr": Option(text),
}


def read_resolver_options(
    options: ResolverOptions, given: Any
) -> tuple[ResolverOptions, tuple[str, ...]]:
    """Return options changed as a script wrote them, and what is not in force.

    Raises:
        TypeError: An option is unknown.
        ValueError: A value does not fit.
    """
    if not isinstance(given, Mapping):
        raise OptionError(f"options: a table from names to values is expected, not {given!r}")
    owner = "mta.dns.configure_resolver: options"
    values = read_options(owner, given, _TABLE)
    fields = {name: value for name, value in values.items() if name in ResolverOptions.__slots__}
    idle = tuple(
        f"options: {name} is known but not yet in force"
        for name, value in given.items()
        if name in NOT_IN_FORCE and value is not None
    )
    return replace(options, **fields), idle


def read_name_servers(given: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the addresses of name servers, and what is not in force.

    Args:
        given: A list of ``"ip"``, ``"ip:port"``, or tables with ``socket_addr``.

    Raises:
        TypeError: An option is unknown.
        ValueError: An entry is none of these.
    """
    idle: list[str] = []

    def one(value: Any) -> str:
        if not isinstance(value, Mapping):
            return text(value)
        values = read_options("name_servers", value, _SERVER_TABLE)
        if "socket_addr" not in values:
            raise ValueError("a table names its server in socket_addr")
        if values.get("protocol", "udp_then_tcp") != "udp_then_tcp":
            idle.append(f"name_servers: protocol {values['protocol']!r} is not yet in force")
        if "bind_addr" in values or values.get("trust_negative_responses") is False:
            idle.append("name_servers: bind_addr, trust_negative_responses are not yet in force")
        return str(values["socket_addr"])

    servers: tuple[str, ...] = list_of(one)(given)
    if not servers:
        raise ValueError("a list of addresses is expected")
    return servers, tuple(idle)
