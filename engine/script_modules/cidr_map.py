"""``mta.cidr``: values by network.

Place in flow: exposed by ``all_modules``; the look-up is that of ``engine.model.cidr``.

Invariants:
    * The longest prefix wins; an IPv4 address mapped into IPv6 is the IPv4 address.
    * The table is built at the first look-up after a change, within the caller's budget.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from engine.model.cidr import CidrMap
from engine.script_modules.plain_value import copy_plain, thaw
from engine.script_modules.script_call import caller_budget
from policy.budget import Budget
from policy.errors import LimitExceededError
from policy.script_api import ScriptNamespace

NETWORKS_MAX = 100_000
NS_PER_NETWORK = 6_000
_NONE = object()


class NetworkMap:
    """Values by network."""

    __slots__ = ("_is_kept", "_table", "_values")

    def __init__(self, seed: Mapping[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = {}
        self._table: CidrMap[Any] | None = None
        self._is_kept = False
        budget = caller_budget()
        if not isinstance(seed, Mapping | None):
            raise TypeError("wants a dict from networks to values")
        for key, value in (seed or {}).items():
            budget.tick()
            self._set(key, value)

    def _set(self, key: Any, value: Any) -> None:
        if self._is_kept:
            raise TypeError("this map is kept by memoize and cannot be changed")
        if len(self._values) >= NETWORKS_MAX:
            raise LimitExceededError(f"a map holds at most {NETWORKS_MAX} networks")
        self._values[_network(key)] = value
        self._table = None

    def __setitem__(self, key: str, value: Any) -> None:
        caller_budget().tick()
        self._set(key, value)

    def _find(self, address: Any, default: Any) -> Any:
        if not isinstance(address, str):
            raise TypeError(f"an address is text, not {type(address).__name__[:100]}")
        if self._table is None:
            caller_budget().afford(len(self._values) * NS_PER_NETWORK)
            self._table = CidrMap(self._values)
        # No address is longer; the cache of answers would keep what is asked for.
        found: Any = self._table.lookup(address, _NONE) if len(address) <= 64 else _NONE
        if found is _NONE:
            return default
        return thaw(found, caller_budget()) if self._is_kept else found

    def __getitem__(self, address: str) -> Any:
        found = self._find(address, _NONE)
        if found is _NONE:
            raise KeyError(address[:100])
        return found

    def get(self, address: str, default: Any = None) -> Any:
        """Return the value for ``ip``, ``ip:port``, ``[ip]`` or ``[ip]:port``, or the default."""
        return self._find(address, default)

    def __contains__(self, address: Any) -> bool:
        return self._find(address, _NONE) is not _NONE

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"<network map of {len(self._values)}>"

    def _kept(self, budget: Budget) -> tuple[NetworkMap, int]:
        """Return a copy that never changes, for ``plain_value``."""
        if self._is_kept:
            return self, sum(kept.size_bytes for kept in self._values.values())
        made = NetworkMap()
        made._values = {key: copy_plain(value, budget) for key, value in self._values.items()}
        made._is_kept = True
        return made, sum(kept.size_bytes + 200 for kept in made._values.values())


def _network(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a network is text like '10.0.0.0/8', not {type(key).__name__[:100]}")
    try:
        return str(ipaddress.ip_network(key[:100].strip()))
    except ValueError as error:
        raise ValueError(f"not a network: {key[:100]!r} ({error})") from error


def make_map(seed: Mapping[str, Any] | None = None) -> NetworkMap:
    """Return a map from networks to values."""
    return NetworkMap(seed)


def expose_cidr(namespace: ScriptNamespace) -> None:
    """Make ``mta.cidr`` importable by scripts."""
    namespace.expose("make_map", make_map, module="mta.cidr")
