"""What a message was before it was set aside for another node, kept with it and given back.

Place in flow: ``engine.schedule.transferring`` and scripts (``engine.script_transfer``) assign and
restore; the other node restores what it is sent.

Invariants:
    * A message that is assigned carries everything that names its queue and says when it is tried,
      in one metadata value; nothing of that acts on it while it waits to be transferred.
    * Assigned again, to whatever node, it keeps what it was first: ``restore`` gives that back.
    * ``restore(assign(message))`` changes nothing but what a message with no ``queue`` of its own
      would be called.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from engine.model.message import FLAG_HELD, Message
from engine.model.schedule_window import parse_schedule
from engine.model.transfer_target import TransferTarget, target_of

#: The metadata value; operators' tools know it by this name.
INFO = "xfer_queue_info"
QUEUE_KEYS = ("queue", "routing_domain", "tenant", "campaign")
_ATTEMPTS_MAX = 1_000_000_000


def is_assigned(message: Message) -> bool:
    """Return whether a message is set aside for another node."""
    return INFO in message.meta


def assigned_target(message: Message) -> TransferTarget | None:
    """Return the node that a message is set aside for."""
    queue = message.meta.get("queue")
    return target_of(queue) if isinstance(queue, str) and is_assigned(message) else None


class SavedState(msgspec.Struct, kw_only=True):
    """What is kept of a message: what names its queue, and when and how often it was tried."""

    queue: str | None = None
    routing_domain: str | None = None
    tenant: str | None = None
    campaign: str | None = None
    schedule: dict[str, Any] | None = None
    num_attempts: int = 0
    due: str | None = None


def saved_state(message: Message, due_at: float) -> dict[str, Any]:
    """Return what the message is now, as plain values.

    Args:
        message: The message.
        due_at: Its due time in seconds since the Unix epoch.
    """
    meta = message.meta
    return {
        **{key: str(meta[key]) if meta.get(key) is not None else None for key in QUEUE_KEYS},
        "schedule": message.schedule.to_dict() if message.schedule is not None else None,
        "num_attempts": message.attempts,
        "due": format_due(due_at),
    }


def assign(message: Message, target: TransferTarget, due_at: float) -> None:
    """Set a message aside for another node; who calls puts it into that queue, due at once.

    Args:
        message: The message.
        target: The node.
        due_at: Its due time so far, in seconds since the Unix epoch.
    """
    meta = message.meta
    if INFO not in meta:
        meta[INFO] = saved_state(message, due_at)
        for key in QUEUE_KEYS:
            meta.pop(key, None)
        message.schedule = None
        message.attempts = 0
        # It is held no longer; should it be held again, here or there, that is to be recorded.
        message.flags &= ~FLAG_HELD
    meta["queue"] = target.queue_name


def restore(message: Message) -> float | None:
    """Make a message what it was before it was assigned.

    Returns:
        Its due time in seconds since the Unix epoch; None for a message that was not assigned.

    Raises:
        ValueError: What was kept makes no sense; the message is as it was.
    """
    if INFO not in message.meta:
        return None
    try:
        saved = msgspec.convert(message.meta[INFO], SavedState)
    except msgspec.ValidationError as error:
        raise ValueError(f"{INFO}: {error}") from error
    schedule = None if saved.schedule is None else parse_schedule(saved.schedule)
    due_at = message.created_at if saved.due is None else parse_due(saved.due)
    for key in (INFO, *QUEUE_KEYS):
        message.meta.pop(key, None)
    named = {key: getattr(saved, key) for key in QUEUE_KEYS}
    message.meta.update((key, name) for key, name in named.items() if name is not None)
    message.schedule = schedule
    message.attempts = max(0, min(saved.num_attempts, _ATTEMPTS_MAX))
    return due_at


def format_due(due_at: float) -> str:
    """Return an instant as RFC 3339 with microseconds."""
    instant = datetime.fromtimestamp(max(0.0, min(due_at, 253_402_300_799.0)), UTC)
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_due(text: str) -> float:
    """Return the instant that RFC 3339 text names, in seconds since the Unix epoch.

    Raises:
        ValueError: It names none.
    """
    # Other systems write more digits than a second has microseconds.
    cut = re.sub(r"(\.\d{6})\d+", r"\1", text)
    try:
        instant = datetime.fromisoformat(cut)
    except ValueError:
        raise ValueError(f"{INFO}.due is no instant") from None
    if instant.tzinfo is None:
        raise ValueError(f"{INFO}.due has no zone")
    return instant.timestamp()
