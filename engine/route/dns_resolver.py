"""DNS as delivery needs it: MX hosts and addresses, cached, bounded in time and number.

Place in flow: ``engine.route.mx_plan`` asks for every route; scripts ask through ``mta.dns``.

Invariants:
    * Each question is asked once at a time, however many wait for its answer.
    * Answers are kept as long as their TTL says, absence and failure for a bounded time; the cache
      is bounded.
    * No question takes longer than the timeout, and as long again to wait for its turn; only so
      many are asked at once.

Failure: what cannot be answered is an error that declares itself temporary; mail waits.

Standard: RFC 5321, 5.1 (MX look-up and the implicit MX); RFC 7505 (null MX); RFC 2308.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import dns.exception
import dns.name

from engine.model.address import normal_domain
from engine.model.egress_options import IpLookupStrategy
from engine.model.errors import DnsFailureError, RouteNotFoundError
from engine.route.dns_backend import (
    AnswerKind,
    DnsAnswer,
    DnsBackend,
    NameServerBackend,
    ZoneBackend,
)
from engine.route.resolver_options import ResolverOptions

#: A failure is forgotten sooner than an absence: it says something about the servers, not the name.
_MAX_FAILURE_S = 30.0
#: What may not be kept still serves those who asked meanwhile.
_MIN_TTL_S = 1.0
_FAMILIES: dict[IpLookupStrategy, tuple[str, ...]] = {
    IpLookupStrategy.IPV4_AND_IPV6: ("A", "AAAA"),
    IpLookupStrategy.IPV4_ONLY: ("A",),
    IpLookupStrategy.IPV6_ONLY: ("AAAA",),
    IpLookupStrategy.IPV6_THEN_IPV4: ("AAAA", "A"),
    IpLookupStrategy.IPV4_THEN_IPV6: ("A", "AAAA"),
}
_FIRST_FAMILY_WINS = (IpLookupStrategy.IPV6_THEN_IPV4, IpLookupStrategy.IPV4_THEN_IPV6)


class MxAnswer(NamedTuple):
    """The hosts that take mail for a domain.

    Attributes:
        hosts: Preference and name, by preference and then by name.
        is_null: Whether the domain declares that it takes no mail.
        is_implicit: Whether the domain itself stands in for absent MX records.
    """

    hosts: tuple[tuple[int, str], ...]
    is_null: bool = False
    is_implicit: bool = False


@dataclass(slots=True)
class DnsCounts:
    """What resolvers did; outlives a resolver that a reload replaced.

    Attributes:
        hit: Questions answered from the cache.
        miss: Questions asked.
        evict: Answers dropped for room.
        mx_hit: Questions for hosts among those answered from the cache.
        mx_miss: Questions for hosts among those asked.
        mx_ok: Domains whose hosts were found, or known to be none.
        mx_failed: Domains whose hosts could not be found.
        mx_under_way: Domains whose hosts are being looked for.
    """

    hit: int = 0
    miss: int = 0
    evict: int = 0
    mx_hit: int = 0
    mx_miss: int = 0
    mx_ok: int = 0
    mx_failed: int = 0
    mx_under_way: int = 0


class DnsResolver:
    """The resolver of one process.

    Attributes:
        is_closed_world: Whether given zones are all there is, so that nobody else may be asked.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        nameservers: Sequence[str] | None = None,
        zones: Sequence[str] | None = None,
        servfail: Sequence[str] | None = None,
        options: ResolverOptions | None = None,
        counts: DnsCounts | None = None,
    ) -> None:
        """Ask name servers, or answer from zones only.

        Args:
            clock: Monotonic time.
            nameservers: ``ip`` or ``ip:port`` each; None for the system's own.
            zones: Zone file texts; if given, nobody else is asked.
            servfail: Names that fail, beside the zones.
            options: Limits and habits.
            counts: Where it counts what it does.

        Raises:
            ConfigurationError: A name server or a zone is malformed.
        """
        self.counts = counts if counts is not None else DnsCounts()
        self._mono = clock
        self._options = options or ResolverOptions()
        self._asking = asyncio.Semaphore(self._options.concurrency)
        self._cache: OrderedDict[tuple[str, str], tuple[float, DnsAnswer | str]] = OrderedDict()
        self._under_way: dict[tuple[str, str], asyncio.Future[None]] = {}
        self.is_closed_world = zones is not None or servfail is not None
        self._backend: DnsBackend = (
            ZoneBackend(zones or (), servfail or ())
            if self.is_closed_world
            else NameServerBackend(nameservers, self._options)
        )

    async def resolve_mx(self, domain: str) -> MxAnswer:
        """Return the hosts that take mail for a domain.

        Raises:
            RouteNotFoundError: The domain does not exist, or cannot be one.
            DnsFailureError: Nobody could say.
        """
        counts = self.counts
        counts.mx_under_way += 1
        try:
            answer = await self.lookup(domain, "MX")
            if answer.kind is AnswerKind.NO_NAME:
                raise RouteNotFoundError(f"the domain {domain} does not exist")
        except (DnsFailureError, RouteNotFoundError):
            counts.mx_failed += 1
            raise
        finally:
            counts.mx_under_way -= 1
        counts.mx_ok += 1
        if answer.kind is AnswerKind.NO_DATA:
            return MxAnswer(((1, _text(answer.canonical)),), is_implicit=True)
        preferences: dict[str, int] = {}
        for record in answer.records:
            name = _text(record.exchange)
            if name:
                preferences[name] = min(record.preference, preferences.get(name, 0xFFFF))
        hosts = tuple(sorted((preference, name) for name, preference in preferences.items()))
        return MxAnswer(hosts, is_null=not hosts)

    async def resolve_addresses(
        self, host: str, strategy: IpLookupStrategy = IpLookupStrategy.IPV4_AND_IPV6
    ) -> tuple[str, ...]:
        """Return the addresses of a host; none if it has none of the wanted families.

        Args:
            host: A host name, or an address.
            strategy: Which families, and in which order.

        Raises:
            RouteNotFoundError: The host does not exist, or cannot be one.
            DnsFailureError: Nobody could say.
        """
        literal = _literal(host, strategy)
        if literal is not None:
            return literal
        found: list[str] = []
        failure: Exception | None = None
        for rdtype in _FAMILIES[strategy]:
            try:
                answer = await self.lookup(host, rdtype)
            except DnsFailureError as error:
                failure = error
                continue
            if answer.kind is AnswerKind.NO_NAME:
                raise RouteNotFoundError(f"the host {host} does not exist")
            found.extend(record.address for record in answer.records)
            if found and strategy in _FIRST_FAMILY_WINS:
                break
        if failure is not None and not found:
            raise failure
        return tuple(found)

    async def lookup(self, name: str, rdtype: str) -> DnsAnswer:
        """Return the answer to one question, from the cache if it is there.

        Raises:
            RouteNotFoundError: The text can be no name.
            DnsFailureError: Nobody could say.
        """
        key = (name, rdtype)
        while True:
            cached = self._cache.get(key)
            if cached is not None and cached[0] > self._mono():
                self.counts.hit += 1
                self.counts.mx_hit += rdtype == "MX"
                return self._recalled(key, cached[1])
            waiting = self._under_way.get(key)
            if waiting is None:
                return await self._lead(key)
            # Shielded: one who gives up waiting must not take the answer from the others.
            await asyncio.shield(waiting)

    def _recalled(self, key: tuple[str, str], known: DnsAnswer | str) -> DnsAnswer:
        if isinstance(known, str):
            raise DnsFailureError(known)
        self._cache.move_to_end(key)
        return known

    async def _lead(self, key: tuple[str, str]) -> DnsAnswer:
        """Ask for all who wait; whatever happens to this task, they go on."""
        name = _parse_name(key[0])
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way[key] = done
        self.counts.miss += 1
        self.counts.mx_miss += key[1] == "MX"
        try:
            answer = await self._ask(name, key[1])
        except DnsFailureError as error:
            self._remember(key, str(error), min(self._options.negative_ttl_s, _MAX_FAILURE_S))
            raise
        else:
            self._remember(key, answer, self._lifetime_s(answer))
            return answer
        finally:
            del self._under_way[key]
            done.set_result(None)

    def _lifetime_s(self, answer: DnsAnswer) -> float:
        options = self._options
        if answer.kind is AnswerKind.FOUND:
            wanted_s = max(options.positive_min_s, min(answer.ttl_s, options.positive_max_s))
        else:
            wanted_s = max(
                options.negative_min_s, min(options.negative_ttl_s, options.negative_max_s)
            )
        return max(wanted_s, _MIN_TTL_S)

    async def _ask(self, name: dns.name.Name, rdtype: str) -> DnsAnswer:
        try:
            # Waiting for a turn counts too: a question that nobody hears in time has failed.
            async with asyncio.timeout(2 * self._options.timeout_s), self._asking:
                return await self._backend.ask(name, rdtype)
        except TimeoutError as error:
            raise DnsFailureError(f"no answer for {name.to_text()} {rdtype} in time") from error

    def _remember(self, key: tuple[str, str], known: DnsAnswer | str, ttl_s: float) -> None:
        self._cache[key] = (self._mono() + ttl_s, known)
        self._cache.move_to_end(key)
        if len(self._cache) > self._options.cache_size:
            self._cache.popitem(last=False)
            self.counts.evict += 1

    def forget(self) -> None:
        """Drop every cached answer."""
        self._cache.clear()

    def snapshot(self) -> dict[str, Any]:
        """Return how much is cached and under way, for operators."""
        return {"cached": len(self._cache), "under_way": len(self._under_way)}


def _parse_name(text: str) -> dns.name.Name:
    try:
        ascii_text = text if text.isascii() else normal_domain(text)
        name = dns.name.from_text(ascii_text)
    except (dns.exception.DNSException, ValueError) as error:
        raise RouteNotFoundError(f"{text[:300]!r} is no domain name") from error
    if name == dns.name.root:
        raise RouteNotFoundError("the root takes no mail")
    return name


def _text(name: dns.name.Name) -> str:
    """Return a name in lower case without trailing dot; empty for the root."""
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _literal(host: str, strategy: IpLookupStrategy) -> tuple[str, ...] | None:
    """Return the address that the host is, if it is one and of a wanted family."""
    if not host[-1:].isdigit() and ":" not in host:
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    wanted = "A" if address.version == 4 else "AAAA"
    return (str(address),) if wanted in _FAMILIES[strategy] else ()
