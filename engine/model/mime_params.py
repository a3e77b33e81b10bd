"""A value with parameters, as Content-Type and Content-Disposition have it.

Place in flow: ``engine.model.mime_headers`` reads and writes such fields with it.

Invariants:
    * Parameter names are lower-case; the first of two of one name counts.
    * Reading never fails: what is no parameter is passed by. It takes time by the length.

Standard: RFC 2045, 5.1; RFC 2231 (continuations, charsets); RFC 2047 words in parameters are
against the standard, and decoded because file names come that way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from engine.model.address_list import strip_comments
from engine.model.charset import decode_text
from engine.model.header_block import decode_words
from engine.model.header_encoding import clean_value, format_parameter

#: Characters of a field that is taken apart, and parameters in it.
TEXT_MAX = 65_536
PARAMETERS_MAX = 200
_PARAMETER = re.compile(
    r';[ \t\r\n]*([^=;"\s]+)[ \t\r\n]*=[ \t\r\n]*(?:"((?:[^"\\]|\\.)*)"|([^;]*))', re.DOTALL
)
_SECTION = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")
_VALUE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+(?:/[A-Za-z0-9!#$%&'*+.^_`{|}~-]+)?")
_NAME = re.compile(r"[A-Za-z0-9!#$&+.^_`{|}~-]{1,64}")


@dataclass(frozen=True, slots=True)
class MimeParams:
    """A media type or disposition in lower case, and its parameters."""

    value: str
    parameters: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return format_mime_params(self)


def parse_mime_params(text: str) -> MimeParams:
    """Return a field value taken apart; one that is nonsense has an empty value."""
    text = text[:TEXT_MAX]
    try:
        text = strip_comments(text)
    except ValueError:
        text = text.partition("(")[0]
    value, _, _ = text.partition(";")
    value = "".join(value.split()).lower()
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[str, bool]]] = {}
    for number, match in enumerate(_PARAMETER.finditer(text)):
        if number >= PARAMETERS_MAX:
            break
        raw = (
            re.sub(r"\\(.)", r"\1", match[2])
            if match[2] is not None
            else match[3].strip(' \t\r\n"')
        )
        section = _SECTION.fullmatch(match[1].lower())
        if section is None:
            continue
        name, index, is_extended = section[1], section[2], section[3] is not None
        if index is None and not is_extended:
            plain.setdefault(name, decode_words(raw) if "=?" in raw else raw)
        else:
            pieces.setdefault(name, {}).setdefault(int(index or 0), (raw, is_extended))
    # The extended form of a parameter counts before the plain one (RFC 6266, 4.3).
    extended = {name: _join(parts) for name, parts in pieces.items()}
    return MimeParams(value, {**plain, **extended})


def _join(parts: dict[int, tuple[str, bool]]) -> str:
    """Return the value of a parameter that came in sections, up to the first that is missing."""
    charset, octets = "utf-8", bytearray()
    for index in range(len(parts)):
        if index not in parts:
            break
        raw, is_extended = parts[index]
        if is_extended and index == 0 and raw.count("'") >= 2:
            charset, _, raw = raw.split("'", 2)
        octets += unquote_to_bytes(raw) if is_extended else raw.encode("utf-8", "replace")
    return decode_text(bytes(octets), charset)


def format_mime_params(params: MimeParams) -> str:
    """Return the field value, each parameter quoted or encoded as it needs.

    Raises:
        ValueError: The value or the name of a parameter is none.
    """
    if not _VALUE.fullmatch(params.value):
        raise ValueError(f"no media type or disposition: {params.value[:100]!r}")
    out = [params.value]
    for name, value in params.parameters.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"no name of a parameter: {name[:100]!r}")
        out.extend(_sections(name, clean_value(value)))
    return "; ".join(out)


def _sections(name: str, value: str) -> list[str]:
    """Return a parameter, in sections where it would make too long a line (RFC 2231, 3)."""
    whole = format_parameter(name, value)
    if len(whole) <= 500:
        return [whole]
    out: list[str] = []
    position = 0
    while position < len(value):
        piece = value[position : position + 40]
        position += 40
        quoted = "".join(
            chr(octet) if chr(octet).isalnum() and octet < 128 else f"%{octet:02X}"
            for octet in piece.encode()
        )
        lead = "utf-8''" if not out else ""
        out.append(f"{name}*{len(out)}*={lead}{quoted}")
    if len(out) > 900:
        raise ValueError(f"the parameter {name} is too long")
    return out


def to_mime_params(value: Any) -> MimeParams:
    """Return what a script gives: text, a ``MimeParams`` or a mapping of the same shape.

    Raises:
        ValueError: It has no value.
        TypeError: It is something else.
    """
    if isinstance(value, str):
        params = parse_mime_params(value)
    elif isinstance(value, MimeParams):
        params = value
    elif isinstance(value, Mapping):
        parameters = value.get("parameters") or {}
        if not isinstance(value.get("value"), str) or not isinstance(parameters, Mapping):
            raise TypeError("wants a value and parameters")
        params = MimeParams(
            value["value"].lower(), {str(k).lower(): str(v) for k, v in parameters.items()}
        )
    else:
        raise TypeError(f"wants text or parameters, not {type(value).__name__}")
    if not _VALUE.fullmatch(params.value):
        raise ValueError(f"no media type or disposition: {params.value[:100]!r}")
    return params
