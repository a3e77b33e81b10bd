"""Delivery by a function of the script, one message or a batch at a time.

Place in flow: started by ``engine.ready.ready_queue`` for queues whose protocol is ``script``.

Invariants:
    * One answer settles all messages of its batch.
    * Text is delivered; a refusal of 4xx defers, any other refusal fails; an error defers.
    * The messages in hand are settled or given back, whatever ends the task.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import Any

from engine.deliver.attempt import RecipientOutcome
from engine.deliver.work import Circumstances, Services, Work
from engine.model.disposition import Disposition
from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.message import Message
from engine.model.reply import SmtpReply, make_reply
from engine.script_refusals import SmtpRefusal
from engine.script_views import MessageView
from policy.errors import PolicyError

log = logging.getLogger("cirrus.deliver")

FAILED = SmtpReply(400, None, "the script's sender failed")


class ScriptDispatcher:
    """Hands messages of one ready queue to the script's sender."""

    def __init__(self, work: Work, services: Services) -> None:
        self._work = work
        self._services = services
        self._hand: list[Message] = []
        self._delivered = 0
        self._over = False
        self.session_id = str(uuid.uuid4())
        self.started_mono = self.progress_mono = services.clock.mono()
        self.phase = "Starting"

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self.progress_mono = self._services.clock.mono()

    async def run(self) -> None:
        """Work until there is nothing left to do; never raises but for cancellation."""
        try:
            while not self._over and await self._gather():
                await self._send()
        except asyncio.CancelledError:
            self._give_back(InsertReason.DISPATCHER_DROP)
            raise
        except SpoolUnavailableError:
            self._give_back(InsertReason.SPOOL_UNHEALTHY)
        except Exception:  # boundary: dispatcher
            log.exception("the dispatcher of %s met a defect", self._work.name)
            await self._settle(FAILED, Disposition.DEFERRED)

    def _give_back(self, reason: InsertReason) -> None:
        hand, self._hand = self._hand, []
        for message in hand:
            self._services.give_back(message, reason, None)

    async def _gather(self) -> bool:
        """Fill the hand up to the batch size; return whether anything is in it."""
        work, protocol = self._work, self._work.protocol
        if self._delivered >= work.path.max_deliveries_per_connection or not work.may_work():
            return False
        self._enter("Idle")
        first = work.take_nowait() or await work.wait_message(work.path.idle_timeout_s)
        if first is None:
            return False
        self._hand.append(first)
        patience_s = min(protocol.max_batch_latency_s, work.path.idle_timeout_s)
        deadline = self._services.clock.mono() + patience_s
        while len(self._hand) < protocol.batch_size:
            following = work.take_nowait()
            if following is None and len(self._hand) < protocol.min_batch_size:
                left_s = deadline - self._services.clock.mono()
                if left_s > 0:
                    self._enter("AccumulatingBatch")
                    following = await work.wait_message(left_s)
            if following is None:
                break
            self._hand.append(following)
        return True

    async def _send(self) -> None:
        self._enter("DeliveringMessage")
        self._load()
        if not self._hand:
            return
        self._delivered += len(self._hand)
        protocol = self._work.protocol
        store, clock = self._services.store, self._services.clock
        views = [MessageView(message, store.load_body, clock) for message in self._hand]
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
            text = "" if answer is None else str(answer)
            await self._settle(make_reply(200, text), Disposition.DELIVERED)

    def _load(self) -> None:
        for message in list(self._hand):
            if message.data is not None:
                continue
            try:
                message.data = self._services.store.load_body(message.body_id)
            except SpoolEntryDamagedError as error:
                self._hand.remove(message)
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
        )
        hand, self._hand = self._hand, []
        for message in hand:
            outcomes = [
                RecipientOutcome(recipient, reply, "", disposition)
                for recipient in message.recipients
            ]
            await self._services.settle(message, outcomes, where, True)
