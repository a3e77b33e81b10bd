"""Content as it goes over the wire after DATA.

Place in flow: ``engine.deliver.dispatcher`` makes it once for a message, ``smtp_transaction`` sends
it.

Invariants: every line ends with CRLF and no bare CR or LF is left; a line that begins with a dot
gets another one; the end is CRLF.CRLF, once.

Standard: RFC 5321, 2.3.8 and 4.5.2.
"""

from __future__ import annotations

import re

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


def stuff_dots(content: bytes) -> bytes:
    """Return content ready for DATA: CRLF line ends, transparent dots, the final dot."""
    pairs = content.count(b"\r\n")
    if content.count(b"\n") != pairs or content.count(b"\r") != pairs:
        content = _BARE.sub(b"\r\n", content)
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    if content.endswith(b"\r\n") or not content:
        return content + b".\r\n"
    return content + b"\r\n.\r\n"


def ready_content(prefix: bytes, body: bytes, *, is_wire_ready: bool) -> bytes:
    """Return a message ready for DATA.

    Args:
        prefix: The header fields in front of the body.
        body: The rest.
        is_wire_ready: The body is known to need no change (``FLAG_WIRE_READY``).
    """
    if not is_wire_ready:
        return stuff_dots(prefix + body)
    head = stuff_dots(prefix)[:-3] if prefix else b""
    return b"".join((head, body, b".\r\n"))
