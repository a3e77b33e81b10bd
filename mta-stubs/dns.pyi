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
    """The addresses of a host. LookupError: there is no such host; OSError: nobody could say."""

async def lookup_mx(domain: str) -> Mx:
    """Who takes mail for a domain, best first. LookupError: there is no such domain."""

async def lookup_ptr(ip: str) -> list[str]:
    """The names that an address points to."""

async def lookup_txt(name: str) -> list[str]:
    """The texts at a name."""

async def rbl_lookup(ip: str, base: str) -> tuple[str, str | None] | tuple[None, None]:
    """What a list such as zen.example.org says of an address: its code and its reason."""

def ptr_host(ip: str) -> str:
    """The name under which an address is looked up backwards."""

def reverse_ip(ip: str) -> str:
    """The labels of an address backwards."""

def configure_resolver(
    *,
    name_servers: Iterable[str | Mapping[str, Any]],
    domain: str | None = None,
    search: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
) -> None:
    """Ask these servers, "address" or "address:port", instead of the system's. Only in init."""

def configure_test_resolver(*, zones: Iterable[str], servfail: Iterable[str] = ()) -> None:
    """Answer from the texts of these zone files only; names in ``servfail`` fail. Only in init."""

def set_mx_timeout(duration: _Duration) -> None:
    """The longest that a look-up may take; 5 s. Only in init."""

def set_mx_concurrency_limit(limit: int) -> None:
    """How many look-ups may be under way; 128. Only in init."""

def set_mx_negative_cache_ttl(duration: _Duration) -> None:
    """How long absence is remembered; 5 minutes. Only in init."""
