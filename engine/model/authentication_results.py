"""What checks of a message found, as the header field Authentication-Results tells it.

Place in flow: checks make ``AuthenticationResult``; scripts hand them to
``msg.add_authentication_results`` and read those of others through ``engine.model.mime_headers``.

Invariants:
    * What is written reads back as the same results.
    * No text of a message ends a value, a comment or the field.

Standard: RFC 8601, 2.2. Methods and results are not checked against the registry: new ones come.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.model.address_list import strip_comments
from engine.model.header_encoding import clean_value

RESULTS_MAX = 200
_TEXT_MAX = 65_536
_KEYWORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?")
#: A property: its type, a dot, its name.
_PROPERTY = re.compile(r"[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64})?")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9!#$%&'*+./^_`{|}~@:-]+")
_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"=;]+)|([=;])|\s+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class AuthenticationResult:
    """What one method said.

    Attributes:
        method: Such as ``dkim`` or ``spf``.
        result: Such as ``pass`` or ``none``.
        reason: Text for people, or None.
        props: What was looked at, such as ``{"header.d": "example.com"}``.
        method_version: Of the method, where it is not 1.
    """

    method: str
    result: str
    reason: str | None = None
    props: dict[str, str] = field(default_factory=dict)
    method_version: int | None = None


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """One header field: who checked, and what was found."""

    serv_id: str
    results: list[AuthenticationResult] = field(default_factory=list)
    version: int | None = None


def to_result(value: Any) -> AuthenticationResult:
    """Return what a script gives as a result: one, or a mapping of the same shape.

    Raises:
        ValueError: A word of it could not stand in the header.
        TypeError: It has no method or no result.
    """
    if isinstance(value, Mapping):
        unknown = set(value) - {"method", "result", "reason", "props", "method_version"}
        if unknown:
            raise ValueError(f"a result has no {sorted(map(str, unknown))[0]!r}")
        props = value.get("props") or {}
        if not isinstance(props, Mapping):
            raise TypeError("props: wants a dict")
        value = AuthenticationResult(
            value.get("method"),  # type: ignore[arg-type]  # checked below
            value.get("result"),  # type: ignore[arg-type]
            value.get("reason"),
            {str(name): str(text) for name, text in props.items()},
            value.get("method_version"),
        )
    if not isinstance(value, AuthenticationResult):
        raise TypeError(f"wants a result (a dict), not {type(value).__name__}")
    for name, word in (("method", value.method), ("result", value.result)):
        if not isinstance(word, str) or not _KEYWORD.fullmatch(word):
            raise ValueError(f"{name}: no keyword: {str(word)[:100]!r}")
    for name in value.props:
        if not _PROPERTY.fullmatch(name):
            raise ValueError(f"props: no name of a property: {name[:100]!r}")
    return value


def format_authentication_results(server_id: str, results: Iterable[Any]) -> str:
    """Return the value of the header field, in lines of which each is short.

    Args:
        server_id: Name of who checked.
        results: Each an ``AuthenticationResult`` or a mapping of its shape.
    """
    if not isinstance(results, Iterable) or isinstance(results, str):
        raise TypeError("results: wants a list of results")
    if not isinstance(server_id, str) or not clean_value(server_id):
        raise ValueError("server_id: wants a name")
    rows = [_format_result(to_result(value)) for value in results]
    return ";\r\n\t".join([_format_value(server_id), *(rows or ["none"])])


def _format_result(result: AuthenticationResult) -> str:
    version = f"/{int(result.method_version)}" if result.method_version else ""
    words = [f"{result.method}{version}={result.result}"]
    if result.reason:
        words.append(f"reason={_quote(result.reason)}")
    words.extend(f"{name}={_format_value(text)}" for name, text in result.props.items())
    rows = [words[0]]
    for word in words[1:]:
        is_full = len(rows[-1]) + len(word) > 74
        rows.append(word) if is_full else rows.append(f"{rows.pop()} {word}")
    return "\r\n\t".join(rows)


def _format_value(text: str) -> str:
    return text if _PLAIN_VALUE.fullmatch(text) else _quote(text)


def _quote(text: str) -> str:
    escaped = clean_value(text)[:800].replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def parse_authentication_results(text: str) -> AuthenticationResults:
    """Return the field's value taken apart; its folding is undone before.

    Raises:
        ValueError: It is none.
    """
    if len(text) > _TEXT_MAX:
        raise ValueError("the field is too long")
    head, *rows = list(_rows(strip_comments(text)))
    if not head or head[0] in ("=", ";") or len(head) > 2:
        raise ValueError("the field names nobody who checked")
    version = int(head[1]) if len(head) == 2 and head[1].isdecimal() else None
    results = [_read_result(row) for row in rows if row and row != ["none"]]
    return AuthenticationResults(head[0], results, version)


def _rows(text: str) -> Iterator[list[str]]:
    """Yield the words between semicolons; the sign ``=`` is a word of its own."""
    row: list[str] = []
    position = count = 0
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None:
            raise ValueError("a quoted string has no end")
        position = match.end()
        if match[3] == ";":
            yield row
            row = []
            count += 1
            if count > RESULTS_MAX:
                raise ValueError("too many results")
        elif match[1] is not None:
            row.append(re.sub(r"\\(.)", r"\1", match[1]))
        elif match[2] is not None or match[3] is not None:
            row.append(match[0])
    yield row


def _read_result(words: list[str]) -> AuthenticationResult:
    if len(words) % 3 or any(sign != "=" for sign in words[1::3]):
        raise ValueError(f"no result: {' '.join(words)[:100]!r}")
    method, _, version = words[0].partition("/")
    reason: str | None = None
    props: dict[str, str] = {}
    for name, value in zip(words[3::3], words[5::3], strict=True):
        if name.lower() == "reason":
            reason = value
        else:
            props[name] = value
    number = int(version) if version.isdecimal() and len(version) < 5 else None
    return AuthenticationResult(method, words[2], reason, props, number)
