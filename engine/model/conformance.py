"""What is wrong with the form of a message, and the message put right.

Place in flow: ``msg.check_fix_conformance`` of scripts.

Invariants:
    * Finding changes nothing. Fixing encodes what is not fit and leaves the rest octet for octet;
      a signature over what is encoded breaks, which cannot be helped.
    * Fields that are missing are made from what the caller knows, not from the clock.

Standard: RFC 5322, 2.1.1 and 3.6; RFC 2045. LINE_TOO_LONG is a line over 998 octets, which the
standard forbids, and not one over 78, which it only advises against: mail with such lines is sound
and common, and encoding it would break signatures for nothing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate

from engine.model.mime_headers import Header
from engine.model.mime_parse import parse
from engine.model.mime_part import MimePart
from engine.model.mime_rebuild import RebuildSettings, rebuild_tree

MISSING_COLON_VALUE = "MISSING_COLON_VALUE"
NON_CANONICAL_LINE_ENDINGS = "NON_CANONICAL_LINE_ENDINGS"
NAME_ENDS_WITH_SPACE = "NAME_ENDS_WITH_SPACE"
LINE_TOO_LONG = "LINE_TOO_LONG"
NEEDS_TRANSFER_ENCODING = "NEEDS_TRANSFER_ENCODING"
MISSING_DATE_HEADER = "MISSING_DATE_HEADER"
MISSING_MESSAGE_ID_HEADER = "MISSING_MESSAGE_ID_HEADER"
MISSING_MIME_VERSION = "MISSING_MIME_VERSION"
#: In the order in which they are told.
LABELS = (
    MISSING_COLON_VALUE,
    NON_CANONICAL_LINE_ENDINGS,
    NAME_ENDS_WITH_SPACE,
    LINE_TOO_LONG,
    NEEDS_TRANSFER_ENCODING,
    MISSING_DATE_HEADER,
    MISSING_MESSAGE_ID_HEADER,
    MISSING_MIME_VERSION,
)
_MISSING = {
    MISSING_DATE_HEADER: "Date",
    MISSING_MESSAGE_ID_HEADER: "Message-ID",
    MISSING_MIME_VERSION: "MIME-Version",
}
_BARE_LINE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_LONG_LINE = re.compile(rb"[^\r\n]{999}")
_SPACED_NAME = re.compile(rb"[!-9;-~]+[ \t]+:")


@dataclass(frozen=True, slots=True)
class Origin:
    """What missing fields are made of."""

    created_at: float
    message_id: str


def parse_labels(text: str) -> frozenset[str]:
    """Return the labels of a text that joins them by ``|``; empty text has none.

    Raises:
        ValueError: There is no such label.
    """
    if not isinstance(text, str):
        raise TypeError(f"wants labels joined by |, not {type(text).__name__}")
    found = frozenset(label for part in text.split("|") if (label := part.strip().upper()))
    for label in sorted(found):
        if label not in LABELS:
            close = difflib.get_close_matches(label, LABELS, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"there is no conformance issue {label[:100]!r}{hint}")
    return found


def find_issues(content: bytes) -> list[str]:
    """Return the labels of what is wrong, in the order of ``LABELS``.

    Raises:
        ValueError: The message has too many parts.
    """
    root = parse(content)
    parts = list(root._walk())
    fields = [field for part in parts for field in part.headers._fields]
    tests = {
        MISSING_COLON_VALUE: lambda: any(not field.name for field in fields),
        NON_CANONICAL_LINE_ENDINGS: lambda: _BARE_LINE_END.search(content) is not None,
        NAME_ENDS_WITH_SPACE: lambda: any(_SPACED_NAME.match(field._raw) for field in fields),
        LINE_TOO_LONG: lambda: _LONG_LINE.search(content) is not None,
        NEEDS_TRANSFER_ENCODING: lambda: not content.isascii() and _is_unencoded(parts, fields),
        MISSING_DATE_HEADER: lambda: root.headers.get_first_named("Date") is None,
        MISSING_MESSAGE_ID_HEADER: lambda: root.headers.get_first_named("Message-ID") is None,
        MISSING_MIME_VERSION: lambda: not _has_version(root),
    }
    return [label for label in LABELS if tests[label]()]


def _is_unencoded(parts: Iterable[MimePart], fields: Iterable[Header]) -> bool:
    """Return whether octets beyond ASCII stand where nothing says so."""
    if not all(field._raw.isascii() for field in fields):
        return True
    return any(
        not part._content.isascii() and part._encoding not in ("8bit", "binary") for part in parts
    )


def _has_version(root: MimePart) -> bool:
    field = root.headers.get_first_named("MIME-Version")
    return field is not None and field.unstructured.partition("(")[0].strip() == "1.0"


def missing_fields(issues: Iterable[str], origin: Origin) -> list[tuple[str, str]]:
    """Return name and value of the fields that a message lacks."""
    values = {
        MISSING_DATE_HEADER: formatdate(origin.created_at).replace("-0000", "+0000"),
        MISSING_MESSAGE_ID_HEADER: f"<{origin.message_id}>",
        MISSING_MIME_VERSION: "1.0",
    }
    return [(_MISSING[label], values[label]) for label in issues if label in _MISSING]


def needs_rebuild(issues: Iterable[str]) -> bool:
    """Return whether more is wrong than fields that are missing."""
    return any(label not in _MISSING for label in issues)


def fix_content(
    content: bytes, issues: Iterable[str], origin: Origin, settings: RebuildSettings
) -> bytes:
    """Return the message with these issues put right.

    Args:
        content: The message.
        issues: Labels of what is to be put right.
        origin: What missing fields are made of.
        settings: How 8-bit text that names no charset is read.
    """
    issues = list(issues)
    root = parse(content)
    if needs_rebuild(issues):
        root = rebuild_tree(root, settings)
    for name, value in missing_fields(issues, origin):
        root.headers.remove_all_named(name)
        root.headers.append(name, value)
    return bytes(root)
