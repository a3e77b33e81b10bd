"""Look-ups in the DNS, and where a node asks for names."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, TypedDict, type_check_only

_Duration: TypeAlias = int | float | str
_Strategy: TypeAlias = Literal[
    "Ipv4AndIpv6", "Ipv4Only", "Ipv6Only", "Ipv6ThenIpv4", "Ipv4ThenIpv6"
]

@type_check_only
class Mx(TypedDict):
    """Who takes mail for a domain."""

    domain_name: str
    hosts: list[str]
    site_name: str
    by_pref: dict[int, list[str]]
    is_domain_literal: bool
    is_mx: bool

async def lookup_addr(name: str, strategy: _Strategy | None = None) -> list[str]:
    """The addresses of a host. LookupError: there is no such host; OSError: nobody could say.

    >>> await mta.dns.lookup_addr("mx.example.org")
    ['192.0.2.25']
    """

async def lookup_mx(domain: str) -> Mx:
    """Who takes mail for a domain, best first.

    LookupError: there is no such domain; OSError: nobody could say.

    >>> (await mta.dns.lookup_mx("example.org"))["hosts"]
    ['mx.example.org']
    """

async def lookup_ptr(ip: str) -> list[str]:
    """The names that an address points to. LookupError: none; OSError: nobody could say.

    >>> await mta.dns.lookup_ptr("192.0.2.25")
    ['mx.example.org']
    """

async def lookup_txt(name: str) -> list[str]:
    """The texts at a name. LookupError: there is no such name; OSError: nobody could say.

    >>> await mta.dns.lookup_txt("example.org")
    ['v=spf1 mx -all']
    """

async def rbl_lookup(ip: str, base: str) -> tuple[str, str | None] | tuple[None, None]:
    """What a list such as zen.example.org says of an address: its code and its reason.

    A pair of None where it is not listed. OSError: nobody could say.

    >>> await mta.dns.rbl_lookup("192.0.2.9", "bl.example.org")
    ('127.0.0.2', 'seen spamming')
    """

def ptr_host(ip: str) -> str:
    """The name under which an address is looked up backwards. ValueError: it is no address.

    >>> mta.dns.ptr_host("192.0.2.25")
    '25.2.0.192.in-addr.arpa'
    """

def reverse_ip(ip: str) -> str:
    """The labels of an address backwards. ValueError: it is no address.

    >>> mta.dns.reverse_ip("192.0.2.25")
    '25.2.0.192'
    """

def configure_resolver(
    *,
    name_servers: Iterable[str | Mapping[str, Any]],
    domain: str | None = None,
    search: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
) -> None:
    """Ask these servers, "address" or "address:port", instead of the system's. Only in init.

    >>> mta.dns.configure_resolver(name_servers=["192.0.2.53"])
    """

def configure_test_resolver(*, zones: Iterable[str], servfail: Iterable[str] = ()) -> None:
    r"""Answer from the texts of these zone files only. Only in init.

    Names in ``servfail`` fail, and so do names below them, but for those that a zone holds.

    >>> mta.dns.configure_test_resolver(zones=["$ORIGIN example.org.\n@ 60 IN MX 10 mx"])
    """

def set_mx_timeout(duration: _Duration) -> None:
    """The longest that a look-up may take; 5 s. Only in init.

    >>> mta.dns.set_mx_timeout("3s")
    """

def set_mx_concurrency_limit(limit: int) -> None:
    """How many look-ups may be under way; 128. Only in init.

    >>> mta.dns.set_mx_concurrency_limit(256)
    """

def set_mx_negative_cache_ttl(duration: _Duration) -> None:
    """How long absence is remembered; 5 minutes. Only in init.

    >>> mta.dns.set_mx_negative_cache_ttl("1m")
    """
