"""A stored message as ``cirrus spool`` shows and chooses it.

Place in flow: used by ``engine.spool_tool``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.model.address import normal_domain
from engine.model.log_record import format_event_time
from engine.model.message import SpoolId, StoredEnvelope, message_from
from engine.model.queue_name import parse_queue_name
from engine.model.record_line import printable
from engine.script_views import queue_name_of


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilter:
    """Which messages are wanted: those that fit all that is given.

    Attributes:
        queue: Of the queue of this name.
        domain: Of queues of this domain or routing domain.
        tenant, campaign: Of queues of theirs.
        sender, recipient: Of these addresses; upper and lower case are the same.
    """

    queue: str | None = None
    domain: str | None = None
    tenant: str | None = None
    campaign: str | None = None
    sender: str | None = None
    recipient: str | None = None

    def fits(self, spool_id: SpoolId, envelope: StoredEnvelope) -> bool:
        """Return whether a message is wanted."""
        if self.sender is not None and envelope.sender.lower() != self.sender.lower():
            return False
        if self.recipient is not None:
            wanted = self.recipient.lower()
            if all(one.lower() != wanted for one in envelope.recipients):
                return False
        name = queue_of(spool_id, envelope)
        if self.queue is not None and name != self.queue:
            return False
        parts = parse_queue_name(name)
        return (
            (self.tenant is None or parts.tenant == self.tenant)
            and (self.campaign is None or parts.campaign == self.campaign)
            and (self.domain is None or _plain(self.domain) in (parts.domain, parts.routing_domain))
        )


def _plain(domain: str) -> str:
    try:
        return normal_domain(domain)
    except ValueError:
        return domain


def queue_of(spool_id: SpoolId, envelope: StoredEnvelope) -> str:
    """Return the name of the queue that a message goes into; empty where its parts name none."""
    try:
        return queue_name_of(message_from(spool_id, envelope, 0.0))
    except ValueError:
        return ""


def describe(spool_id: SpoolId, envelope: StoredEnvelope) -> dict[str, Any]:
    """Return what the spool knows of a message beside its content."""
    notes = envelope.notes
    shown: dict[str, Any] = {
        "id": spool_id.hex(),
        "queue": queue_of(spool_id, envelope),
        "sender": envelope.sender,
        "recipients": envelope.recipients,
        "created": format_event_time(envelope.created_at),
        "due": format_event_time(envelope.due_at),
        "num_attempts": envelope.attempts,
        "size": envelope.size,
        "meta": envelope.meta,
    }
    if envelope.schedule is not None:
        shown["scheduling"] = envelope.schedule
    if notes is not None and notes.reply:
        shown["last_reply"] = notes.reply
        shown["last_reply_at"] = format_event_time(notes.reply_at)
        shown["last_ready_queue"] = notes.ready_queue
    if notes is not None and notes.hold is not None:
        shown["held_by"] = notes.hold.author
        shown["held_for"] = notes.hold.reason
    return shown


def list_line(spool_id: SpoolId, envelope: StoredEnvelope, now_at: float) -> str:
    """Return a message as a line for people.

    Args:
        spool_id: Its id.
        envelope: What is stored of it.
        now_at: What ages count to, seconds since the Unix epoch.
    """
    more = len(envelope.recipients) - 1
    recipients = envelope.recipients[0] if envelope.recipients else "-"
    wait_s = envelope.due_at - now_at
    columns = (
        spool_id.hex(),
        f"{queue_of(spool_id, envelope) or '-':<24}",
        f"{envelope.sender or '<>':<28}",
        f"{recipients + (f' +{more}' if more > 0 else ''):<28}",
        f"age {span(now_at - envelope.created_at):<7}",
        f"due {'in ' + span(wait_s) if wait_s > 0 else 'now':<10}",
        f"tried {envelope.attempts:<3}",
        f"{envelope.size:>9,}",
    )
    return printable(" ".join(columns))


def span(seconds: float) -> str:
    """Return a time span in its two largest units."""
    rest = max(0, int(seconds))
    days, rest = divmod(rest, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
