"""Addresses in header fields: mailboxes, groups and what people write instead.

Place in flow: ``engine.model.mime_headers`` reads and writes address fields with it, and through
it whatever a script asks of From, To and Cc.

Invariants:
    * Comments and folding are no part of a name or an address; quotes and backslashes are undone.
    * Names are decoded (RFC 2047) after the structure is known: an encoded comma divides nothing.
    * Reading takes time by the length of the text.

Standard: RFC 5322, 3.4 and the obsolete forms of 4.4 (routes, empty elements); RFC 6532.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from engine.model.address import parse_address
from engine.model.header_block import decode_words
from engine.model.header_encoding import clean_value, format_mailbox, format_phrase

#: Characters of a field that is taken apart, and mailboxes in it.
#: Some thousand addresses. More would take too long: senders choose what stands in a header.
TEXT_MAX = 1 << 17
MAILBOXES_MAX = 10_000
_COMMENT_DEPTH_MAX = 50
_TOKEN = re.compile(
    r"(?P<blank>[ \t\r\n]+)"
    r'|"(?P<quoted>(?:[^"\\]|\\.)*)"'
    r"|(?P<literal>\[(?:[^\[\]\\]|\\.)*\])"
    r"|(?P<special>[<>,;:@])"
    # A comma in an encoded word of a name is against RFC 2047, 5 (3), and common.
    r"|(?P<word>=\?[^?\s]{1,64}\?[bBqQ]\?[^?\s]*\?=)"
    r'|(?P<text>[^ \t\r\n"\[<>,;:@()]+)',
    re.DOTALL,
)
_PAIR = re.compile(r"\\(.)", re.DOTALL)
_IN_COMMENT = re.compile(r"[^()\\]+|\\.|[()]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class AddrSpec:
    """The address of a mailbox: what stands before and after the sign.

    Attributes:
        local_part: Without quotes.
        domain: As written.
    """

    local_part: str
    domain: str

    @property
    def email(self) -> str:
        """Return the address with quotes where the grammar asks for them."""
        try:
            # Quoted first: the local part may hold whatever quotes allow.
            escaped = self.local_part.replace("\\", "\\\\").replace('"', '\\"')
            return parse_address(f'"{escaped}"@{self.domain}').email
        except ValueError:
            return f"{self.local_part}@{self.domain}" if self.domain else self.local_part

    def __str__(self) -> str:
        return self.email


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address with its display name, which is empty where there is none."""

    name: str
    address: AddrSpec

    def __str__(self) -> str:
        return f"{format_phrase(self.name)} <{self.address}>" if self.name else str(self.address)


@dataclass(frozen=True, slots=True)
class Group:
    """Mailboxes under one name; often none, as in ``undisclosed-recipients:;``."""

    name: str
    entries: tuple[Mailbox, ...]

    def __str__(self) -> str:
        return f"{format_phrase(self.name)}: {', '.join(map(str, self.entries))};"


Address = Mailbox | Group


def parse_address_list(text: str) -> list[Address]:
    """Return the mailboxes and groups of an address field, its folding undone.

    Raises:
        ValueError: The text is no list of addresses.
    """
    return _Reader(text).read_list()


def parse_mailbox_list(text: str) -> list[Mailbox]:
    """Return the mailboxes of an address field.

    Raises:
        ValueError: The text is no list of mailboxes, or holds a group.
    """
    found = parse_address_list(text)
    mailboxes = [entry for entry in found if isinstance(entry, Mailbox)]
    if len(mailboxes) != len(found):
        raise ValueError("a group stands where mailboxes are expected")
    return mailboxes


def flatten(addresses: Iterable[Address]) -> list[Mailbox]:
    """Return the mailboxes of a list, those of groups included."""
    found: list[Mailbox] = []
    for entry in addresses:
        found.extend(entry.entries if isinstance(entry, Group) else (entry,))
    return found


def strip_comments(text: str) -> str:
    """Return a structured value without its comments; quoted strings stay."""
    if "(" not in text:
        return text
    out: list[str] = []
    position = 0
    for start, end in _comments(text):
        out.append(text[position:start])
        position = end
    out.append(text[position:])
    return " ".join(part for part in map(str.strip, out) if part)


