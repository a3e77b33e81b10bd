"""Octets of a body as lines that any mail system carries, and back.

Place in flow: called by whatever puts a body together or takes it apart:
``engine.receive.injection_content``, ``engine.receive.message_repair``,
``engine.model.mime_part``.

Invariants:
    * Decoding never fails: what is no code is passed by.
    * No encoded line begins with two dashes, so none is the boundary of a multipart.

Standard: RFC 2045, 6.7 (quoted-printable) and 6.8 (base64); RFC 5322, 2.1.1 (line length).
"""

from __future__ import annotations

import base64
import binascii
import re

LINE_MAX = 998
_IDENTITIES = frozenset({"", "7bit", "8bit", "binary"})
_UNFIT = re.compile(rb"\x00|\r(?!\n)|(?<!\r)\n|[^\r\n]{%d}" % (LINE_MAX + 1))
_DASHES = re.compile(rb"^--(?=([^\n]*))", re.MULTILINE)
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)


def base64_lines(data: bytes) -> bytes:
    """Return octets as base64 in lines of 76."""
    text = base64.b64encode(data)
    return b"".join(text[i : i + 76] + b"\r\n" for i in range(0, len(text), 76))


def quoted_printable_lines(text: bytes) -> bytes:
    """Return text with CRLF line ends in quoted-printable, with CRLF line ends."""
    # The library takes its line ends from the first it finds: a text of one line has none.
    quoted = binascii.b2a_qp(text.replace(b"\r\n", b"\n"), istext=True)
    return quoted.replace(b"\n", b"\r\n")


def is_identity(encoding: str) -> bool:
    """Return whether a transfer encoding leaves octets as they are."""
    return encoding in _IDENTITIES


def is_fit(octets: bytes) -> bool:
    """Return whether octets go over any wire as they are."""
    return octets.isascii() and _UNFIT.search(octets) is None


def encode_transfer(octets: bytes, *, is_text: bool, prefer: str = "") -> tuple[bytes, str]:
    """Return octets fit for any wire, and the name of the encoding they are in.

    Args:
        octets: A body; text has CRLF line ends.
        is_text: Whether its line ends are line ends and may be read by people.
        prefer: The encoding to stay with, if it can hold the octets.
    """
    if not is_text:
        return base64_lines(octets), "base64"
    if prefer == "base64":
        return base64_lines(octets), prefer
    is_plain = is_fit(octets) and _DASHES.search(octets) is None
    if is_plain and prefer != "quoted-printable":
        return octets, "7bit"
    quoted = None
    if _UNFIT_AS_QUOTED.search(octets) is None:
        quoted = _without_boundaries(quoted_printable_lines(octets))
    if quoted is None or (not prefer and len(quoted) > 2 * len(octets)):
        # Mostly beyond ASCII: quoting every octet would be longer and no more readable.
        return base64_lines(octets), "base64"
    return quoted, "quoted-printable"


#: A line end that is none of text: quoting would turn it into one.
_UNFIT_AS_QUOTED = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def _without_boundaries(quoted: bytes) -> bytes | None:
    """Return quoted-printable of which no line begins with two dashes; None if it cannot be."""
    for match in _DASHES.finditer(quoted):
        if len(match[1].rstrip(b"\r")) + 4 > 76:
            return None
    return _DASHES.sub(b"=2D-", quoted)


def decode_transfer(octets: bytes, encoding: str) -> bytes:
    """Return the octets that an encoded body stands for.

    Args:
        octets: The body.
        encoding: Name of its encoding in lower case; unknown ones leave it as it is.
    """
    if encoding == "base64":
        return _from_base64(octets)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(octets)
    return octets


def _from_base64(octets: bytes) -> bytes:
    try:
        return binascii.a2b_base64(octets)
    except binascii.Error:
        code = octets.translate(None, _NOT_BASE64)
        code = code[: len(code) - (len(code) % 4 == 1)]
        return binascii.a2b_base64(code + b"=" * (-len(code) % 4))
