"""Envelope addresses and mail domains: their grammar, their normal form, their parts.

Place in flow: ``engine.receive`` parses what clients say, ``engine.schedule`` asks for the domain
of a recipient to name its queue, ``engine.route`` normalises names before it looks them up.

Invariants:
    * ``user`` is unquoted and ``domain`` lower-case; ``email`` quotes the user where the grammar
      asks for it and keeps the domain as written. The null sender has all three empty.
    * A normal domain is lower-case, without trailing dot, in A-labels; a literal stays in brackets.

Standard: RFC 5321, 4.1.2 and 4.1.3; RFC 6531, 3.3; UTS 46 for domains beyond ASCII. Two limits are
wider than the RFC: underscores in domains (they exist), and a user part longer than 64 octets
(variable return paths need it).
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

import idna

#: 64 for the user part, 255 for the domain, and the sign between them (RFC 5321, 4.5.3.1).
_MAX_OCTETS = 320
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_DOT_STRING = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*\Z")
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*)"\Z')
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ASCII_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
_PLAIN = re.compile(
    rf"([A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]+)*)"
    rf"@({_LABEL}(?:\.{_LABEL})*)\Z"
)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class AddressError(ValueError):
    """The text is no mailbox that SMTP could carry."""


class EnvelopeAddress:
    """A sender or recipient as the envelope holds it.

    Attributes:
        user: The local part without quotes; empty for the null sender.
        domain: The domain in lower case, or an address literal in brackets.
        email: The whole address as it goes into MAIL and RCPT.
    """

    __slots__ = ("domain", "email", "user")

    user: str
    domain: str
    email: str

    def __init__(self, user: str, domain: str, email: str) -> None:
        set_ = object.__setattr__
        set_(self, "user", user)
        set_(self, "domain", domain)
        set_(self, "email", email)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an address cannot be changed ({name}); set a new one")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"an address cannot be changed ({name}); set a new one")

    def __str__(self) -> str:
        return self.email

    def __repr__(self) -> str:
        return f"<{self.email}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EnvelopeAddress) and self.email == other.email

    def __hash__(self) -> int:
        return hash(self.email)

    def __bool__(self) -> bool:
        return bool(self.email)


NULL_SENDER = EnvelopeAddress("", "", "")


def parse_address(text: str) -> EnvelopeAddress:
    """Return the mailbox that the text names.

    Args:
        text: A mailbox without angle brackets; empty text is the null sender, ``postmaster``
            needs no domain (RFC 5321, 4.1.1.3).

    Raises:
        AddressError: The text is no mailbox.
    """
    if len(text) <= _MAX_OCTETS and (plain := _PLAIN.match(text)) and len(plain[2]) <= 253:
        return EnvelopeAddress(plain[1], plain[2].lower(), text)
    if not text:
        return NULL_SENDER
    if text.lower() == "postmaster":
        return EnvelopeAddress(text, "", text)
    return _parse_unusual(text)


def _parse_unusual(text: str) -> EnvelopeAddress:
    if _UNSAFE.search(text):
        raise AddressError("an address holds no control characters")
    if len(text.encode()) > _MAX_OCTETS:
        raise AddressError(f"an address has at most {_MAX_OCTETS} octets")
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise AddressError(f"not an address: {text!r} (user@domain is expected)")
    return _joined(_unquoted(local), domain)


def _unquoted(local: str) -> str:
    if _DOT_STRING.match(local):
        return local
    quoted = _QUOTED.match(local)
    if quoted is None:
        raise AddressError(f"not a local part: {local!r}")
    return re.sub(r"\\(.)", r"\1", quoted[1])


def _joined(user: str, domain: str) -> EnvelopeAddress:
    if domain.startswith("[") and not domain.lower().startswith("[ipv6:") and ":" in domain:
        raise AddressError(f"an IPv6 literal is written [IPv6:...], not {domain!r}")
    if domain.endswith("."):
        raise AddressError(f"a domain in an address has no trailing dot: {domain!r}")
    try:
        normal_domain(domain)
    except ValueError as error:
        raise AddressError(str(error)) from error
    shown = user if _DOT_STRING.match(user) else _quote(user)
    return EnvelopeAddress(user, domain.lower(), f"{shown}@{domain}")


def _quote(user: str) -> str:
    escaped = user.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def domain_of(email: str) -> str:
    """Return the normal domain of an address that has been parsed before; empty if it has none.

    Raises:
        ValueError: What follows the last ``@`` is no domain.
    """
    domain = email.rpartition("@")[2] if "@" in email else ""
    return normal_domain(domain) if domain else ""


@lru_cache(maxsize=65536)
def normal_domain(text: str) -> str:
    """Return the one form under which a domain is queued and looked up.

    Raises:
        ValueError: The text is neither a domain nor an address literal.
    """
    if text.startswith("["):
        return _normal_literal(text)
    name = text[:-1] if text.endswith(".") else text
    if not name.isascii():
        name = _to_a_labels(name)
    if len(name) > 253 or not _ASCII_DOMAIN.match(name):
        raise ValueError(f"not a domain: {text[:100]!r}")
    return name.lower()


def _to_a_labels(name: str) -> str:
    # The IDNA tables cost time per character; no domain is longer than this.
    if len(name) > 255:
        raise ValueError("a domain has at most 255 characters")
    try:
        return idna.encode(name, uts46=True, transitional=False).decode("ascii").removesuffix(".")
    except (idna.IDNAError, UnicodeError) as error:
        raise ValueError(f"not a domain: {name[:100]!r}") from error


def _normal_literal(text: str) -> str:
    inner = text[1:-1]
    if not text.endswith("]") or "%" in inner:
        raise ValueError(f"not an address literal: {text[:300]!r}")
    try:
        if inner[:5].lower() == "ipv6:":
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.ip_address(inner)}]"
    except ValueError as error:
        raise ValueError(f"not an address literal: {text[:300]!r}") from error