_UP_TO_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|\(|[^"(]+|"', re.DOTALL)


def _comments(text: str) -> Iterator[tuple[int, int]]:
    position = 0
    while (match := _UP_TO_COMMENT.match(text, position)) is not None:
        position = match.end()
        if match[0] == '"':
            raise ValueError("a quoted string has no end")
        if match[0] == "(":
            start, position = position - 1, _comment_end(text, position)
            yield start, position


def _comment_end(text: str, position: int) -> int:
    """Return where a comment ends whose first parenthesis has been read."""
    depth = 1
    while depth:
        match = _IN_COMMENT.match(text, position)
        if match is None:
            raise ValueError("a comment has no end")
        position = match.end()
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth > _COMMENT_DEPTH_MAX:
            raise ValueError("comments are nested too deeply")
    return position


class _Reader:
    """Reads one field: tokens into words, words into addresses."""

    def __init__(self, text: str) -> None:
        if len(text) > TEXT_MAX:
            raise ValueError("the list of addresses is too long")
        self._tokens = list(_tokens(text))
        self._at = 0

    def read_list(self) -> list[Address]:
        found: list[Address] = []
        while self._at < len(self._tokens):
            entry = self._read_address()
            if entry is not None:
                found.append(entry)
            if len(found) > MAILBOXES_MAX:
                raise ValueError("too many addresses")
        return found

    def _read_address(self) -> Address | None:
        """Return the next address, its comma taken; None for an empty element."""
        words = self._words()
        sign = self._take()
        if sign == ":" and words:
            return self._read_group(_phrase(words))
        mailbox = self._finish_mailbox(words, sign)
        if self._last not in (",", ";", ""):
            raise ValueError(f"an address is followed by {self._last!r}")
        return mailbox

    def _read_group(self, name: str) -> Group:
        entries: list[Mailbox] = []
        while True:
            mailbox = self._finish_mailbox(self._words(), self._take())
            if mailbox is not None:
                entries.append(mailbox)
            if self._last in (";", ""):
                break
            if self._last != ",":
                raise ValueError(f"an address is followed by {self._last!r}")
        if self._words():
            raise ValueError("a group is followed by text")
        if self._take() not in (",", ";", ""):
            raise ValueError("a group is followed by no comma")
        return Group(name, tuple(entries))

    def _finish_mailbox(self, words: list[_Word], sign: str) -> Mailbox | None:
        """Return the mailbox that begins with these words; ``_last`` is what follows it."""
        self._last = sign
        if sign == "<":
            return self._read_angle(_phrase(words))
        if sign == "@":
            if not words:
                raise ValueError("an address has nothing before its @")
            return self._with_domain("", _local_part(words))
        if words:
            raise ValueError(f"no address: {_phrase(words)[:100]!r}")
        return None

    def _read_angle(self, name: str) -> Mailbox:
        words = self._words()
        sign = self._take()
        if not words and sign == "@":
            # An obsolete route: everything up to its colon says nothing.
            while sign not in (":", ">", ""):
                self._words()
                sign = self._take()
            words = self._words()
            sign = self._take()
        if sign == ">" and not words:
            mailbox = Mailbox(name, AddrSpec("", ""))
        elif sign == "@" and words:
            mailbox = self._with_domain(name, _local_part(words))
            if self._last != ">":
                raise ValueError("an address in angle brackets has no end")
        else:
            raise ValueError("no address in angle brackets")
        if self._words():
            raise ValueError("text follows an address")
        self._last = self._take()
        return mailbox

    def _with_domain(self, name: str, local_part: str) -> Mailbox:
        words = self._words()
        if not words:
            raise ValueError("an address has nothing after its @")
        domain = "".join(word.text for word in words)
        self._last = self._take()
        return Mailbox(name, AddrSpec(local_part, domain))

    def _words(self) -> list[_Word]:
        start = self._at
        tokens = self._tokens
        while self._at < len(tokens) and not tokens[self._at].is_special:
            self._at += 1
        return tokens[start : self._at]

    def _take(self) -> str:
        """Return the next special character; empty at the end."""
        if self._at >= len(self._tokens):
            return ""
        self._at += 1
        return self._tokens[self._at - 1].text


class _Word(NamedTuple):
    text: str
    is_quoted: bool = False
    is_special: bool = False
    has_gap: bool = False


def _tokens(text: str) -> Iterator[_Word]:
    position, has_gap = 0, False
    while position < len(text):
        if text[position] == "(":
            position, has_gap = _comment_end(text, position + 1), True
            continue
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"{text[position]!r} has no counterpart")
        position = match.end()
        kind = match.lastgroup
        if kind == "blank":
            has_gap = True
            continue
        value = match[kind or 0]
        if kind == "quoted":
            value = _PAIR.sub(r"\1", value.replace("\r\n", ""))
        yield _Word(value, kind == "quoted", kind == "special", has_gap)
        has_gap = False


def _phrase(words: list[_Word]) -> str:
    """Return words as a display name."""
    out: list[str] = []
    for index, word in enumerate(words):
        if index and word.has_gap:
            out.append(" ")
        out.append(word.text)
    # Encoded words in quotes are against RFC 2047, 5 (3); readers decode them all the same.
    return decode_words("".join(out))


def _local_part(words: list[_Word]) -> str:
    if any(word.has_gap for word in words[1:]) and not any(word.is_quoted for word in words):
        joined = "".join(word.text for word in words)
        if not all(
            left.text.endswith(".") or right.text.startswith(".") for left, right in pairwise(words)
        ):
            raise ValueError(f"no address: {joined[:100]!r}")
    return "".join(word.text for word in words)


# -- writing ------------------------------------------------------------------------------------


def format_address_list(value: Any) -> str:
    """Return what a script gives as addresses as they stand in a header.

    Args:
        value: Text (kept as an address list, its names encoded), one address, or a list; an
            address is text, a ``Mailbox``, a ``Group``, or a mapping of the same shape.

    Raises:
        ValueError: There is no address in it.
        TypeError: It is something else.
    """
    return ", ".join(_format(entry) for entry in to_addresses(value))


def to_addresses(value: Any) -> list[Address]:
    """Return what a script gives as addresses; see ``format_address_list``."""
    if isinstance(value, str):
        return parse_address_list(value)
    if isinstance(value, Mailbox | Group):
        return [value]
    if isinstance(value, Mapping):
        return [_from_mapping(value)]
    if isinstance(value, list | tuple):
        found: list[Address] = []
        for entry in value:
            if isinstance(entry, list | tuple):
                raise TypeError("a list of addresses holds no lists")
            found.extend(to_addresses(entry))
        return found
    email = getattr(value, "email", None)
    if isinstance(email, str):
        return parse_address_list(email)
    raise TypeError(f"wants addresses, not {type(value).__name__}")


def _from_mapping(value: Mapping[str, Any]) -> Address:
    name = value.get("name") or ""
    if not isinstance(name, str):
        raise TypeError("the name of an address is text")
    if "entries" in value:
        return Group(name, tuple(flatten(to_addresses(list(value["entries"])))))
    address = value.get("address", value.get("email"))
    if isinstance(address, Mapping):
        address = AddrSpec(str(address["local_part"]), str(address["domain"]))
    elif isinstance(address, str):
        (mailbox,) = parse_mailbox_list(address) or (None,)
        if mailbox is None:
            raise ValueError("no address")
        address = mailbox.address
    if not isinstance(address, AddrSpec):
        raise TypeError("an address has a name and an address")
    return Mailbox(name, address)


def _format(entry: Address) -> str:
    if isinstance(entry, Group):
        inner = ", ".join(_format(mailbox) for mailbox in entry.entries)
        return f"{format_phrase(clean_value(entry.name))}: {inner};"
    if not entry.address.local_part and not entry.address.domain:
        raise ValueError("an address is expected")
    return format_mailbox(entry.name, entry.address.email)
