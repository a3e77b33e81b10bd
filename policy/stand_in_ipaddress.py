"""The ``ipaddress`` of scripts: networks whose iteration is bounded.

Place in flow: one of the ``stand_ins``. The library's networks iterate in a generator that
no budget sees, over up to 2**128 addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from policy.errors import LimitExceededError

if TYPE_CHECKING:
    from policy.guards import Guards

MAX_ADDRESSES = 65_536
MAX_SUBNETS_BITS = 12
MAX_COLLAPSED = 4_096


class _Bounded:
    """What a bounded network refuses; mixed in before the library's class."""

    __slots__ = ()
    guards: Guards
    num_addresses: int

    def _check_size(self) -> None:
        if self.num_addresses > MAX_ADDRESSES:
            raise LimitExceededError(
                f"a network of more than {MAX_ADDRESSES} addresses cannot be walked"
            )

    def __iter__(self) -> Iterator[Any]:
        self._check_size()
        return self.guards.counted(super().__iter__())  # type: ignore[misc]

    def hosts(self) -> Iterator[Any]:
        """Return the usable addresses."""
        self._check_size()
        return self.guards.counted(super().hosts())  # type: ignore[misc]

    def subnets(self, prefixlen_diff: int = 1, new_prefix: int | None = None) -> Iterator[Any]:
        """Return the networks of a longer prefix."""
        steps = prefixlen_diff if new_prefix is None else new_prefix - self.prefixlen  # type: ignore[attr-defined]
        if steps > MAX_SUBNETS_BITS:
            raise LimitExceededError(f"more than {1 << MAX_SUBNETS_BITS} subnets cannot be walked")
        found = super().subnets(prefixlen_diff, new_prefix)  # type: ignore[misc]
        return self.guards.counted(found)


def ipaddress_names(guards: Guards) -> dict[str, Any]:
    """Return what the stand-in offers."""

    class IPv4Network(_Bounded, ipaddress.IPv4Network):
        """An IPv4 network."""

    class IPv6Network(_Bounded, ipaddress.IPv6Network):
        """An IPv6 network."""

    IPv4Network.guards = IPv6Network.guards = guards

    def ip_network(address: Any, strict: bool = True) -> Any:
        version = ipaddress.ip_network(address, strict).version
        return IPv4Network(address, strict) if version == 4 else IPv6Network(address, strict)

    def ip_interface(address: Any) -> Any:
        interface = ipaddress.ip_interface(address)
        interface.network = ip_network(str(interface.network))
        return interface

    def collapse_addresses(addresses: Any) -> Iterator[Any]:
        found = list(guards.counted(addresses))
        if len(found) > MAX_COLLAPSED:
            raise LimitExceededError(f"more than {MAX_COLLAPSED} networks cannot be collapsed")
        return (ip_network(str(network)) for network in ipaddress.collapse_addresses(found))

    return {
        "AddressValueError": ipaddress.AddressValueError,
        "IPv4Address": ipaddress.IPv4Address,
        "IPv4Network": IPv4Network,
        "IPv6Address": ipaddress.IPv6Address,
        "IPv6Network": IPv6Network,
        "NetmaskValueError": ipaddress.NetmaskValueError,
        "collapse_addresses": collapse_addresses,
        "ip_address": ipaddress.ip_address,
        "ip_interface": ip_interface,
        "ip_network": ip_network,
    }
