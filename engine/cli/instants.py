"""Instants as operators read them: how long ago, or in how long; and spans as they write them.

Place in flow: verbs show and take instants with it.
"""

from __future__ import annotations

from datetime import UTC, datetime

import click

from engine.cli.table import format_age
from engine.model.duration import parse_duration

#: Beyond this no end is one, seconds from now.
_NEVER_S = 100 * 365 * 86400


def read_instant(text: str) -> float | None:
    """Return an instant of an answer in seconds since the Unix epoch; None for what is none."""
    try:
        instant = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        return None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def show_clock_time(text: str | None) -> str:
    """Return an instant of an answer without what is the same in all: its letter T and its zone."""
    instant_at = None if text is None else read_instant(text)
    if instant_at is None:
        return text or ""
    return datetime.fromtimestamp(instant_at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def show_since(text: str | None, now_at: float) -> str:
    """Return since when, and how long ago that was; nothing for nothing."""
    instant_at = None if text is None else read_instant(text)
    if instant_at is None:
        return text or ""
    return f"{show_clock_time(text)} ({format_age(now_at - instant_at)} ago)"


def show_until(text: str | None, now_at: float) -> str:
    """Return until when, and in how long that is; nothing for nothing."""
    instant_at = None if text is None else read_instant(text)
    if instant_at is None:
        return text or ""
    left_s = instant_at - now_at
    if left_s > _NEVER_S:
        return "somebody ends it"
    when = "now" if left_s < 1 else f"in {format_age(left_s)}"
    return f"{show_clock_time(text)} ({when})"


def show_age(text: str | None, now_at: float) -> str:
    """Return how long ago an instant of an answer was; nothing for nothing."""
    instant_at = None if text is None else read_instant(text)
    return "" if instant_at is None else format_age(now_at - instant_at)


def read_since(text: str, now_at: float) -> str:
    """Return an instant, or a span that ends now, as the API takes instants (RFC 3339).

    Raises:
        click.BadParameter: It is neither.
    """
    try:
        since_at = now_at - parse_duration(text)
    except ValueError:
        found = read_instant(text)
        if found is None:
            raise click.BadParameter(
                f"{text!r} is neither a span such as 2h nor an instant such as 2026-03-01T03:00Z",
                param_hint="--since",
            ) from None
        since_at = found
    try:
        return datetime.fromtimestamp(since_at, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter("that is too long ago", param_hint="--since") from None
