"""Options of the proxy's listeners as a script writes them, checked one by one.

Place in flow: ``proxy.script_api`` reads with it what ``proxy_init`` declares.

Invariants: an unknown option, a wrong value and options that contradict each other are errors when
they are read, not at a connection.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.model.cidr import CidrSet
from engine.model.duration import parse_duration
from engine.model.keyword_options import (
    Option,
    OptionTable,
    flag,
    key_source,
    list_of,
    read_options,
    text,
    whole,
)
from engine.model.listener_options import parse_listen
from engine.model.option_error import OptionError
from proxy.access import AccessRule, AccessRules, Destination, parse_destination
from proxy.settings import HttpOptions, KeepAlive, SocksOptions

SOCKS_OWNER = "mta.proxy.start_proxy_listener"
HTTP_OWNER = "mta.proxy.start_http_listener"


def _positive(value: Any) -> float:
    seconds = parse_duration(value)
    if not seconds:
        raise OptionError("a duration above zero is expected")
    return seconds


def _whole_seconds(value: Any) -> int:
    # What the kernel takes.
    return max(1, round(_positive(value)))


def _destination(value: Any) -> Destination:
    if not isinstance(value, str):
        raise OptionError(f"a destination is text like '192.0.2.0/24:25', not {value!r}")
    return parse_destination(value)


def _destinations(value: Any) -> tuple[Destination, ...]:
    found: tuple[Destination, ...] = list_of(_destination)(value)
    return found


def _names(value: Any) -> frozenset[str]:
    return frozenset(list_of(text)(value))


def _table(table: OptionTable, owner: str) -> Callable[[Any], dict[str, Any]]:
    def convert(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise OptionError(f"a table is expected, not {value!r}")
        return read_options(owner, value, table)

    return convert


_KEEP_ALIVE_TABLE: OptionTable = {
    "enabled": Option(flag),
    "time": Option(_whole_seconds, "time_s"),
    "interval": Option(_whole_seconds, "interval_s"),
    "retries": Option(whole(1, 127)),
}
_RULE_TABLE: OptionTable = {
    "clients": Option(CidrSet.parse),
    "users": Option(_names),
    "groups": Option(_names),
    "sources": Option(CidrSet.parse),
    "destinations": Option(_destinations),
}
_read_rule = _table(_RULE_TABLE, "rules")
_read_keep_alive = _table(_KEEP_ALIVE_TABLE, "tcp_keepalive")

_LISTENER_TABLE: OptionTable = {
    "listen": Option(parse_listen),
    "hostname": Option(text),
    "use_tls": Option(flag),
    "tls_certificate": Option(key_source),
    "tls_private_key": Option(key_source, is_secret=True),
}
SOCKS_TABLE: OptionTable = {
    **_LISTENER_TABLE,
    "tls_required_client_ca": Option(key_source),
    "timeout": Option(_positive, "timeout_s"),
    "idle_timeout": Option(_positive, "idle_timeout_s"),
    "use_splice": Option(flag),
    "reuse_port": Option(flag),
    "tcp_keepalive": Option(lambda value: KeepAlive(**_read_keep_alive(value)), "keep_alive"),
    "require_auth": Option(flag),
    "users_file": Option(text),
    "resolve_names": Option(flag),
    "proxy_protocol_from": Option(CidrSet.parse),
    "max_connections": Option(whole(1)),
    "max_connections_per_client": Option(whole(1)),
    "allow_clients": Option(CidrSet.parse),
    "allow_sources": Option(CidrSet.parse),
    "allow_destinations": Option(_destinations),
    "rules": Option(list_of(lambda value: AccessRule(**_read_rule(value)))),
}
HTTP_TABLE: OptionTable = {**_LISTENER_TABLE, "trusted_hosts": Option(CidrSet.parse)}


def read_socks_options(given: Mapping[str, Any], folder: Path) -> SocksOptions:
    """Return the options of a SOCKS5 listener.

    Args:
        given: The keyword arguments.
        folder: From where names of files count.

    Raises:
        TypeError: An option is unknown.
        ValueError: A value does not fit, or options contradict each other.
    """
    values = _read(SOCKS_OWNER, given, SOCKS_TABLE, folder)
    access = _take_access(values)
    users_file = values.pop("users_file", None)
    if users_file is not None:
        values["users_file"] = folder / users_file
    return SocksOptions(access=access, **values)


def read_http_options(given: Mapping[str, Any], folder: Path) -> HttpOptions:
    """Return the options of an HTTP listener.

    Args:
        given: The keyword arguments.
        folder: From where names of files count.

    Raises:
        TypeError: An option is unknown.
        ValueError: A value does not fit, or options contradict each other.
    """
    return HttpOptions(**_read(HTTP_OWNER, given, HTTP_TABLE, folder))


def _read(owner: str, given: Mapping[str, Any], table: OptionTable, folder: Path) -> dict[str, Any]:
    values = read_options(owner, given, table)
    values.setdefault("hostname", socket.gethostname())
    for name in ("tls_certificate", "tls_private_key", "tls_required_client_ca"):
        if name not in values:
            continue
        if not values.get("use_tls"):
            raise ValueError(f"{owner}: {name} without use_tls=True")
        if isinstance(values[name], str):
            values[name] = str(folder / values[name])
    if "tls_private_key" in values and "tls_certificate" not in values:
        raise ValueError(f"{owner}: tls_private_key without tls_certificate")
    return values


def _take_access(values: dict[str, Any]) -> AccessRules:
    """Return what the options say about access, and leave the others."""
    rules = values.pop("rules", None)
    single = {
        field: values.pop(name)
        for name, field in (("allow_sources", "sources"), ("allow_destinations", "destinations"))
        if name in values
    }
    if rules is not None and single:
        raise ValueError(
            f"{SOCKS_OWNER}: rules say everything: no allow_sources, no allow_destinations beside"
        )
    access = AccessRules()
    if "allow_clients" in values:
        access = replace(access, clients=values.pop("allow_clients"))
    if rules is not None:
        return replace(access, rules=rules)
    return replace(access, rules=(AccessRule(**single),))
