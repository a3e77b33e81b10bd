"""Instants and durations as callers write them and as answers show them.

Place in flow: used by the operations of ``engine.admin``.
"""

from __future__ import annotations

from datetime import UTC, datetime

from engine.admin.errors import OperationRefusedError, Refusal
from engine.model.duration import parse_duration

#: What is shown of an instant that lies beyond all calendars.
FAR_AWAY = "9999-12-31T23:59:59Z"


def parse_instant(text: str, field: str) -> float:
    """Return an instant (RFC 3339) in seconds since the Unix epoch.

    Args:
        text: What the caller wrote.
        field: The argument it is, for complaints.

    Raises:
        OperationRefusedError: It is no instant, or has no zone.
    """
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is not None:
            return instant.timestamp()
    except (ValueError, OverflowError):
        raise OperationRefusedError(Refusal.WRONG, f"{field} wants RFC 3339", field) from None
    raise OperationRefusedError(Refusal.WRONG, f"{field} needs a zone", field)


def format_instant(instant_at: float) -> str:
    """Return an instant as RFC 3339 in whole seconds, in UTC."""
    try:
        instant = datetime.fromtimestamp(instant_at, UTC)
    except (ValueError, OverflowError, OSError):
        return FAR_AWAY
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")


def duration_of(duration: str | float | None, expires: str | None, now_at: float) -> float:
    """Return how long a directive lasts, seconds; ``expires`` counts where both are given.

    Raises:
        OperationRefusedError: What is given is no duration, or no instant.
    """
    if expires is not None:
        return max(0.0, parse_instant(expires, "expires") - now_at)
    try:
        return parse_duration(DEFAULT_DURATION if duration is None else duration)
    except ValueError as error:
        raise OperationRefusedError(Refusal.WRONG, str(error), "duration") from None


#: How long a directive lasts where nobody says.
DEFAULT_DURATION = "5m"
