"""Charsets that mail may name: which are known, text out of them and into them.

Place in flow: ``engine.model.mime_part`` asks for bodies, ``engine.model.conformance`` for octets
that say nothing about themselves.

Invariants:
    * Decoding never fails: what has no meaning becomes the replacement character.
    * Only codecs that take time by the length of the text, and are charsets at all, are known.

Standard: RFC 2045, 5.2 and RFC 6657 (defaults of text).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from functools import lru_cache

UTF_8 = "utf-8"
_HALF = re.compile("[\ud800-\udfff]")
#: What 8-bit text without a label is tried as, in this order.
GUESSES = (UTF_8, "windows-1252", "iso-8859-1")
#: Codecs of the library that are no charsets, or slow on hostile input.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
)


@lru_cache(maxsize=256)
def codec_of(charset: str) -> str | None:
    """Return the name under which Python knows a charset, or None."""
    if len(charset) > 64 or not charset.isascii():
        return None
    try:
        codec = codecs.lookup(charset.strip())
        is_text = isinstance(b"a".decode(codec.name, "replace"), str)
    except (LookupError, ValueError):
        return None
    if not is_text or codec.name.replace("-", "_") in _NO_CHARSETS:
        return None
    return codec.name


def decode_text(octets: bytes, charset: str | None) -> str:
    """Return octets as text; without a known charset they are taken for UTF-8."""
    codec = codec_of(charset) if charset else None
    if codec is None or codec == "ascii":
        codec = UTF_8
    try:
        text = octets.decode(codec, "replace")
    except (LookupError, ValueError):
        return octets.decode(UTF_8, "replace")
    return text if codec == UTF_8 else without_halves(text)


def without_halves(text: str) -> str:
    """Return text without halves of surrogate pairs: UTF-7 has them, and nothing can store them."""
    return text if text.isascii() else _HALF.sub("\ufffd", text)


def encode_text(text: str, charset: str | None) -> tuple[bytes, str]:
    """Return text as octets and the charset they are in: the one asked for, if the text fits it."""
    codec = codec_of(charset) if charset else None
    if charset is not None and codec is not None:
        try:
            octets = text.encode(codec)
        except (LookupError, ValueError):
            pass
        else:
            # What does not read back (stateful, or with a byte order mark) is not worth keeping.
            if decode_text(octets, charset) == text:
                return octets, charset
    return text.encode(UTF_8, "replace"), UTF_8


def guess_charset(octets: bytes, include: Iterable[str], exclude: Iterable[str]) -> str | None:
    """Return the first charset that the octets fit wholly, or None.

    Args:
        octets: Text in an unknown charset.
        include: What to try, in order; the usual ones if empty.
        exclude: What not to try.
    """
    unwanted = {codec_of(name) for name in exclude}
    for name in tuple(include) or GUESSES:
        codec = codec_of(name)
        if codec is None or codec in unwanted:
            continue
        try:
            octets.decode(codec)
        except (LookupError, ValueError):
            continue
        return name
    return None
