"""One try of one message on one connection, with an outcome per recipient.

Place in flow: made by ``engine.deliver.smtp_transaction``, judged by ``verdict``, settled by
``engine.schedule.settlement``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.model.disposition import Disposition
from engine.model.reply import SmtpReply


@dataclass(slots=True)
class RecipientOutcome:
    """What was said about a recipient, to which command, and what that means.

    Attributes:
        command: The command line the reply answers; ``.`` for the end of the data.
        disposition: None until it is judged.
    """

    recipient: str
    reply: SmtpReply
    command: str
    disposition: Disposition | None = None


@dataclass(slots=True)
class TransactionResult:
    """The outcomes of one transaction.

    Attributes:
        retry_now: Recipients beyond what the peer takes at once: another transaction is for them.
        usable: Whether the connection can carry another transaction.
        not_begun: The connection, kept from an earlier message, proved dead before the peer said
            a word about this one: it is for a new connection, and nothing has failed.
    """

    outcomes: list[RecipientOutcome] = field(default_factory=list)
    retry_now: list[str] = field(default_factory=list)
    usable: bool = True
    not_begun: bool = False
