"""Octets of a body as lines that any mail system carries.

Place in flow: called by whatever puts a body together: ``engine.receive.injection_content``,
``engine.receive.message_repair``, ``engine.model.mime_part``.

Standard: RFC 2045, 6.7 (quoted-printable) and 6.8 (base64).
"""

from __future__ import annotations

import base64
import binascii


def base64_lines(data: bytes) -> bytes:
    """Return octets as base64 in lines of 76."""
    text = base64.b64encode(data)
    return b"".join(text[i : i + 76] + b"\r\n" for i in range(0, len(text), 76))


def quoted_printable_lines(text: bytes) -> bytes:
    """Return text with CRLF line ends in quoted-printable, with CRLF line ends."""
    # The library takes its line ends from the first it finds: a text of one line has none.
    quoted = binascii.b2a_qp(text.replace(b"\r\n", b"\n"), istext=True)
    return quoted.replace(b"\n", b"\r\n")
