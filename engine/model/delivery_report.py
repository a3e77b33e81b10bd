"""What a delivery status notification says: a failed, delayed or done delivery elsewhere.

Place in flow: ``msg.parse_rfc3464()`` of scripts.

Invariants:
    * Plain values only: what comes out can be kept as metadata.
    * A report that lacks what the standard requires is none; one odd recipient spoils no other.

Standard: RFC 3464; RFC 6533 (global-delivery-status).
"""

from __future__ import annotations

import re
from typing import Any

from engine.model.report_part import (
    Block,
    original_text,
    read_date,
    read_report,
    typed,
    without_brackets,
)

_KINDS = ("message/delivery-status", "message/global-delivery-status")
_ACTIONS = frozenset({"failed", "delayed", "delivered", "relayed", "expanded"})
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")
_MESSAGE_FIELDS = frozenset(
    {
        "arrival-date",
        "dsn-gateway",
        "original-envelope-id",
        "received-from-mta",
        "reporting-mta",
    }
)
_RECIPIENT_FIELDS = frozenset(
    {
        "action",
        "diagnostic-code",
        "final-log-id",
        "final-recipient",
        "last-attempt-date",
        "original-recipient",
        "remote-mta",
        "status",
        "will-retry-until",
    }
)


def parse_delivery_report(content: bytes) -> dict[str, Any] | None:
    """Return what a message reports about deliveries, or None if it is no such report.

    The result has ``per_message`` (reporting_mta and others), ``per_recipient`` (a list; each has
    final_recipient, action, status and others) and ``original_message`` (text or None).
    """
    report = read_report(content, _KINDS)
    if report is None or not report.blocks:
        return None
    head, *rest = report.blocks
    if "final-recipient" in head and "reporting-mta" in head:
        # The blank line between the two was lost on the way.
        rest = [head, *rest]
    reporting = _mta(head, "reporting-mta")
    recipients = [found for block in rest if (found := _recipient(block)) is not None]
    if reporting is None or not recipients:
        return None
    return {
        "per_message": {
            "reporting_mta": reporting,
            "original_envelope_id": _first(head, "original-envelope-id"),
            "dsn_gateway": _mta(head, "dsn-gateway"),
            "received_from_mta": _mta(head, "received-from-mta"),
            "arrival_date": read_date(_first(head, "arrival-date")),
            "extensions": _extensions(head, _MESSAGE_FIELDS | _RECIPIENT_FIELDS),
        },
        "per_recipient": recipients,
        "original_message": original_text(report.original),
    }


def _recipient(block: Block) -> dict[str, Any] | None:
    final = _address(block, "final-recipient")
    action = (_first(block, "action") or "").partition("(")[0].strip().lower()
    # Some write text behind the code.
    status = _STATUS.match(_first(block, "status") or "")
    if final is None or action not in _ACTIONS or status is None:
        return None
    diagnostic = _first(block, "diagnostic-code")
    kind, text = typed(diagnostic) if diagnostic is not None else ("", "")
    return {
        "final_recipient": final,
        "original_recipient": _address(block, "original-recipient"),
        "action": action,
        "status": status[0],
        "remote_mta": _mta(block, "remote-mta"),
        "diagnostic_code": None
        if diagnostic is None
        else {"diagnostic_type": kind, "diagnostic": text},
        "last_attempt_date": read_date(_first(block, "last-attempt-date")),
        "final_log_id": _first(block, "final-log-id"),
        "will_retry_until": read_date(_first(block, "will-retry-until")),
        "extensions": _extensions(block, _RECIPIENT_FIELDS | _MESSAGE_FIELDS),
    }


def _first(block: Block, name: str) -> str | None:
    return block[name][0] if name in block else None


def _mta(block: Block, name: str) -> dict[str, str] | None:
    value = _first(block, name)
    if value is None:
        return None
    kind, text = typed(value)
    return {"mta_type": kind, "name": text}


def _address(block: Block, name: str) -> dict[str, str] | None:
    value = _first(block, name)
    if value is None:
        return None
    kind, text = typed(value)
    return {"recipient_type": kind, "recipient": without_brackets(text)}


def _extensions(block: Block, known: frozenset[str]) -> dict[str, list[str]]:
    return {name: values for name, values in block.items() if name not in known}
