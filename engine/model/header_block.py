"""Header fields of a message, read and changed in place of the bytes they are.

Place in flow: ``engine.script_headers`` reads and edits for handlers,
``engine.records.record_selection`` reads for log records. Only the lines of the field concerned
are touched; all other octets stay as they came.

Standard: RFC 5322 sections 2.2 and 3.6; RFC 2047.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from email.header import Header
from functools import lru_cache

from engine.model.charset import codec_of, decode_text

#: The most octets of a header line that is not broken by us (RFC 5322, 2.1.1, less CRLF).
_FOLD_AT = 75
_FOLDING = re.compile(r"\r?\n[ \t]+")
_NAME = re.compile(rb"([!-9;-~]+)[ \t]*:")
#: Charset, encoding, text. Each class stops at the next question mark: linear in the text.
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,64})\?([bBqQ])\?([^?]*)\?=")
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def header_end(content: bytes) -> int:
    """Return where the header block ends: the index of its last CRLF's end."""
    if content.startswith(b"\r\n"):
        return 0
    end = content.find(b"\r\n\r\n")
    return len(content) if end < 0 else end + 2


@lru_cache(maxsize=512)
def _pattern(name: str) -> re.Pattern[bytes]:
    escaped = re.escape(name.encode("utf-8", "surrogateescape"))
    return re.compile(
        rb"(?:\A|(?<=\r\n))" + escaped + rb"[ \t]*:((?:[^\r\n]|\r\n[ \t]|\r(?!\n)|(?<!\r)\n)*)",
        re.IGNORECASE,
    )


def find_first(content: bytes, name: str) -> bytes | None:
    """Return the raw value of the first field of this name, or None."""
    match = _pattern(name).search(content, 0, header_end(content))
    return match[1] if match else None


def find_all(content: bytes, name: str) -> list[bytes]:
    """Return the raw values of all fields of this name, in order."""
    end = header_end(content)
    return [match[1] for match in _pattern(name).finditer(content, 0, end)]


def iter_fields(content: bytes) -> Iterator[tuple[str, bytes, int, int]]:
    """Yield ``(name, raw value, start, end)`` of each field; other lines are passed by."""
    end = header_end(content)
    position = 0
    while position < end:
        stop = _field_end(content, position, end)
        match = _NAME.match(content, position, stop)
        if match is not None:
            value = content[match.end() : stop]
            yield match[1].decode("ascii"), value.removesuffix(b"\r\n"), position, stop
        position = stop


def _field_end(content: bytes, position: int, end: int) -> int:
    while True:
        newline = content.find(b"\r\n", position, end)
        if newline < 0:
            return end
        position = newline + 2
        if position >= end or content[position] not in b" \t":
            return position


def decode_value(raw: bytes) -> str:
    """Return a raw field value unfolded and decoded (RFC 2047; UTF-8, else replaced)."""
    text = _FOLDING.sub(" ", raw.decode("utf-8", "replace")).strip()
    return decode_words(text) if "=?" in text else text


def decode_words(text: str) -> str:
    """Return text with its encoded words decoded (RFC 2047); one that cannot be stays as it is.

    Not by the standard library: its pattern takes time by the square of the text's length.
    """
    pieces: list[tuple[bytearray, str]] = []
    position = 0
    for match in _ENCODED_WORD.finditer(text):
        charset = match[1].partition("*")[0].lower()
        octets = _decode_word(match[2], match[3]) if codec_of(charset) else None
        if octets is None:
            continue
        gap = text[position : match.start()]
        position = match.end()
        # Blanks between two encoded words are no part of the text (RFC 2047, 6.2).
        if gap and not (gap.isspace() and pieces and pieces[-1][1]):
            pieces.append((bytearray(gap, "utf-8"), ""))
        if pieces and pieces[-1][1] == charset:
            # A character may have been cut in two by the end of a word.
            pieces[-1][0].extend(octets)
        else:
            pieces.append((bytearray(octets), charset))
    done = "".join(decode_text(bytes(octets), charset) for octets, charset in pieces)
    return done + text[position:]


def _decode_word(encoding: str, text: str) -> bytes | None:
    try:
        if encoding in "bB":
            return binascii.a2b_base64(text.rstrip("=") + "==")
        return binascii.a2b_qp(text.encode(), header=True)
    except ValueError:
        return None


def remove_all(content: bytes, names: set[str]) -> bytes:
    """Return the content without the fields of these names (given in lower case)."""
    keep: list[bytes] = []
    position = 0
    for name, _, start, stop in iter_fields(content):
        if name.lower() in names:
            keep.append(content[position:start])
            position = stop
    if not keep:
        return content
    keep.append(content[position:])
    return b"".join(keep)


def format_field(name: str, value: str, *, encode: bool = False) -> bytes:
    """Return a header field with its CRLF.

    Args:
        name: Field name.
        value: Its value; line breaks in it must be foldings.
        encode: Encode what is not ASCII (RFC 2047) and fold.

    Raises:
        ValueError: The name or value would break the header.
    """
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError("the name and the value of a header field are text")
    raw_name = name.encode("utf-8", "replace")
    if not _NAME.fullmatch(raw_name + b":") or raw_name[-1:] in b" \t":
        raise ValueError(f"{name!r} is no header field name")
    flat = _FOLDING.sub(" ", value)
    if _UNSAFE.search(flat):
        raise ValueError(f"the value of {name} holds control characters")
    if encode:
        charset = "ascii" if flat.isascii() else "utf-8"
        text = Header(flat, charset, maxlinelen=_FOLD_AT, header_name=name).encode(linesep="\r\n")
    else:
        text = value.replace("\r\n", "\n").replace("\n", "\r\n")
    return raw_name + b": " + text.encode("utf-8", "surrogateescape") + b"\r\n"
