"""One outgoing connection: take a message, connect, attempt, settle, go on.

Place in flow: started by ``engine.dispatching``; drives ``smtp_client`` over what
``engine.route.mx_plan`` found; hands outcomes to settlement through the ``Settle`` port.

Invariants:
    * A message is taken before a connection is opened: no connection is made for nothing.
    * The message in hand is settled or given back, whatever ends the task; whom it has reached by
      then is noted first.
    * Settlement of a message is complete before the next one starts; of a message that needs
      several transactions, who is finished is noted after each.

Failure: when no host can be reached the message in hand is deferred; the others stay in the ready
queue for the next session. What this machine lacks, and a kept connection that proves dead before
the host says a word, cost no attempt. A defect of ours defers the message (RFC 5321, 4.5.4.1).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from engine.deliver.attempt import RecipientOutcome, TransactionResult
from engine.deliver.dot_stuffing import ready_content
from engine.deliver.local_socket import (
    LocalResourceError,
    ProxyTroubleError,
    SourceUnplumbedError,
)
from engine.deliver.outgoing_session import OutgoingSession
from engine.deliver.smtp_client import SmtpClient
from engine.deliver.verdict import judge_reply
from engine.deliver.work import Services, Work
from engine.model.circumstances import Circumstances
from engine.model.disposition import Disposition
from engine.model.egress import ReconnectStrategy
from engine.model.errors import (
    EngineError,
    SpoolEntryDamagedError,
    SpoolUnavailableError,
)
from engine.model.insert_reason import InsertReason
from engine.model.message import FLAG_8BIT, FLAG_SMTPUTF8, FLAG_WIRE_READY, Message
from engine.model.queue_name import parse_queue_name
from engine.model.reply import SmtpReply, make_reply
from engine.route.mx_plan import Candidate, plan_connections
from engine.script_refusals import SmtpRefusal
from policy.errors import HookFailedError

log = logging.getLogger("cirrus.deliver")

#: How long a good-bye may take, seconds.
QUIT_S = 2.0
NO_HOSTS = make_reply(451, "4.4.4 the domain resolved to no usable address")
PROHIBITED = make_reply(550, "5.4.4 the destination is a prohibited host")
SKIPPED = make_reply(451, "4.4.4 every host of the destination is in skip_hosts")
STUCK = make_reply(451, "4.4.2 the session came no further and was ended")
DEFECT = make_reply(451, "4.3.0 internal error, tried again later")
INTERRUPTED = make_reply(451, "4.4.2 the session ended before this recipient's turn")


class _SessionOverError(Exception):
    """The session is at its end; nothing is in hand."""


class _Delivery:
    """One message on its way, over as many transactions and connections as it needs.

    Attributes:
        todo: Recipients without a verdict so far.
        deferred: Verdicts that wait for the message's end; the others are settled already.
    """

    __slots__ = ("content", "deferred", "message", "size", "todo")

    def __init__(self, message: Message, content: bytes, size: int) -> None:
        self.message = message
        self.content = content
        self.size = size
        self.todo = list(message.recipients)
        self.deferred: list[RecipientOutcome] = []

    def batch(self, most: int) -> list[str]:
        return self.todo[:most]

    def take(self, result: TransactionResult) -> None:
        """Take out of ``todo`` whom the transaction was for, but those for another one."""
        done = {one.recipient for one in result.outcomes}
        again = [one for one in result.retry_now if one not in done]
        rest = [one for one in self.todo if one not in done and one not in again]
        # "Too many recipients" of a batch: the rest goes at once in another transaction.
        self.todo = again + rest

    def interrupt(self, reply: SmtpReply) -> list[RecipientOutcome]:
        """Return the deferrals of all who have no verdict."""
        todo, self.todo = self.todo, []
        return [RecipientOutcome(one, reply, "", Disposition.DEFERRED) for one in todo]


class SmtpDispatcher(OutgoingSession):
    """Carries messages of one ready queue over one connection at a time."""

    def __init__(self, work: Work, services: Services) -> None:
        super().__init__(work, services)
        self._client: SmtpClient | None = None
        self._candidates: deque[Candidate] | None = None
        self._current: Candidate | None = None
        self._delivery: _Delivery | None = None
        self._trouble: list[str] = []

    @property
    def progress_mono(self) -> float:
        """Return when the session last came further: by a step, a reply, or data that left."""
        client = self._client
        return max(self._entered_mono, client.progress_mono if client is not None else 0.0)

    @property
    def detail(self) -> str:
        """Return the host that it speaks with or connects to."""
        current = self._current
        return "" if current is None else f"{current.host_name}/{current.address}:{current.port}"

    async def run(self) -> None:
        """Work until there is nothing left to do; never raises but for cancellation."""
        try:
            message = self._work.take_nowait()
            while message is not None:
                self._hand.take(message)
                await self._carry(message)
                message = await self._next()
        except _SessionOverError:
            pass
        except asyncio.CancelledError:
            if self.is_stuck:
                await self._note_known()
                await self._defer_in_hand(STUCK)
            else:
                await self._give_back(InsertReason.DISPATCHER_DROP)
            raise
        except SpoolUnavailableError as error:
            log.warning("%s: %s", self._work.name, error)
            await self._give_back(InsertReason.SPOOL_UNHEALTHY)
        except Exception:  # boundary: dispatcher
            log.exception("the dispatcher of %s met a defect", self._work.name)
            await self._note_known()
            await self._defer_in_hand(DEFECT)
        finally:
            self._gate.return_turn()
            await self._close()

    async def _give_back(self, reason: InsertReason, delay_s: float | None = None) -> None:
        """Give back what is in hand; what is known of its recipients is noted before."""
        await self._note_known()
        self._hand.give_back(reason, delay_s)

    async def _note_known(self) -> None:
        """Note what is known of the recipients of the message in hand."""
        delivery, self._delivery = self._delivery, None
        if delivery is not None and delivery.message in self._hand:
            known = delivery.deferred
            if self._client is not None:
                known = known + self._client.interrupted_outcomes()
            if known:
                try:
                    await self._hand.settle(
                        delivery.message, known, self._circumstances(), final=False
                    )
                except Exception:  # boundary: dispatcher
                    log.exception("cannot note what became of %s", delivery.message.id)

    async def _defer_in_hand(self, reply: SmtpReply) -> None:
        try:
            for message in list(self._hand.messages):
                await self._hand.settle(message, _all(message, reply), self._circumstances())
        except Exception:  # boundary: dispatcher
            log.exception("the dispatcher of %s cannot defer its message", self._work.name)
        finally:
            self._hand.give_back(InsertReason.DISPATCHER_DROP)

    async def _close(self) -> None:
        self._enter("Closing")
        client, self._client = self._client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(QUIT_S):
                await client.quit()
        except (TimeoutError, EngineError, OSError):
            client.abort()
        except BaseException:
            client.abort()
            raise

    async def _next(self) -> Message | None:
        """Return the next message, or None at the end of the session."""
        if self._delivered >= self._work.path.max_deliveries_per_connection:
            return None
        return await super()._next()

    # -- one message --------------------------------------------------------------------------

    async def _carry(self, message: Message) -> None:
        """Bring one message to its end, on as many connections as that takes."""
        self.trace.obtained(message)
        delivery = self._delivery = self._load(message)
        while delivery is not None:
            client = self._client
            if client is None or not client.is_alive():
                client = await self._connect(delivery)
            await self._wait_turn()
            if not client.is_alive():
                self._gate.return_turn()
                continue
            self._work.renew_slots(asyncio.current_task())
            if await self._attempt(client, delivery):
                break
        self._delivery = None

    def _load(self, message: Message) -> _Delivery | None:
        try:
            body = message.data
            if body is None:
                body = self._services.store.load_body(message.body_id)
        except SpoolEntryDamagedError as error:
            self._hand.drop(message)
            self._services.drop_damaged(message, str(error))
            return None
        is_wire_ready = bool(message.flags & FLAG_WIRE_READY)
        content = ready_content(message.prefix, body, is_wire_ready=is_wire_ready)
        return _Delivery(message, content, len(message.prefix) + len(body))

    async def _wait_turn(self) -> None:
        """Wait for the message rates, or give the queue back when that takes too long."""
        wait_s = await self._gate.wait_messages()
        if wait_s > 0.0:
            await self._return_all(InsertReason.MESSAGE_RATE_THROTTLE, wait_s)

    async def _return_all(self, reason: InsertReason, delay_s: float | None) -> None:
        await self._give_back(reason, delay_s)
        self._work.return_all(reason, delay_s)
        raise _SessionOverError

    async def _attempt(self, client: SmtpClient, delivery: _Delivery) -> bool:
        """Send the message over the connection; return whether it is settled."""
        path, message = self._work.path, delivery.message
        where = self._circumstances()
        while True:
            self._enter("DeliveringMessage")
            began_mono = self._entered_mono
            result = await client.deliver(
                message.sender,
                delivery.batch(path.max_recipients_per_batch),
                delivery.content,
                delivery.size,
                is_8bit=bool(message.flags & FLAG_8BIT),
                needs_smtputf8=bool(message.flags & FLAG_SMTPUTF8),
            )
            self._enter("DeliveringMessage")
            if result.not_begun:
                self._forget_client()
                self._gate.return_turn()
                return False
            self._gate.use_turn()
            self._services.note_attempt("smtp_client", self._entered_mono - began_mono)
            self._delivered += 1
            delivery.take(result)
            outcomes = await self._judged(delivery, result.outcomes)
            if not result.usable:
                self._lose_client()
            if not delivery.todo or not result.usable:
                return await self._conclude(delivery, outcomes, where)
            await self._note(delivery, outcomes, where)

    async def _judged(
        self, delivery: _Delivery, outcomes: list[RecipientOutcome]
    ) -> list[RecipientOutcome]:
        """Return the outcomes as the script sees them; nothing is lost if the task ends here."""
        if not self._services.runtime.is_handled("rewrite_delivery_status"):
            return outcomes
        try:
            await self._rewrite(delivery.message, outcomes)
        except BaseException:
            delivery.deferred = delivery.deferred + outcomes
            raise
        finally:
            for one in outcomes:
                if one.disposition is None:
                    one.disposition = judge_reply(one.reply, one.command)
        return outcomes

    async def _note(
        self, delivery: _Delivery, outcomes: list[RecipientOutcome], where: Circumstances
    ) -> None:
        """Make durable who is finished before the next transaction of the same message."""
        finished = [one for one in outcomes if one.disposition is not Disposition.DEFERRED]
        delivery.deferred += [one for one in outcomes if one.disposition is Disposition.DEFERRED]
        if finished:
            await self._hand.settle(delivery.message, finished, where, final=False)

    async def _conclude(
        self, delivery: _Delivery, outcomes: list[RecipientOutcome], where: Circumstances
    ) -> bool:
        """Settle a message that is at its end on this host; return whether it is at its end."""
        outcomes = delivery.deferred + outcomes + delivery.interrupt(INTERRUPTED)
        delivery.deferred = []
        message, is_lost = delivery.message, self._client is None
        is_deferred = any(one.disposition is Disposition.DEFERRED for one in outcomes)
        path = self._work.path
        if is_lost and is_deferred and path.try_next_host_on_transport_error and self._candidates:
            await self._hand.settle(message, outcomes, where, final=False)
            delivery.todo = list(message.recipients)
            return message not in self._hand
        await self._hand.settle(message, outcomes, where)
        if is_lost and not self._may_reconnect():
            raise _SessionOverError
        return True

    def _lose_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.abort()

    def _forget_client(self) -> None:
        """Drop a connection that proved dead: no failure, the same hosts are tried again."""
        self._lose_client()
        self._candidates = None

    def _may_reconnect(self) -> bool:
        """Return whether the session goes on over a new connection, and prepare for it."""
        strategy = self._work.path.reconnect_strategy
        if strategy is ReconnectStrategy.TERMINATE_SESSION:
            return False
        if strategy is ReconnectStrategy.RECONNECT_SAME_HOST and self._current is not None:
            self._candidates = deque([self._current, *(self._candidates or ())])
        return bool(self._candidates)

    async def _rewrite(self, message: Message, outcomes: list[RecipientOutcome]) -> None:
        """Let the script change the codes of replies that are not 250."""
        parsed = parse_queue_name(message.queue_name)
        for one in outcomes:
            if one.reply.code == 250:
                continue
            try:
                code = await self._services.runtime.fire(
                    "rewrite_delivery_status",
                    one.reply.one_line(),
                    parsed.domain,
                    parsed.tenant,
                    parsed.campaign,
                    parsed.routing_domain or parsed.domain,
                )
            except HookFailedError:
                continue  # the policy's report has told of it
            except SmtpRefusal as error:
                log.error("rewrite_delivery_status failed: %s", error)
                continue
            if code is None or code == one.reply.code or not 200 <= code <= 599:
                continue
            one.reply = one.reply.with_code(code)
            one.disposition = None

    # -- connecting ---------------------------------------------------------------------------

    async def _connect(self, delivery: _Delivery) -> SmtpClient:
        """Return an open session.

        Raises:
            _SessionOverError: There is none; the message was settled or given back.
        """
        if self._client is not None:
            # The peer closed an idle connection.
            self._forget_client()
        if self._candidates is None:
            self._candidates = await self._plan(delivery)
        wait_s = await self._gate.wait_connection()
        if wait_s > 0.0:
            await self._return_all(InsertReason.CONNECTION_RATE_THROTTLE, wait_s)
        while self._candidates:
            client = await self._open(self._candidates.popleft())
            if client is not None:
                self._client = client
                self._delivered = 0
                self._trouble.clear()
                self._work.connected()
                self._services.note_connected("smtp_client", self._work.name)
                return client
        tried = "; ".join(self._trouble[-8:]) or "no hosts left"
        reply = make_reply(451, f"4.4.1 failed to connect to any candidate hosts: {tried}")
        await self._defer(delivery, reply)
        self._work.connect_failed()
        raise _SessionOverError

    async def _open(self, candidate: Candidate) -> SmtpClient | None:
        """Return a session with this host, or None when it failed."""
        self._enter("AttemptingConnection")
        self._current = candidate
        try:
            return await SmtpClient.connect(
                candidate,
                self._work.source,
                self._work.path,
                hostname=self._services.hostname,
                mono=self._services.clock.mono,
                broken_tls=self._services.broken_tls,
                resolve=self._services.resolver().resolve_addresses,
                trace=self.trace,
            )
        except LocalResourceError as error:
            log.warning("%s: %s", self._work.name, error)
            await self._return_all(InsertReason.DISPATCHER_DROP, None)
        except EngineError as error:
            if isinstance(error, SourceUnplumbedError):
                self._services.note_unbound()
            if isinstance(error, SourceUnplumbedError | ProxyTroubleError):
                self._services.note_source_trouble(self._work.source, error)
            self._trouble.append(f"{candidate.host_name}/{candidate.address}: {error}")
            self.trace.diagnostic("ERROR", self._trouble[-1])
        return None

    async def _defer(self, delivery: _Delivery, reply: SmtpReply) -> None:
        """Settle the message with one reply for all who have none of their own."""
        outcomes = delivery.deferred + delivery.interrupt(reply)
        await self._hand.settle(delivery.message, outcomes, self._circumstances())

    async def _plan(self, delivery: _Delivery) -> deque[Candidate]:
        """Return the hosts to try.

        Raises:
            _SessionOverError: There are none; the message was settled.
        """
        self._enter("AttemptingConnection")
        work, services = self._work, self._services
        assert work.route is not None
        try:
            plan = await plan_connections(
                services.resolver(),
                work.route,
                path=work.path,
                source=work.source,
                rng=services.rng,
            )
        except EngineError as error:
            reply = make_reply(451, f"4.4.4 cannot resolve {work.routing_domain}: {error}")
            await self._defer(delivery, reply)
            raise _SessionOverError from None
        if plan.prohibited:
            await self._settle_queue(PROHIBITED, InsertReason.MX_WAS_PROHIBITED)
        if plan.skipped_all:
            await self._settle_queue(SKIPPED, InsertReason.MX_WAS_SKIPPED)
        if not plan.candidates:
            await self._settle_queue(NO_HOSTS, InsertReason.MX_RESOLVED_TO_ZERO_HOSTS)
        return deque(plan.candidates)

    async def _settle_queue(self, reply: SmtpReply, reason: InsertReason) -> None:
        """Settle the message in hand and all others of the ready queue alike; end the session."""
        where = self._circumstances()
        following: Message | None = self._hand.messages[0]
        while following is not None:
            following.context |= reason
            await self._hand.settle(following, _all(following, reply), where)
            following = self._work.take_nowait()
            if following is not None:
                self._hand.take(following)
        raise _SessionOverError

    # -- what records say ---------------------------------------------------------------------

    def _circumstances(self) -> Circumstances:
        work, client, current = self._work, self._client, self._current
        peer = None
        if client is not None:
            peer = client.peer_name, client.peer_address
        elif current is not None:
            peer = current.host_name, current.address
        return Circumstances(
            work.name,
            work.site_name,
            work.source.name,
            "LMTP" if work.path.use_lmtp else "ESMTP",
            work.path.provider_name,
            self.session_id,
            peer,
            None if client is None else client.source_address,
            None if client is None else client.tls,
            began_mono=self._hand.taken_mono,
        )


def _all(message: Message, reply: SmtpReply) -> list[RecipientOutcome]:
    """Return one outcome for each recipient, judged by the reply."""
    disposition = judge_reply(reply)
    return [RecipientOutcome(one, reply, "", disposition) for one in message.recipients]
