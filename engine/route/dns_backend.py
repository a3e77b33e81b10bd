"""Where DNS answers come from: name servers, or zones that the operator wrote down.

Place in flow: ``engine.route.dns_resolver`` asks; nothing else does.

Invariants:
    * An answer is a value, found or not; an exception means that nobody could say.
    * Given zones are the whole world: what they do not hold does not exist.

Standard: RFC 1034, 4.3.2 and RFC 4592 for wildcards in given zones; RFC 2308 for what is absent.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.zone

from engine.model.errors import ConfigurationError, DnsFailureError
from engine.model.queue_config import split_port
from engine.route.resolver_options import ResolverOptions, ServerOrdering

#: Names that lead to names: longer chains are loops or mischief.
_MAX_CHAIN = 12
_ONE_DAY_S = 86400.0
#: Where dnspython saw an error.
_PLACE = re.compile(r"<string>:([0-9]+)")


class AnswerKind(Enum):
    """What a DNS answer says."""

    FOUND = "found"
    NO_DATA = "no data"
    NO_NAME = "no such name"


class DnsAnswer(NamedTuple):
    """One answer.

    Attributes:
        kind: What it says.
        canonical: The name at the end of the chain of aliases.
        records: The records, as dnspython has them.
        ttl_s: How long it may be kept.
    """

    kind: AnswerKind
    canonical: dns.name.Name
    records: tuple[Any, ...] = ()
    ttl_s: float = 0.0


class DnsBackend(Protocol):
    """What answers a question that is not in the cache."""

    async def ask(self, name: dns.name.Name, rdtype: str) -> DnsAnswer:
        """Return the answer.

        Raises:
            DnsFailureError: Nobody could say.
        """
        ...


class NameServerBackend:
    """Answers from recursive name servers."""

    def __init__(self, nameservers: Sequence[str] | None, options: ResolverOptions) -> None:
        """Ask the given servers.

        Args:
            nameservers: ``ip``, ``ip:port`` or ``[ip]:port`` each; None for the system's own.
            options: Limits and habits.

        Raises:
            ConfigurationError: A name server is no address.
        """
        self._timeout_s = options.timeout_s
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        if nameservers is None:
            self._configure_from_system()
        else:
            self._resolver.nameservers = [_name_server(text) for text in nameservers]
        self._resolver.use_edns(0 if options.edns0 else -1, 0, 1232)
        self._resolver.timeout = min(options.try_s, options.timeout_s)
        self._resolver.rotate = options.ordering is ServerOrdering.ROUND_ROBIN
        if not options.recursion_desired:
            self._resolver.flags = dns.flags.Flag(0)

    def _configure_from_system(self) -> None:
        try:
            self._resolver.read_resolv_conf("/etc/resolv.conf")
        except (dns.resolver.NoResolverConfiguration, OSError):
            # Without a name server each question fails, and mail waits, until there is one.
            self._resolver.nameservers = []

    async def ask(self, name: dns.name.Name, rdtype: str) -> DnsAnswer:
        """Return the answer.

        Raises:
            DnsFailureError: No server answered in time, or all of them failed.
        """
        try:
            answer = await self._resolver.resolve(
                name, rdtype, raise_on_no_answer=False, lifetime=self._timeout_s, search=False
            )
        except dns.resolver.NXDOMAIN:
            return DnsAnswer(AnswerKind.NO_NAME, name)
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            raise DnsFailureError(f"no answer for {name.to_text()} {rdtype}: {error}") from error
        if answer.rrset is None:
            return DnsAnswer(AnswerKind.NO_DATA, answer.canonical_name)
        ttl_s = float(answer.chaining_result.minimum_ttl)
        return DnsAnswer(AnswerKind.FOUND, answer.canonical_name, tuple(answer.rrset), ttl_s)


def _name_server(text: str) -> dns.nameserver.Do53Nameserver:
    # A bare IPv6 address is all colons: it has no port to split off.
    host, port = (text, None) if text.count(":") > 1 and "[" not in text else _split(text)
    try:
        return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(host)), port or 53)
    except ValueError as error:
        raise ConfigurationError(f"name server {text!r}: ip or ip:port is expected") from error


def _split(text: str) -> tuple[str, int | None]:
    try:
        host, port = split_port(text)
    except ValueError as error:
        raise ConfigurationError(f"name server {text!r}: {error}") from error
    return host.strip("[]"), port


class _RecordSet(NamedTuple):
    """The records of one type at one name of a zone file."""

    owner: dns.name.Name
    kind: str
    records: tuple[Any, ...]
    ttl_s: float


class _World(dns.zone.Zone):
    """The root as origin lets one text hold several zones; each may have its SOA."""

    def __init__(self, starts: list[Any], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._starts = starts

    def writer(self, replacement: bool = False) -> Any:
        """Return what takes the records of a text."""
        reading = super().writer(replacement)
        take = reading.add

        def add(*args: Any) -> None:
            # dnspython takes an SOA at the origin only, and here that is the root.
            if len(args) == 3 and args[2].rdtype == dns.rdatatype.SOA:
                self._starts.append(args)
            else:
                take(*args)

        reading.add = add  # type: ignore[method-assign]
        return reading


@functools.lru_cache(maxsize=8)
def read_zone(text: str) -> tuple[_RecordSet, ...]:
    """Return what a zone file holds; the same text is read once, for check and use.

    Raises:
        ConfigurationError: It is no zone file.
    """
    starts: list[tuple[dns.name.Name, int, Any]] = []
    try:
        zone = dns.zone.from_text(
            f"$TTL 300\n{text}\n",
            origin=dns.name.root,
            relativize=False,
            check_origin=False,
            allow_include=False,
            zone_factory=functools.partial(_World, starts),
        )
    except (dns.exception.DNSException, ValueError, KeyError) as error:
        # Ahead of the text stands a line of ours.
        reason = _PLACE.sub(lambda place: f"line {int(place[1]) - 1}", str(error))
        raise ConfigurationError(f"not a zone file: {reason}") from error
    found = [
        _RecordSet(_folded(name), dns.rdatatype.to_text(one.rdtype), tuple(one), float(one.ttl))
        for name, one in zone.iterate_rdatasets()
    ]
    found += [
        _RecordSet(_folded(name), "SOA", (record,), float(ttl_s)) for name, ttl_s, record in starts
    ]
    return tuple(found)


class ZoneBackend:
    """Answers from zone file texts; what they do not hold does not exist."""

    def __init__(self, zones: Iterable[str], servfail: Iterable[str] = ()) -> None:
        """Parse the zones.

        Args:
            zones: Zone file texts; ``$ORIGIN`` says where each belongs.
            servfail: Names whose look-up fails; so does that of names below them, but for those in
                the zones.

        Raises:
            ConfigurationError: A text is no zone file.
        """
        self._records: dict[dns.name.Name, dict[str, tuple[tuple[Any, ...], float]]] = {}
        self._names: set[dns.name.Name] = {dns.name.root}
        self._servfail = {_zone_name(text) for text in servfail}
        for text in zones:
            self._load(text)

    def _load(self, text: str) -> None:
        for found in read_zone(text):
            by_type = self._records.setdefault(found.owner, {})
            before = by_type.get(found.kind, ((), _ONE_DAY_S))
            by_type[found.kind] = (*before[0], *found.records), min(before[1], found.ttl_s)
            owner = found.owner
            while owner not in self._names:
                self._names.add(owner)
                owner = owner.parent()

    async def ask(self, name: dns.name.Name, rdtype: str) -> DnsAnswer:
        """Return the answer.

        Raises:
            DnsFailureError: The name was declared to fail, or its aliases lead nowhere.
        """
        current, ttl_s = _folded(name), _ONE_DAY_S
        for _ in range(_MAX_CHAIN):
            found = self._find(current)
            if current in self._servfail or (found is None and self._fails_above(current)):
                raise DnsFailureError(f"no answer for {current.to_text()} {rdtype}: SERVFAIL")
            if found is None:
                return DnsAnswer(AnswerKind.NO_NAME, current)
            if rdtype in found:
                records, own_ttl_s = found[rdtype]
                return DnsAnswer(AnswerKind.FOUND, current, records, min(ttl_s, own_ttl_s))
            if "CNAME" not in found:
                return DnsAnswer(AnswerKind.NO_DATA, current)
            aliases, own_ttl_s = found["CNAME"]
            current, ttl_s = _folded(aliases[0].target), min(ttl_s, own_ttl_s)
        raise DnsFailureError(f"the aliases of {name.to_text()} lead nowhere")

    def _fails_above(self, name: dns.name.Name) -> bool:
        return any(name.is_subdomain(above) for above in self._servfail)

    def _find(self, name: dns.name.Name) -> dict[str, tuple[tuple[Any, ...], float]] | None:
        """Return the records at a name, by a wildcard if need be; None if there is no such name."""
        if name in self._names:
            return self._records.get(name, {})
        encloser = name.parent()
        while encloser not in self._names:
            encloser = encloser.parent()
        return self._records.get(dns.name.Name((b"*", *encloser.labels)))


def _folded(name: dns.name.Name) -> dns.name.Name:
    return name.canonicalize()


def _zone_name(text: str) -> dns.name.Name:
    try:
        return _folded(dns.name.from_text(text))
    except dns.exception.DNSException as error:
        raise ConfigurationError(f"not a domain name: {text!r}") from error
