"""The trace fields a message gets at reception: Received, and the supplemental one.

Place in flow: ``engine.receive.admission`` puts them in front of the content.

Invariants:
    * Text of a client is stripped of everything that could end a comment, a line or the field.
    * ``for`` is only written for a message with one recipient: it must not tell of others.

Standard: RFC 5321 section 4.4, RFC 3848 (with-protocol types).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

import msgspec

_UNSAFE = re.compile(r"[^\x21-\x27\x2a-\x5b\x5d-\x7e]+")
#: Octets of base64 on a line of the supplemental field.
_FOLD_AT = 75
#: Marks our JSON among what others may put into a field of the same name.
_MARKER = {"_@_": "\\_/"}

_date_second = -1
_date_text = ""


def format_date(wall_s: float) -> str:
    """Return an RFC 5322 date in UTC; formatted once a second."""
    global _date_second, _date_text
    second = int(wall_s)
    if second != _date_second:
        _date_second, _date_text = (
            second,
            formatdate(second, usegmt=False).replace("-0000", "+0000"),
        )
    return _date_text


def clean(text: str) -> str:
    """Return a client's text fit to stand in a trace field."""
    return _UNSAFE.sub("?", text)[:255]


def format_received(
    *,
    client: str,
    peer_ip: str,
    hostname: str,
    own_ip: str,
    protocol: str,
    tls: str,
    spool_id: str,
    recipient: str | None,
    wall_s: float,
) -> bytes:
    """Return a Received field.

    Args:
        client: What the client called itself, already cleaned.
        peer_ip: Its address.
        hostname: Our name.
        own_ip: Our address.
        protocol: ESMTP, ESMTPS, ESMTPSA, ...
        tls: ``(version:cipher)`` or empty.
        spool_id: The message's id.
        recipient: The only recipient, or None.
        wall_s: When it came, seconds since the Unix epoch.
    """
    target = f"\r\n for <{recipient}>" if recipient else ""
    security = f" {tls}" if tls else ""
    return (
        f"Received: from {client} ({peer_ip})\r\n by {hostname} (Cirrus {own_ip})\r\n"
        f" with {protocol}{security} id {spool_id}{target}; {format_date(wall_s)}\r\n"
    ).encode()


def format_supplemental(
    name: str, recipients: list[str], meta: Mapping[str, Any], meta_names: tuple[str, ...]
) -> bytes:
    """Return the supplemental field: base64 of JSON, folded."""
    value: dict[str, Any] = dict(_MARKER)
    value["recipient"] = recipients[0] if len(recipients) == 1 else recipients
    for key in meta_names:
        if key in meta:
            value[key] = meta[key]
    text = base64.b64encode(msgspec.json.encode(value)).decode()
    rows = [text[i : i + _FOLD_AT] for i in range(0, len(text), _FOLD_AT)]
    return (f"{name}: " + "\r\n\t".join(rows) + "\r\n").encode()
