"""Who may use the proxy: from where, with which source, to which destinations and ports.

Place in flow: made from flags or a script; asked by ``proxy.listener`` for a client and by
``proxy.session`` for each request.

Invariants:
    * What no rule allows is refused. A rule allows a request as a whole or not at all.
    * A network opens an address that is not for others (loopback, link-local, multicast,
      unspecified) only if it lies within such a range itself: "everywhere" never means these.
    * An IPv4 address mapped into IPv6 is judged as the IPv4 address it is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from engine.model.cidr import CidrSet

#: Where mail is taken: what a destination without ports of its own means.
MAIL_PORTS = ((25, 25), (465, 465), (587, 587), (2525, 2525))
ALL_PORTS = ((1, 0xFFFF),)
LOOPBACK = CidrSet(("127.0.0.0/8", "::1"))
#: Addresses that reach this host, this link, or more than one host.
SPECIAL = (
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "fe80::/10",
    "ff00::/8",
)
_SPECIAL_SET = CidrSet(SPECIAL)

PortRanges: TypeAlias = tuple[tuple[int, int], ...]
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Destination:
    """Networks and ports that may be reached.

    Attributes:
        network: None stands for every address that is not special.
        ports: Pairs of the first and the last port.
    """

    network: _Network | None = None
    ports: PortRanges = MAIL_PORTS

    def covers(self, address: _Address, port: int, *, is_special: bool) -> bool:
        """Return whether an address and a port are among these."""
        if not any(first <= port <= last for first, last in self.ports):
            return False
        if self.network is None:
            return not is_special
        if address.version != self.network.version or address not in self.network:
            return False
        return not is_special or _is_special_network(self.network)


@dataclass(frozen=True, slots=True)
class Who:
    """A client as rules see it.

    Attributes:
        address: Its IP address.
        identities: The names it showed; empty if it showed none.
        groups: The groups that these belong to.
    """

    address: str
    identities: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AccessRule:
    """One thing that is allowed. What is None does not matter to it.

    Attributes:
        clients: Networks of the clients it is for.
        users: Names it is for.
        groups: Groups it is for; a client in one of ``users`` or ``groups`` is meant.
        sources: Networks of the addresses that connections may leave from.
        destinations: Where they may go.
    """

    clients: CidrSet | None = None
    users: frozenset[str] | None = None
    groups: frozenset[str] | None = None
    sources: CidrSet | None = None
    destinations: tuple[Destination, ...] = (Destination(),)

    def is_for(self, who: Who) -> bool:
        """Return whether the rule speaks of a client."""
        if self.clients is not None and who.address not in self.clients:
            return False
        if self.users is None and self.groups is None:
            return True
        return bool(
            (self.users or frozenset()) & who.identities
            or (self.groups or frozenset()) & who.groups
        )

    def allows_source(self, source: str | None) -> bool:
        """Return whether connections may leave from an address; None leaves it to the system."""
        if self.sources is None:
            return True
        return source is not None and source in self.sources


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What is allowed.

    Attributes:
        clients: Networks from which anybody is listened to at all.
        rules: One of them has to allow a request.
    """

    clients: CidrSet = LOOPBACK
    rules: tuple[AccessRule, ...] = (AccessRule(),)

    def may_enter(self, address: str) -> bool:
        """Return whether a client is listened to."""
        return address in self.clients

    def may_leave_from(self, who: Who, source: str) -> bool:
        """Return whether a client may ask for a source."""
        return any(rule.is_for(who) and rule.allows_source(source) for rule in self.rules)

    def may_reach(self, who: Who, source: str | None, host: str, port: int) -> bool:
        """Return whether a client may connect to an IP address and a port.

        Args:
            who: The client.
            source: The address that the connection leaves from; None leaves it to the system.
            host: The destination's IP address.
            port: Its port.
        """
        address, is_special = _look_at(host)
        return any(
            rule.is_for(who)
            and rule.allows_source(source)
            and any(one.covers(address, port, is_special=is_special) for one in rule.destinations)
            for rule in self.rules
        )

    def default_source(self, who: Who, host: str) -> str | None:
        """Return the source of a client that asked for none, None to leave it to the system.

        It is the first single address, of the destination's family, of the rules that are for the
        client; where one of these rules allows any source, the system chooses.
        """
        version = _look_at(host)[0].version
        found = None
        for rule in self.rules:
            if not rule.is_for(who):
                continue
            if rule.sources is None:
                return None
            found = found or _first_address(rule.sources, version)
        return found


def _first_address(networks: Iterable[str], version: int) -> str | None:
    for text in networks:
        network = ipaddress.ip_network(text)
        if network.version == version and network.num_addresses == 1:
            return str(network.network_address)
    return None


@lru_cache(maxsize=4096)
def _look_at(host: str) -> tuple[_Address, bool]:
    """Return an address, and whether it is special; nodes connect to the same hosts all the time.

    Raises:
        ValueError: It is none.
    """
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address, host in _SPECIAL_SET


@lru_cache(maxsize=4096)
def _is_special_network(network: _Network) -> bool:
    return any(_is_within(network, ipaddress.ip_network(text)) for text in SPECIAL)


def _is_within(network: _Network, other: _Network) -> bool:
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]


def parse_destination(text: str) -> Destination:
    """Return what ``NET[:PORTS]`` means.

    The network is ``*`` or a network or address, in brackets if it is of IPv6 and ports follow; the
    ports are ``*``, or ports and ranges such as ``25,587,2000-2010``.

    Raises:
        ValueError: It is none.
    """
    network, ports = _split(text.strip())
    parsed = None
    if network != "*":
        (spelled,) = CidrSet.parse([network])
        parsed = ipaddress.ip_network(spelled)
    return Destination(parsed, MAIL_PORTS if ports is None else parse_ports(ports))


def _split(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        network, closed, rest = text[1:].partition("]")
        # Either the whole network is in brackets, or its address alone.
        if rest.startswith("/"):
            length, colon, ports = rest.partition(":")
            network += length
        else:
            _, colon, ports = rest.partition(":")
        if not closed or (rest and not colon and not rest.startswith("/")):
            raise ValueError(f"not a destination: {text!r}")
        return network, ports if colon else None
    if text.count(":") == 1:
        network, _, ports = text.partition(":")
        return network, ports
    return text, None


def parse_ports(text: str) -> PortRanges:
    """Return ranges of ports.

    Raises:
        ValueError: They are none.
    """
    if text == "*":
        return ALL_PORTS
    ranges = []
    for word in text.split(","):
        first, dash, last = word.strip().partition("-")
        bounds = (_parse_port(first), _parse_port(last if dash else first))
        if bounds[0] > bounds[1]:
            raise ValueError(f"a range of ports that ends before it begins: {word!r}")
        ranges.append(bounds)
    return tuple(ranges)


def _parse_port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= 0xFFFF:
        raise ValueError(f"not a port: {text!r}")
    return int(text)
