"""Providers: which domains belong to one, by their names or by their MX hosts.

Place in flow: ``engine.model.shaping_section`` reads the terms; ``engine.model.shaping`` asks for
every path and record.

Invariants:
    * One matching DomainSuffix is enough. Of the MX hosts, every one has to meet some MX term:
      a domain that spreads its mail over several providers belongs to none.
    * Terms are plain text, compared as written with names in lower case and without trailing dot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from engine.model.address import normal_domain
from engine.model.queue_config import split_port
from engine.model.shaping_finding import Place

_HOST_TEXT = re.compile(r"[A-Za-z0-9_.-]*\Z")


class MatchKind(Enum):
    """What a term looks at."""

    DOMAIN_SUFFIX = "DomainSuffix"
    MX_SUFFIX = "MXSuffix"
    HOST_NAME = "HostName"


@dataclass(frozen=True, slots=True)
class MatchTerm:
    """One term of a provider."""

    kind: MatchKind
    text: str
    place: Place

    def meets(self, name: str) -> bool:
        """Return whether a name in normal form meets the term."""
        if self.kind is MatchKind.HOST_NAME:
            return name == self.text
        return name.endswith(self.text)


def why_never(term: MatchTerm) -> str | None:
    """Return why a term can never match anything, or None."""
    text = term.text
    if not text and term.kind is MatchKind.HOST_NAME:
        return "no host has an empty name"
    if not text.isascii():
        return "names are compared in A-labels (xn--...)"
    if "*" in text:
        return "there are no wildcards; a suffix is written as it is"
    if not _HOST_TEXT.match(text):
        return "no host name holds such characters"
    if text != text.lower():
        return "names are compared in lower case"
    if text.endswith("."):
        return "names are compared without their trailing dot"
    if ".." in text:
        return "no host name holds two dots in a row"
    if len(text) > 253 or any(len(label) > 63 for label in text.split(".")):
        return "no host name, or label of one, is so long"
    if term.kind is MatchKind.HOST_NAME and text.startswith("."):
        return "no host name begins with a dot; MXSuffix takes suffixes"
    return None


def is_provider_of(
    terms: Iterable[MatchTerm], domain: str | None, mx_hosts: Sequence[str] | None
) -> bool:
    """Return whether a domain belongs to the provider with these terms.

    Args:
        terms: The terms.
        domain: The domain in normal form; None for what is no domain.
        mx_hosts: Its MX hosts in normal form; None or none if they are not known.
    """
    if domain is None:
        return False
    mx_terms = []
    for term in terms:
        if term.kind is not MatchKind.DOMAIN_SUFFIX:
            mx_terms.append(term)
        elif term.meets(domain):
            return True
    if not mx_terms or not mx_hosts:
        return False
    return all(any(term.meets(host) for term in mx_terms) for host in mx_hosts)


def matching_terms(
    terms: Iterable[MatchTerm], domain: str | None, mx_hosts: Sequence[str]
) -> list[MatchTerm]:
    """Return the terms that a domain or some of its MX hosts meet; arguments as above."""
    names = {
        kind: mx_hosts if kind is not MatchKind.DOMAIN_SUFFIX else [domain] if domain else []
        for kind in MatchKind
    }
    return [term for term in terms if any(map(term.meets, names[term.kind]))]


def normal_host(name: str) -> str:
    """Return a host as terms are compared with it."""
    return name.lower().removesuffix(".")


def normal_section_name(name: str) -> str:
    """Return the form in which a domain section is found: that of queues, ports included.

    What is no domain, such as the name of an internal queue, stays as it is.
    """
    try:
        host, port = split_port(name)
        normal = normal_domain(host)
    except ValueError:
        return name
    return normal if port is None else f"{normal}:{port}"


def domain_for_providers(routing_domain: str) -> str | None:
    """Return the domain that providers are matched with; None for what is no domain."""
    try:
        normal = normal_domain(split_port(routing_domain)[0])
    except ValueError:
        return None
    return None if normal.startswith("[") else normal
