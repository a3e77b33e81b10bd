"""The messages in a dispatcher's hand: each is settled or given back, once.

Place in flow: every dispatcher has one; it stands between them and the ports of ``work.Services``.

Invariants:
    * A message stays in the hand until its settlement is complete. An error in the middle of that
      leaves it there, and ``give_back`` finds it. A cancelled settlement has put back what was
      left: to give it back once more would take its due time away, or bring back what expired.
    * A recipient who is delivered or failed is never given back, whatever failed afterwards.

Failure: a message that cannot be given back stays on disk; the next start goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from engine.deliver.attempt import RecipientOutcome
from engine.deliver.work import Services
from engine.model.circumstances import Circumstances
from engine.model.disposition import Disposition
from engine.model.insert_reason import InsertReason
from engine.model.message import Message

log = logging.getLogger("cirrus.deliver")


class Hand:
    """What one dispatcher holds.

    Attributes:
        messages: The messages, oldest first.
        taken_mono: When the last message was taken: the attempt at it began.
        delivered, deferred, failed: Recipients settled so far, by what became of them.
    """

    def __init__(self, services: Services) -> None:
        self.messages: list[Message] = []
        self.delivered = self.deferred = self.failed = 0
        self.taken_mono = 0.0
        self._services = services
        self._mono = services.clock.mono

    def take(self, message: Message) -> None:
        """Hold a message from now on."""
        self.messages.append(message)
        self.taken_mono = self._mono()

    def __contains__(self, message: Message) -> bool:
        return any(held is message for held in self.messages)

    async def settle(
        self,
        message: Message,
        outcomes: Sequence[RecipientOutcome],
        where: Circumstances,
        *,
        final: bool = True,
    ) -> None:
        """Have the outcomes carried out; with ``final`` the message then leaves the hand."""
        self._count(outcomes)
        try:
            await self._services.settle(message, list(outcomes), where, final)
        except asyncio.CancelledError:
            if final:
                self.drop(message)
            raise
        finally:
            self._forget_finished(message, outcomes)
        if final:
            self.drop(message)

    def _count(self, outcomes: Sequence[RecipientOutcome]) -> None:
        for one in outcomes:
            if one.disposition is Disposition.DELIVERED:
                self.delivered += 1
            elif one.disposition is Disposition.FAILED:
                self.failed += 1
            else:
                self.deferred += 1

    def _forget_finished(self, message: Message, outcomes: Sequence[RecipientOutcome]) -> None:
        done = {
            one.recipient for one in outcomes if one.disposition not in (None, Disposition.DEFERRED)
        }
        if not done:
            return
        message.recipients = [one for one in message.recipients if one not in done]
        if not message.recipients:
            self.drop(message)

    def drop(self, message: Message) -> None:
        """Hold a message no longer; harmless if it was not held."""
        self.messages = [held for held in self.messages if held is not message]

    def give_back(self, reason: InsertReason, delay_s: float | None = None) -> None:
        """Give everything back, no attempt counted."""
        messages, self.messages = self.messages, []
        for message in messages:
            try:
                self._services.give_back(message, reason, delay_s)
            except Exception:  # boundary: dispatcher
                log.exception("message %s waits on disk for the next start", message.id)
