"""What a feedback report says: somebody complained about a message.

Place in flow: ``msg.parse_rfc5965()`` of scripts.

Invariants:
    * Plain values only: what comes out can be kept as metadata.
    * A report that lacks what the standard requires is none.

Standard: RFC 5965. Names of the result as in the ``feedback_report`` of log records, its odd
``original_rcpto_to`` included.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from engine.model.header_block import decode_value
from engine.model.mime_headers import split_headers
from engine.model.report_part import (
    Block,
    original_text,
    read_date,
    read_report,
    typed,
    without_brackets,
)

_KINDS = ("message/feedback-report",)
_KNOWN = frozenset(
    {
        "arrival-date",
        "authentication-results",
        "feedback-type",
        "incidents",
        "original-envelope-id",
        "original-mail-from",
        "original-rcpt-to",
        "received-date",
        "reported-domain",
        "reported-uri",
        "reporting-mta",
        "source-ip",
        "user-agent",
        "version",
    }
)
#: What marks the supplemental trace that a node writes (``engine.receive.trace_headers``).
_MARK, _MARK_VALUE = "_@_", "\\_/"
_TRACE_MAX = 65_536


def parse_feedback_report(content: bytes) -> dict[str, Any] | None:
    """Return what a message complains of, or None if it is no feedback report."""
    report = read_report(content, _KINDS)
    if report is None or not report.blocks:
        return None
    block: Block = {}
    for part in report.blocks:
        for name, values in part.items():
            block.setdefault(name, []).extend(values)
    if not all(name in block for name in ("feedback-type", "user-agent", "version")):
        return None
    reporting = _first(block, "reporting-mta")
    kind, name = typed(reporting) if reporting is not None else ("", "")
    incidents = _first(block, "incidents") or ""
    mail_from = _first(block, "original-mail-from")
    return {
        "feedback_type": block["feedback-type"][0],
        "user_agent": block["user-agent"][0],
        "version": block["version"][0],
        "arrival_date": read_date(_first(block, "arrival-date") or _first(block, "received-date")),
        "incidents": int(incidents) if incidents.isdecimal() and len(incidents) < 10 else None,
        "original_envelope_id": _first(block, "original-envelope-id"),
        "original_mail_from": None if mail_from is None else without_brackets(mail_from),
        "reporting_mta": None if reporting is None else {"mta_type": kind, "name": name},
        "source_ip": _first(block, "source-ip"),
        "authentication_results": block.get("authentication-results", []),
        "original_rcpto_to": [
            without_brackets(value) for value in block.get("original-rcpt-to", [])
        ],
        "reported_domain": block.get("reported-domain", []),
        "reported_uri": block.get("reported-uri", []),
        "extensions": {name: values for name, values in block.items() if name not in _KNOWN},
        "original_message": original_text(report.original),
        "supplemental_trace": _find_trace(report.original),
    }


def _first(block: Block, name: str) -> str | None:
    return block[name][0] if name in block else None


def _find_trace(original: bytes | None) -> dict[str, Any] | None:
    """Return what a node noted in its trace field of the original message, or None."""
    if original is None:
        return None
    try:
        fields, _, _ = split_headers(original, is_part=False)
    except ValueError:
        return None
    for field in fields:
        if field.name[:2].lower() != "x-" or len(field._raw) > _TRACE_MAX:
            continue
        value = "".join(decode_value(field._raw.partition(b":")[2].rstrip(b"\r\n")).split())
        try:
            found = msgspec.json.decode(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
            continue
        if isinstance(found, dict) and found.get(_MARK) == _MARK_VALUE:
            del found[_MARK]
            return found
    return None
