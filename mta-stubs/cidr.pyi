"""Values by network: the longest prefix wins."""

from collections.abc import Mapping
from typing import Generic, TypeVar, final, overload, type_check_only

_V = TypeVar("_V")
_D = TypeVar("_D")

@final
@type_check_only
class NetworkMap(Generic[_V]):
    """Values by network. ``memoize`` keeps one as it is; it cannot be changed from then on.

    >>> networks = mta.cidr.make_map({"10.0.0.0/8": "lan"})
    >>> networks["2001:db8::/32"] = "v6"
    >>> "192.0.2.1" in networks, networks["10.1.2.3"], networks.get("[2001:db8::1]:25")
    (False, 'lan', 'v6')
    """

    def __getitem__(self, address: str) -> _V: ...
    def __setitem__(self, network: str, value: _V) -> None: ...
    def __contains__(self, address: object) -> bool: ...
    def __len__(self) -> int: ...
    @overload
    def get(self, address: str) -> _V | None: ...
    @overload
    def get(self, address: str, default: _D) -> _V | _D:
        """The value for ``ip``, ``ip:port``, ``[ip]`` or ``[ip]:port``, or the default."""

def make_map(seed: Mapping[str, _V] | None = None) -> NetworkMap[_V]:
    """A map from networks or addresses to values; ``map[address]`` is a KeyError without one.

    ValueError: a key is no network, or has bits set beyond its prefix.

    >>> mta.cidr.make_map({"10.0.0.0/8": "lan", "10.1.0.0/16": "vpn"})["10.1.2.3:25"]
    'vpn'
    """
