"""Sets and maps of networks: whom a listener trusts, where mail may not go.

Place in flow: built when options are parsed; asked per connection and per address of a plan.

Invariants:
    * An IPv4 address mapped into IPv6 is treated as the IPv4 address, so that no rule is bypassed
      by its other spelling.
    * The cache of answers is bounded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from engine.model.option_error import OptionError

V = TypeVar("V")
#: Past this the cache starts again: remembering every address of the net is not the aim.
_MAX_CACHED = 8192

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Tables = tuple[tuple[int, dict[int, V]], ...]


def _parse_network(text: object) -> _Network:
    if not isinstance(text, str):
        raise OptionError(f"a network is text like '10.0.0.0/8', not {text!r}")
    try:
        network = ipaddress.ip_network(text.strip(), strict=True)
    except ValueError as error:
        raise ValueError(f"not a network: {text!r} ({error})") from error
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def _parse_host(text: str) -> tuple[int, int] | None:
    """Return (bits, number) of an address, or None if the text is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return 128, int(address)
        address = address.ipv4_mapped
    return 32, int(address)


class _PrefixTable(Generic[V]):
    """Values by network; the longest prefix first."""

    __slots__ = ("_by_bits",)

    def __init__(self, items: Iterable[tuple[_Network, V]]) -> None:
        tables: dict[int, dict[int, dict[int, V]]] = {32: {}, 128: {}}
        for network, value in items:
            shift = network.max_prefixlen - network.prefixlen
            by_shift = tables[network.max_prefixlen].setdefault(shift, {})
            by_shift[int(network.network_address) >> shift] = value
        # A smaller shift is a longer prefix.
        self._by_bits: dict[int, _Tables[V]] = {
            bits: tuple(sorted(found.items())) for bits, found in tables.items()
        }

    def find(self, bits: int, number: int) -> V | None:
        for shift, values in self._by_bits[bits]:
            value = values.get(number >> shift)
            if value is not None:
                return value
        return None


class CidrSet:
    """An immutable set of networks with a fast ``address in networks``."""

    __slots__ = ("_cache", "_table", "networks")

    def __init__(self, networks: Iterable[str] = ()) -> None:
        parsed = [_parse_network(text) for text in networks]
        self.networks: tuple[str, ...] = tuple(str(network) for network in parsed)
        self._table: _PrefixTable[bool] = _PrefixTable((network, True) for network in parsed)
        self._cache: dict[str, bool] = {}

    @classmethod
    def parse(cls, networks: Iterable[str]) -> CidrSet:
        """Return the set of these networks; a bare address is a network of one.

        Raises:
            ValueError: An entry is no network, or has bits set beyond its prefix.
        """
        if isinstance(networks, str | bytes | Mapping):
            raise OptionError(f"a list of networks is expected, not {networks!r}")
        try:
            return cls(networks)
        except TypeError as error:
            raise ValueError(f"a list of networks is expected, not {networks!r}") from error

    def __contains__(self, address: object) -> bool:
        known = self._cache.get(address)  # type: ignore[call-overload]
        if known is not None:
            return bool(known)
        if not isinstance(address, str):
            return False
        host = _parse_host(address)
        found = host is not None and self._table.find(*host) is not None
        if len(self._cache) >= _MAX_CACHED:
            self._cache.clear()
        self._cache[address] = found
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self.networks)

    def __len__(self) -> int:
        return len(self.networks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CidrSet) and self.networks == other.networks

    def __hash__(self) -> int:
        return hash(self.networks)

    def __repr__(self) -> str:
        return f"CidrSet({list(self.networks)!r})"


class CidrMap(Generic[V]):
    """An immutable map from networks to values; the longest matching prefix wins."""

    __slots__ = ("_cache", "_table", "items")

    def __init__(self, items: Mapping[str, V]) -> None:
        parsed = [(_parse_network(text), value) for text, value in items.items()]
        self.items: tuple[tuple[str, V], ...] = tuple((str(net), value) for net, value in parsed)
        # Boxed, so that a value of None is a value.
        self._table: _PrefixTable[tuple[V]] = _PrefixTable((net, (value,)) for net, value in parsed)
        self._cache: dict[str, tuple[V] | None] = {}

    @classmethod
    def parse(cls, items: Mapping[str, V]) -> CidrMap[V]:
        """Return the map of these networks.

        Raises:
            ValueError: A key is no network, or has bits set beyond its prefix.
        """
        if not isinstance(items, Mapping):
            raise OptionError(f"a mapping from networks is expected, not {items!r}")
        return cls(items)

    def lookup(self, address: str, default: V | None = None) -> V | None:
        """Return the value for an address: ``ip``, ``ip:port``, ``[ip]`` or ``[ip]:port``."""
        if address in self._cache:
            found = self._cache[address]
        else:
            host = _parse_host(address) or _parse_host(_without_port(address))
            found = None if host is None else self._table.find(*host)
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            self._cache[address] = found
        return default if found is None else found[0]

    def __contains__(self, address: object) -> bool:
        marker = object()
        return isinstance(address, str) and self.lookup(address, marker) is not marker  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.items)


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.rpartition(":")[0]
