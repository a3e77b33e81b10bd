"""Transfer of messages to another node, one at a time, with all their state.

Place in flow: started by ``engine.dispatching`` for queues whose protocol is ``xfer``; sends by
``transfer_client``, hands outcomes to settlement, which removes what the other node has.

Invariants:
    * A message leaves this node's spool only after the other node said that it has flushed it.
    * The message in hand is settled or given back, whatever ends the task.
    * A node that takes nothing is asked again every ``TRANSFER_RETRY_S``; meanwhile mail waits in
      the ready queue and costs nothing.

Known limit: a crash between the other node's answer and settlement's write sends a message again.
The other node knows it by its id for as long as it holds it, and for a while after.
"""

from __future__ import annotations

import asyncio
import logging

from engine.deliver.attempt import RecipientOutcome
from engine.deliver.outgoing_session import OutgoingSession
from engine.deliver.transfer_client import TransferClient, TransferError
from engine.deliver.work import Services, Work
from engine.model.circumstances import Circumstances
from engine.model.disposition import Disposition
from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.message import Message
from engine.model.queue_config import TRANSFER_RETRY_S
from engine.model.reply import SmtpReply, make_reply
from engine.model.transfer_state import INFO, saved_state
from engine.model.transfer_target import DELIVERY_PROTOCOL
from engine.model.transfer_wire import encode_head

log = logging.getLogger("cirrus.deliver")

#: The slowest link that a large message is given time for, octets per second.
SLOWEST_PER_S = 1 << 20
#: Messages refused one after the other, for what they are, after which a session pauses.
REFUSED_MAX = 10
#: The share of the watchdog's time that a transfer may take: it ends by itself before that.
_WATCHDOG_SHARE = 0.9
DEFECT = make_reply(451, "4.3.0 internal error, tried again later")


class TransferDispatcher(OutgoingSession):
    """Transfers messages of one ready queue to one node."""

    def __init__(
        self, work: Work, services: Services, client: TransferClient, node_id: str
    ) -> None:
        super().__init__(work, services)
        self._client = client
        self._node_id = node_id
        self._target = work.protocol.target
        self._refused = 0

    async def run(self) -> None:
        """Work until there is nothing left to do; never raises but for cancellation."""
        try:
            while (message := await self._next()) is not None:
                self._hand.take(message)
                if not await self._has_turn():
                    return
                self._enter("DeliveringMessage")
                self._work.renew_slots(asyncio.current_task())
                self._gate.use_turn()
                if not await self._carry(message):
                    # Idle, so that a stop does not wait for it.
                    self._enter("Idle")
                    await self._services.sleep(TRANSFER_RETRY_S)
        except asyncio.CancelledError:
            self._hand.give_back(InsertReason.DISPATCHER_DROP)
            raise
        except SpoolUnavailableError:
            self._hand.give_back(InsertReason.SPOOL_UNHEALTHY)
        except Exception:  # boundary: dispatcher
            log.exception("the dispatcher of %s met a defect", self._work.name)
            await self._defer_in_hand()
        finally:
            self._gate.return_turn()

    async def _defer_in_hand(self) -> None:
        """Have what met a defect of ours wait, rather than meet it again at once."""
        try:
            for message in list(self._hand.messages):
                await self._settle(message, DEFECT, Disposition.DEFERRED)
        except Exception:  # boundary: dispatcher
            log.exception("the dispatcher of %s cannot defer its message", self._work.name)
        finally:
            self._hand.give_back(InsertReason.DISPATCHER_DROP)

    async def _carry(self, message: Message) -> bool:
        """Transfer a message; return whether the other node takes messages."""
        targets = self._client.targets
        try:
            pieces = self._pieces(message)
        except SpoolEntryDamagedError as error:
            self._hand.drop(message)
            self._services.drop_damaged(message, str(error))
            return True
        except ValueError as error:
            await self._fail(message, str(error))
            return True
        try:
            handed = await self._client.send(self._target, pieces, self._timeout_s(message))
        except TransferError as error:
            await self._fail(message, str(error))
            self._refused += 1
            # So many in a row are not about the messages.
            return error.is_about_message and self._refused % REFUSED_MAX > 0
        self._refused = 0
        targets.note_taken(self._target)
        reply = SmtpReply(200, None, f"transferred to {self._target} as {handed.new_id}")
        await self._settle(message, reply, Disposition.DELIVERED)
        return True

    async def _fail(self, message: Message, why: str) -> None:
        self._client.targets.note_failed(self._target, why)
        reply = make_reply(451, f"4.4.1 transfer to {self._target} failed: {why}")
        await self._settle(message, reply, Disposition.DEFERRED)

    def _pieces(self, message: Message) -> tuple[bytes, bytes, bytes]:
        """Return what is sent.

        Raises:
            SpoolEntryDamagedError: The body cannot be read.
            ValueError: The metadata cannot be sent.
        """
        store, clock = self._services.store, self._services.clock
        body = message.data if message.data is not None else store.load_body(message.body_id)
        meta = message.meta
        if INFO not in meta:
            # Of a queue that the script has transferred: it goes on there as it is here.
            meta = {**meta, INFO: saved_state(message, clock.wall_of(message.due_mono))}
        return encode_head(message, self._node_id, meta), message.prefix, body

    def _timeout_s(self, message: Message) -> float:
        path = self._work.path
        wanted_s = path.data_dot_timeout_s + message.size / SLOWEST_PER_S
        return min(wanted_s, path.watchdog_s * _WATCHDOG_SHARE)

    async def _settle(self, message: Message, reply: SmtpReply, what: Disposition) -> None:
        work = self._work
        where = Circumstances(
            work.name,
            work.site_name,
            work.source.name,
            DELIVERY_PROTOCOL,
            provider_name=work.path.provider_name,
            session_id=self.session_id,
            began_mono=self._hand.taken_mono,
        )
        outcomes = [RecipientOutcome(one, reply, "", what) for one in message.recipients]
        await self._hand.settle(message, outcomes, where)
