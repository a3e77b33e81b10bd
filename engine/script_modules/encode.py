"""``mta.encode``: octets as text and back, and text in other character sets.

Place in flow: exposed by ``all_modules``.

Invariants:
    * Decoding is strict: a character outside the alphabet is an error, except white space.
    * A character set is one that mail uses; codecs that are none (``idna``, ``rot13``) are refused.
"""

from __future__ import annotations

import base64
import binascii
import codecs
from collections.abc import Callable
from typing import Any

from engine.script_modules.digest import octets
from engine.script_modules.script_call import caller_budget
from policy.errors import LimitExceededError
from policy.script_api import ScriptNamespace

MODULE = "mta.encode"
#: Their time is not linear, or what they make is no text of a mail.
_NO_CHARSETS = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "oem", "mbcs"}
)
CHARACTERS_MAX = 4 * 1024 * 1024
NS_PER_CHARACTER = 30
_SPACE = bytes(range(9, 14)) + b" "


def _bounded(data: bytes | str) -> None:
    if len(data) > CHARACTERS_MAX:
        raise LimitExceededError(f"more than {CHARACTERS_MAX} characters are too many to encode")
    budget = caller_budget()
    budget.account_text(2 * len(data))
    budget.afford(len(data) * NS_PER_CHARACTER)


def _b64_decode(data: bytes) -> bytes:
    return base64.b64decode(data, validate=True)


def _b64url_decode(data: bytes) -> bytes:
    if b"+" in data or b"/" in data:
        raise ValueError("not base64url: it has no + and no /")
    return base64.b64decode(data, b"-_", validate=True)


#: Name, encoder, decoder, characters of a whole group.
_KINDS: tuple[tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes], int], ...] = (
    ("base32", base64.b32encode, base64.b32decode, 8),
    ("base32hex", base64.b32hexencode, base64.b32hexdecode, 8),
    ("base64", base64.b64encode, _b64_decode, 4),
    ("base64url", base64.urlsafe_b64encode, _b64url_decode, 4),
)


def _encoder(name: str, encode: Callable[[bytes], bytes], padded: bool) -> Callable[..., str]:
    def run(data: str | bytes) -> str:
        raw = octets(data)
        _bounded(raw)
        text = encode(raw).decode("ascii")
        return text if padded else text.rstrip("=")

    run.__name__ = name
    return run


def _decoder(
    name: str, decode: Callable[[bytes], bytes], group: int, padded: bool
) -> Callable[..., bytes]:
    kind = name.partition("_")[0]

    def run(text: str | bytes) -> bytes:
        raw = octets(text)
        _bounded(raw)
        raw = raw.translate(None, _SPACE)
        if not padded:
            if b"=" in raw:
                raise ValueError(f"not {kind} without padding: it has a =")
            raw += b"=" * (-len(raw) % group)
        try:
            return decode(raw)
        except binascii.Error as error:
            raise ValueError(f"not {kind}: {error}") from None

    run.__name__ = name
    return run


def hex_encode(data: str | bytes) -> str:
    """Return octets in hexadecimal, lower case."""
    raw = octets(data)
    _bounded(raw)
    return raw.hex()


def hex_decode(text: str | bytes) -> bytes:
    """Return the octets that hexadecimal digits stand for."""
    raw = octets(text)
    _bounded(raw)
    try:
        return binascii.unhexlify(raw)
    except binascii.Error as error:
        raise ValueError(f"not hexadecimal: {error}") from None


def _charset(name: Any) -> str:
    if not isinstance(name, str) or len(name) > 40:
        raise ValueError("a character set has a name like 'utf-8'")
    try:
        found = codecs.lookup(name)
    except LookupError:
        raise ValueError(f"unknown character set {name!r}") from None
    if found.name.replace("_", "-") in _NO_CHARSETS or not getattr(
        found, "_is_text_encoding", True
    ):
        raise ValueError(f"{name!r} is no character set")
    return found.name


def charset_encode(charset: str, text: str) -> bytes:
    """Return text in a character set.

    Raises:
        ValueError: There is no such set, or it lacks a character.
    """
    name = _charset(charset)
    if not isinstance(text, str):
        raise TypeError("wants text")
    _bounded(text)
    return text.encode(name)


def charset_decode(charset: str, data: bytes) -> str:
    """Return the text of octets in a character set; what it does not know becomes U+FFFD."""
    name = _charset(charset)
    if not isinstance(data, bytes):
        raise TypeError("wants bytes")
    _bounded(data)
    return data.decode(name, "replace")


def expose_encode(namespace: ScriptNamespace) -> None:
    """Make ``mta.encode`` importable by scripts."""
    for kind, encode, decode, group in _KINDS:
        for suffix, padded in (("", True), ("_nopad", False)):
            name = f"{kind}{suffix}_encode"
            namespace.expose(name, _encoder(name, encode, padded), module=MODULE)
            name = f"{kind}{suffix}_decode"
            namespace.expose(name, _decoder(name, decode, group, padded), module=MODULE)
    for function in (hex_encode, hex_decode, charset_encode, charset_decode):
        namespace.expose(function.__name__, function, module=MODULE)
