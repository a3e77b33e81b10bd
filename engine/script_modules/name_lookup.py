"""``mta.dns``: look-ups in the DNS through the node's own resolver and its cache.

Place in flow: exposed by ``network_modules``. What ``init`` says of the resolver itself is declared
through ``engine.script_resolver``.

Invariants:
    * Answers come from the resolver that delivery uses: given test zones are the whole world here
      too, and limits and time-outs are the same.

Failure: a name that does not exist is a ``LookupError``, a question that nobody could answer an
``OSError``.

Standard: RFC 5321, 5.1; RFC 1035, 3.5 and RFC 3596, 2.5 (reverse names); RFC 5782 (lists of hosts).
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from engine.model.address import normal_domain
from engine.model.egress_options import IpLookupStrategy
from engine.model.errors import DnsFailureError, RouteNotFoundError
from engine.model.keyword_options import choice
from engine.model.queue_config import parse_mx_entry
from engine.model.site_name import site_name
from engine.route.dns_backend import AnswerKind
from engine.route.dns_resolver import DnsResolver
from policy.script_api import ScriptNamespace

MODULE = "mta.dns"
_IPV4_SUFFIX, _IPV6_SUFFIX = "in-addr.arpa", "ip6.arpa"


class NameLookup:
    """The look-ups of one node.

    Args:
        resolver: Returns the resolver as it is now.
    """

    def __init__(self, resolver: Callable[[], DnsResolver]) -> None:
        self._resolver = resolver

    async def lookup_addr(self, name: str, strategy: str | None = None) -> list[str]:
        """Return the addresses of a host."""
        kind = choice(IpLookupStrategy)(strategy or IpLookupStrategy.IPV4_AND_IPV6)
        host = _text("name", name)
        with _plain_errors():
            return list(await self._resolver().resolve_addresses(host, kind))

    async def lookup_mx(self, domain: str) -> dict[str, Any]:
        """Return who takes mail for a domain, or for an address in brackets."""
        entry = parse_mx_entry(_text("domain", domain))
        if entry.addresses is not None:
            hosts = list(entry.addresses)
            return _mx_table(entry.name, [(0, host) for host in hosts], entry.name, is_literal=True)
        name = normal_domain(domain)
        with _plain_errors():
            answer = await self._resolver().resolve_mx(name)
        site = site_name(answer.hosts) or name
        return _mx_table(name, list(answer.hosts), site, is_mx=not answer.is_implicit)

    async def lookup_txt(self, name: str) -> list[str]:
        """Return the texts at a name, the parts of each joined."""
        records = await self._records(_text("name", name), "TXT")
        return [b"".join(record.strings).decode("utf-8", "replace") for record in records]

    async def lookup_ptr(self, ip: str) -> list[str]:
        """Return the names that an address points to."""
        records = await self._records(ptr_host(ip), "PTR")
        return [record.target.to_text(omit_final_dot=True).lower() for record in records]

    async def rbl_lookup(self, ip: str, base: str) -> tuple[str | None, str | None]:
        """Return what a list says of an address: its code and its text; twice None if nothing.

        Args:
            ip: An address; a port after it is ignored.
            base: The domain of the list.
        """
        name = f"{reverse_ip(ip)}.{normal_domain(_text('base', base))}"
        resolver = self._resolver()
        with _plain_errors():
            answer = await resolver.lookup(name, "A")
            if answer.kind is not AnswerKind.FOUND:
                return None, None
            reason = await resolver.lookup(name, "TXT")
        texts = [b"".join(record.strings).decode("utf-8", "replace") for record in reason.records]
        return answer.records[0].address, " ".join(texts) or None

    async def _records(self, name: str, rdtype: str) -> tuple[Any, ...]:
        with _plain_errors():
            answer = await self._resolver().lookup(name, rdtype)
        if answer.kind is AnswerKind.NO_NAME:
            raise LookupError(f"the name {name[:300]} does not exist")
        return answer.records

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the look-ups importable by scripts."""
        waiting: tuple[Callable[..., Awaitable[Any]], ...] = (
            self.lookup_addr,
            self.lookup_mx,
            self.lookup_ptr,
            self.lookup_txt,
            self.rbl_lookup,
        )
        for function in waiting:
            namespace.expose(function.__name__, function, module=MODULE, waits=True)
        for plain in (ptr_host, reverse_ip):
            namespace.expose(plain.__name__, plain, module=MODULE)


def _mx_table(
    name: str,
    hosts: list[tuple[int, str]],
    site: str,
    *,
    is_literal: bool = False,
    is_mx: bool = False,
) -> dict[str, Any]:
    by_pref: dict[int, list[str]] = {}
    for pref, host in hosts:
        by_pref.setdefault(pref, []).append(host)
    return {
        "domain_name": name,
        "hosts": [host for _, host in hosts],
        "site_name": site,
        "by_pref": by_pref,
        "is_domain_literal": is_literal,
        "is_mx": is_mx,
    }


def ptr_host(ip: str) -> str:
    """Return the name under which an address is looked up backwards."""
    address = _address(ip)
    suffix = _IPV4_SUFFIX if address.version == 4 else _IPV6_SUFFIX
    return f"{_reversed(address)}.{suffix}"


def reverse_ip(ip: str) -> str:
    """Return the labels of an address backwards, as lists of hosts want them."""
    return _reversed(_address(ip))


def _reversed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.version == 4:
        return ".".join(reversed(str(address).split(".")))
    return ".".join(reversed(address.exploded.replace(":", "")))


def _address(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address of ``ip``, ``ip:port``, ``[ip]`` or ``[ip]:port``.

    Raises:
        ValueError: It is none of these.
    """
    given = _text("ip", ip)
    host = given
    if given.startswith("["):
        host = given[1:].partition("]")[0]
    elif given.count(":") == 1:
        host = given.partition(":")[0]
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise ValueError(f"not an IP address: {given[:100]!r}") from None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name}: text is expected, not {type(value).__name__}")
    return value


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn errors of the engine into those that scripts know."""
    try:
        yield
    except RouteNotFoundError as error:
        raise LookupError(str(error)) from error
    except DnsFailureError as error:
        raise OSError(str(error)) from error
