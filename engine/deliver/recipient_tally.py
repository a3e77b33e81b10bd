"""The bookkeeping of one transaction: who was accepted, who was told what.

Place in flow: ``engine.deliver.smtp_transaction`` notes each reply here as it comes.

Invariants:
    * What a recipient was told stands, whatever happens to the connection afterwards.
    * Nobody without an answer of their own is failed.
    * A transaction that asks for another one has brought at least one recipient to a verdict, so
      that "too many recipients" ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.deliver.attempt import RecipientOutcome, TransactionResult
from engine.deliver.verdict import TooMany, judge_reply, judge_too_many
from engine.model.disposition import Disposition
from engine.model.reply import SmtpReply


class RecipientTally:
    """Who of one transaction's recipients was told what.

    Attributes:
        recipients: All of them, in the order of their commands.
        accepted: Those who got a positive reply to RCPT and no verdict yet.
        usable: Whether the connection can carry another transaction.
    """

    __slots__ = ("_outcomes", "_too_many", "accepted", "recipients", "usable")

    def __init__(self, recipients: Sequence[str]) -> None:
        self.recipients = list(recipients)
        self.accepted: list[str] = []
        self.usable = True
        self._outcomes: dict[str, RecipientOutcome] = {}
        self._too_many: dict[str, SmtpReply] = {}

    def note_rcpt(self, recipient: str, reply: SmtpReply) -> None:
        """Take the reply to a RCPT."""
        if reply.is_positive:
            self.accepted.append(recipient)
            return
        is_first = not self.accepted and not self._outcomes
        if not is_first and judge_too_many(reply) is not TooMany.NO:
            self._too_many[recipient] = reply
            return
        self._outcomes[recipient] = _rcpt_outcome(recipient, reply)

    def refuse_all(self, reply: SmtpReply, command: str) -> None:
        """Take a reply that is everybody's who has none yet; one that is positive defers."""
        disposition = Disposition.DEFERRED if reply.is_positive else None
        for one in self.recipients:
            if one not in self._outcomes and one not in self._too_many:
                self._outcomes[one] = make_outcome(one, reply, command, disposition)
        self.accepted = []

    def settle(self, recipient: str, reply: SmtpReply) -> None:
        """Take the final reply for one recipient who was accepted."""
        self.accepted.remove(recipient)
        self._outcomes[recipient] = make_outcome(recipient, reply, ".")

    def settle_accepted(self, reply: SmtpReply) -> None:
        """Take the final reply for all who were accepted."""
        for one in list(self.accepted):
            self.settle(one, reply)

    def break_off(self, reply: SmtpReply, command: str = "") -> None:
        """End with the connection: who has no answer is deferred with this one.

        Args:
            reply: What they are told.
            command: The command that was under way, if it is known.
        """
        self.usable = False
        for one, own in self._too_many.items():
            self._outcomes[one] = _rcpt_outcome(one, own)
        self._too_many.clear()
        for one in self.recipients:
            if one not in self._outcomes:
                self._outcomes[one] = make_outcome(one, reply, command, Disposition.DEFERRED)
        self.accepted = []

    def outcomes(self) -> list[RecipientOutcome]:
        """Return the verdicts there are so far."""
        return list(self._outcomes.values())

    def result(self) -> TransactionResult:
        """Return the outcomes of the transaction, which is over."""
        if self._too_many and not (self.usable and self._has_progress()):
            # Where nobody got in and nobody was judged, another transaction brings the same.
            for one, reply in self._too_many.items():
                self._outcomes[one] = _rcpt_outcome(one, reply)
            self._too_many.clear()
        return TransactionResult(self.outcomes(), list(self._too_many), self.usable)

    def _has_progress(self) -> bool:
        return any(
            not (one.command.startswith("RCPT") and judge_too_many(one.reply) is not TooMany.NO)
            for one in self._outcomes.values()
        )


def make_outcome(
    recipient: str, reply: SmtpReply, command: str, disposition: Disposition | None = None
) -> RecipientOutcome:
    """Return the outcome of a recipient; judged by the reply unless a disposition is given."""
    return RecipientOutcome(recipient, reply, command, disposition or judge_reply(reply, command))


def _rcpt_outcome(recipient: str, reply: SmtpReply) -> RecipientOutcome:
    return make_outcome(recipient, reply, f"RCPT TO:<{recipient}>")
