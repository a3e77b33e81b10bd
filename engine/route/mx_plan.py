"""From a routing domain to a site, and from a site to the addresses to try, in order.

Place in flow: ``engine.ready`` resolves the route of a queue to know its site; a dispatcher asks
for the plan before it connects.

Invariants:
    * A prohibited or skipped address is never a candidate.
    * A plan is bounded, whatever a domain publishes.
    * Hosts are tried by preference; addresses of one preference in random order; the order of a
      list that an operator wrote is kept.

Failure: hosts that cannot be resolved are left out while others can; if none can, the plan fails
with an error that declares itself temporary.

Standard: RFC 5321, 5.1.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from engine.model.egress import EgressPath, EgressSource
from engine.model.errors import DnsFailureError, RouteNotFoundError
from engine.model.queue_config import MxListEntry, parse_mx_entry, split_port
from engine.model.site_name import site_name
from engine.route.dns_resolver import DnsResolver

#: Hosts that are looked up, and addresses that are tried, at most: each may take a whole timeout,
#: and who runs a domain decides how many it has.
HOSTS_MAX = 32
CANDIDATES_MAX = 64


@dataclass(frozen=True, slots=True)
class RouteHost:
    """A host that may take the mail.

    Attributes:
        pref: Its preference; lower is tried first.
        name: Its name.
        port: Its port, if the routing domain or the list named one.
        addresses: Its addresses, if they are known without asking.
    """

    pref: int
    name: str
    port: int | None = None
    addresses: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """The site that takes mail for a routing domain.

    Attributes:
        site_name: The name under which ready queues and rules know it.
        hosts: Its hosts, by preference.
        is_null: Whether the domain declares that it takes no mail.
        domain: The routing domain it was resolved for.
    """

    site_name: str
    hosts: tuple[RouteHost, ...]
    is_null: bool
    domain: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """One address to try."""

    host_name: str
    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ConnectionPlan:
    """The addresses to try, in order.

    Attributes:
        candidates: The addresses.
        prohibited: Whether the route leads to a prohibited address.
        skipped_all: Whether every address was one to skip.
        empty: Whether the route leads to no usable address at all.
    """

    candidates: tuple[Candidate, ...]
    prohibited: bool = False
    skipped_all: bool = False
    empty: bool = False


async def resolve_route(
    resolver: DnsResolver,
    routing_domain: str,
    mx_list: Sequence[MxListEntry | str] | None = None,
) -> Route:
    """Return the site that takes mail for a routing domain.

    Args:
        resolver: Who knows the MX records.
        routing_domain: A domain, ``domain:port``, ``[ip]`` or ``[ip]:port``.
        mx_list: Hosts that take the place of the MX look-up, in order.

    Raises:
        RouteNotFoundError: The domain does not exist, or cannot be one.
        DnsFailureError: Nobody could say.
    """
    if mx_list is not None:
        return _listed_route(routing_domain, mx_list)
    try:
        entry = parse_mx_entry(routing_domain)
        shown = split_port(routing_domain)[0]
    except ValueError as error:
        raise RouteNotFoundError(str(error)) from error
    if entry.addresses is not None:
        site = _with_port(shown if shown.startswith("[") else entry.name, entry.port)
        host = RouteHost(0, entry.name, entry.port, entry.addresses)
        return Route(site, (host,), is_null=False, domain=routing_domain)
    answer = await resolver.resolve_mx(entry.name)
    hosts = tuple(RouteHost(pref, name, entry.port) for pref, name in answer.hosts)
    # A domain without hosts still needs a queue of its own, from which its mail is refused.
    site = site_name(answer.hosts) or entry.name
    return Route(_with_port(site, entry.port), hosts, answer.is_null, routing_domain)


def _listed_route(routing_domain: str, mx_list: Sequence[MxListEntry | str]) -> Route:
    try:
        entries = [parse_mx_entry(entry) for entry in mx_list]
    except ValueError as error:
        raise RouteNotFoundError(f"mx_list: {error}") from error
    hosts = tuple(
        RouteHost(position, entry.name, entry.port, entry.addresses)
        for position, entry in enumerate(entries)
    )
    site = "mx_list:" + ",".join(str(entry) for entry in entries)
    return Route(site, hosts, is_null=False, domain=routing_domain)


def _with_port(site: str, port: int | None) -> str:
    return site if port is None else f"{site}:{port}"


@dataclass(slots=True)
class _Gathered:
    """What resolving the hosts of a route has brought so far."""

    addresses: int = 0
    skipped: int = 0
    prohibited: bool = False
    failure: Exception | None = None


async def plan_connections(
    resolver: DnsResolver,
    route: Route,
    *,
    path: EgressPath,
    source: EgressSource | None = None,
    rng: random.Random,
) -> ConnectionPlan:
    """Return the addresses to try for a route, in order.

    Args:
        resolver: Who knows the addresses of hosts.
        route: The site.
        path: Which families, ports and hosts are wanted.
        source: From where the mail leaves: its address decides the family.
        rng: Shuffles the addresses of one preference.

    Raises:
        DnsFailureError: No host could be resolved, and for at least one nobody could say why.
    """
    candidates: list[Candidate] = []
    seen = _Gathered()
    for _, group in groupby(route.hosts[:HOSTS_MAX], key=attrgetter("pref")):
        found: list[Candidate] = []
        is_given = True
        for host in group:
            is_given = is_given and host.addresses is not None
            found += await _candidates_of(resolver, host, path, source, seen)
        if not is_given:
            rng.shuffle(found)
        candidates += found
    if not candidates and not seen.addresses and seen.failure is not None:
        raise DnsFailureError(str(seen.failure)) from seen.failure
    skipped_all = not candidates and seen.skipped > 0 and not seen.prohibited
    empty = not candidates and not seen.prohibited and not skipped_all
    return ConnectionPlan(tuple(candidates[:CANDIDATES_MAX]), seen.prohibited, skipped_all, empty)


async def _candidates_of(
    resolver: DnsResolver,
    host: RouteHost,
    path: EgressPath,
    source: EgressSource | None,
    seen: _Gathered,
) -> list[Candidate]:
    addresses = host.addresses
    if addresses is None:
        try:
            addresses = await resolver.resolve_addresses(host.name, path.ip_lookup_strategy)
        except DnsFailureError as error:
            seen.failure = error
            return []
        except RouteNotFoundError:
            # One host of a site that is gone from the DNS must not stop mail to the others.
            return []
    port = _port(host, path, source)
    found = []
    for address in addresses:
        seen.addresses += 1
        if address in path.prohibited_hosts:
            seen.prohibited = True
        elif address in path.skip_hosts:
            seen.skipped += 1
        elif _is_reachable(address, source):
            found.append(Candidate(host.name, address, port))
    return found


def _port(host: RouteHost, path: EgressPath, source: EgressSource | None) -> int:
    if source is not None and source.remote_port is not None:
        return source.remote_port
    return path.smtp_port if host.port is None else host.port


def _is_reachable(address: str, source: EgressSource | None) -> bool:
    """Return whether the source's address family can reach the address."""
    outer = source.outer_address if source is not None else None
    if outer is None:
        return True
    own = ipaddress.ip_address(outer)
    return own.version == ipaddress.ip_address(address).version
