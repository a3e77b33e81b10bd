"""The parts of a report about a message (multipart/report), and the blocks of fields in them.

Place in flow: ``engine.model.delivery_report`` and ``engine.model.feedback_report`` read them.

Invariants:
    * Nothing here raises for what a report holds: what cannot be read is left out.
    * Blocks and fields are bounded.

Standard: RFC 6522 (multipart/report).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from engine.model.header_block import decode_value
from engine.model.mime_headers import split_headers
from engine.model.mime_parse import parse
from engine.model.mime_part import MimePart

BLOCKS_MAX = 1_000
_ORIGINALS = frozenset(
    {"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"}
)
_BLANK_LINES = re.compile(rb"(?:\r?\n)(?:[ \t]*\r?\n)+")

#: The fields of a block by their names in lower case, in order.
Block = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Report:
    """What a multipart/report consists of."""

    blocks: list[Block]
    original: bytes | None


def read_report(content: bytes, kinds: Iterable[str]) -> Report | None:
    """Return the report that a message is, or None if it is none.

    Args:
        content: The message.
        kinds: Media types of the part that holds the fields.
    """
    try:
        root = parse(content)
    except ValueError:
        return None
    if root._type.value != "multipart/report":
        return None
    wanted = frozenset(kinds)
    fields = next((part for part in root.parts if part._type.value in wanted), None)
    if fields is None:
        return None
    original = next((part for part in root.parts if part._type.value in _ORIGINALS), None)
    return Report(_read_blocks(fields._octets), None if original is None else _octets(original))


def _octets(part: MimePart) -> bytes:
    return part._octets


def _read_blocks(octets: bytes) -> list[Block]:
    blocks = []
    for text in _BLANK_LINES.split(octets.strip(b"\r\n \t"), BLOCKS_MAX)[:BLOCKS_MAX]:
        block = _read_block(text + b"\r\n")
        if block:
            blocks.append(block)
    return blocks


def _read_block(text: bytes) -> Block:
    block: Block = {}
    try:
        fields, _, _ = split_headers(text, is_part=False)
    except ValueError:
        return block
    for field in fields:
        if field.name:
            value = decode_value(field._raw.partition(b":")[2].rstrip(b"\r\n"))
            block.setdefault(field.name.lower(), []).append(value)
    return block


def typed(value: str) -> tuple[str, str]:
    """Return the two parts of a value such as ``rfc822; user@example.com``."""
    kind, sign, rest = value.partition(";")
    return (kind.strip().lower(), rest.strip()) if sign else ("", value.strip())


def without_brackets(address: str) -> str:
    """Return an address without the angle brackets that some put around it."""
    return address[1:-1].strip() if address[:1] == "<" and address[-1:] == ">" else address


def read_date(value: str | None) -> str | None:
    """Return a date as RFC 3339 in UTC; None for one that cannot be read."""
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value[:200])
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def original_text(original: bytes | None) -> str | None:
    """Return the message a report is about as text, with LF line ends."""
    if original is None:
        return None
    return original.decode("utf-8", "replace").replace("\r\n", "\n")
