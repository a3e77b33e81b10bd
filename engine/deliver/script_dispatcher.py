"""Delivery by a function of the script, one message or a batch at a time.

Place in flow: started by ``engine.dispatching`` for queues whose protocol is ``script``.

Invariants:
    * One answer settles all messages of its batch.
    * Text is delivered; a refusal of 4xx defers, any other refusal fails; an error defers.
    * The messages in hand are settled or given back, whatever ends the task.
"""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

from engine.deliver.attempt import RecipientOutcome
from engine.deliver.outgoing_session import OutgoingSession
from engine.deliver.work import Services, Work
from engine.model.circumstances import Circumstances
from engine.model.disposition import Disposition
from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.reply import SmtpReply, make_reply
from engine.script_refusals import SmtpRefusal
from engine.script_views import MessageView
from policy.errors import PolicyError

log = logging.getLogger("cirrus.deliver")

FAILED = SmtpReply(400, None, "the script's sender failed")
#: Characters of a sender's answer that are kept.
ANSWER_MAX = 4096
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


class ScriptDispatcher(OutgoingSession):
    """Hands messages of one ready queue to the script's sender."""

    def __init__(self, work: Work, services: Services) -> None:
        super().__init__(work, services)
        self._over = False

    async def run(self) -> None:
        """Work until there is nothing left to do; never raises but for cancellation."""
        try:
            while not self._over and await self._gather():
                await self._send()
        except asyncio.CancelledError:
            self._hand.give_back(InsertReason.DISPATCHER_DROP)
            raise
        except SpoolUnavailableError:
            self._hand.give_back(InsertReason.SPOOL_UNHEALTHY)
        except Exception:  # boundary: dispatcher
            log.exception("the dispatcher of %s met a defect", self._work.name)
            self._hand.give_back(InsertReason.DISPATCHER_DROP)
        finally:
            self._gate.return_turn()

    async def _gather(self) -> bool:
        """Fill the hand up to the batch size; return whether anything is in it."""
        work, protocol = self._work, self._work.protocol
        if self._delivered >= work.path.max_deliveries_per_connection or not work.may_work():
            return False
        self._enter("Idle")
        first = work.take_nowait() or await work.wait_message(work.path.idle_timeout_s)
        if first is None:
            return False
        self._hand.take(first)
        patience_s = min(protocol.max_batch_latency_s, work.path.idle_timeout_s)
        deadline = self._services.clock.mono() + patience_s
        while len(self._hand.messages) < protocol.batch_size:
            following = work.take_nowait()
            if following is None and len(self._hand.messages) < protocol.min_batch_size:
                left_s = deadline - self._services.clock.mono()
                if left_s > 0:
                    self._enter("AccumulatingBatch")
                    following = await work.wait_message(left_s)
            if following is None:
                break
            self._hand.take(following)
        return True

    async def _send(self) -> None:
        self._load()
        hand = list(self._hand.messages)
        if not hand:
            return
        if not await self._has_turn(len(hand)):
            self._over = True
            return
        self._enter("DeliveringMessage")
        self._gate.use_turn()
        self._delivered += len(hand)
        protocol = self._work.protocol
        store, clock = self._services.store, self._services.clock
        views = [MessageView(message, store.load_body, clock) for message in hand]
        argument: Any = views if protocol.batch_size > 1 else views[0]
        try:
            answer = await self._services.runtime.call_function(protocol.sender, argument)
        except SmtpRefusal as refusal:
            reply = refusal.reply
            self._over = reply.code == 421
            transient = reply.code < 500
            await self._settle(reply, Disposition.DEFERRED if transient else Disposition.FAILED)
        except PolicyError as error:
            log.error("the sender of %s failed: %s", self._work.name, error)
            self._over = True
            await self._settle(FAILED, Disposition.DEFERRED)
        else:
            await self._settle(_reply_of(answer), Disposition.DELIVERED)

    def _load(self) -> None:
        for message in list(self._hand.messages):
            if message.data is not None:
                continue
            try:
                message.data = self._services.store.load_body(message.body_id)
            except SpoolEntryDamagedError as error:
                self._hand.drop(message)
                self._services.drop_damaged(message, str(error))

    async def _settle(self, reply: SmtpReply, disposition: Disposition) -> None:
        work = self._work
        where = Circumstances(
            work.name,
            work.site_name,
            work.source.name,
            "Script",
            provider_name=work.path.provider_name,
            session_id=self.session_id,
            began_mono=self._hand.taken_mono,
        )
        cancelled: asyncio.CancelledError | None = None
        for message in list(self._hand.messages):
            outcomes = [
                RecipientOutcome(recipient, reply, "", disposition)
                for recipient in message.recipients
            ]
            try:
                await self._hand.settle(message, outcomes, where)
            except asyncio.CancelledError as error:
                # The answer is for the whole batch: the others must not be sent again.
                cancelled = error
            except Exception:  # boundary: dispatcher
                log.exception("cannot settle %s", message.id)
        if cancelled is not None:
            raise cancelled
        self._hand.give_back(InsertReason.DISPATCHER_DROP)


def _reply_of(answer: Any) -> SmtpReply:
    """Return what records say of a delivery; only plain text of the script gets into them."""
    text = answer[:ANSWER_MAX] if type(answer) is str else ""
    return make_reply(200, _CONTROLS.sub(" ", text))
