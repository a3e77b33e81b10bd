"""Judge a delivery attempt: the only place a reply becomes a disposition.

Place in flow: called by ``engine.deliver.recipient_tally`` and ``dispatcher`` once per recipient,
before settlement.

Invariants:
    * Silence, surprise and our own defects defer. Only an explicit permanent reply fails.
    * 503 and 3xx defer: they speak of the dialogue, not of the recipient.

Standard: RFC 5321 sections 4.2.1 and 4.5.3.1.10 (552 to RCPT means "too many recipients").
"""

from __future__ import annotations

import enum

from engine.model.disposition import Disposition
from engine.model.reply import SmtpReply


class TooMany(enum.Enum):
    """Whether a reply to RCPT says that the batch is too large."""

    YES = "yes"
    MAYBE = "maybe"
    NO = "no"


def judge_reply(reply: SmtpReply, command: str = "") -> Disposition:
    """Return what a final reply means for the recipient.

    Args:
        reply: What the peer said.
        command: The command it answers; a RCPT's "too many recipients" is never permanent.
    """
    if reply.is_positive:
        return Disposition.DELIVERED
    if reply.is_permanent and reply.code != 503:
        if command.startswith("RCPT") and judge_too_many(reply) is not TooMany.NO:
            return Disposition.DEFERRED
        return Disposition.FAILED
    return Disposition.DEFERRED


def judge_too_many(reply: SmtpReply) -> TooMany:
    """Return whether a reply to RCPT means that the transaction holds too many recipients."""
    status = reply.enhanced
    if status is not None:
        return TooMany.YES if (status.subject, status.detail) == (5, 3) else TooMany.NO
    return TooMany.MAYBE if reply.code in (452, 552) else TooMany.NO
