"""One outgoing connection: take a message, connect, attempt, settle, go on.

Place in flow: started by ``engine.ready.ready_queue``; drives ``smtp_client`` over what
``engine.route.mx_plan`` found; hands outcomes to settlement through the ``Settle`` port.

Invariants:
    * A message is taken before a connection is opened: no connection is made for nothing.
    * The message in hand is settled or given back, whatever ends the task.
    * Settlement of a message is complete before the next one starts.

Failure: when no host can be reached the message in hand is deferred; the others stay in the ready
queue for the next session. A defect of ours defers the message (RFC 5321, 4.5.4.1).
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterator
from typing import Any

from engine.deliver.attempt import RecipientOutcome
from engine.deliver.smtp_client import SmtpClient
from engine.deliver.verdict import judge_reply
from engine.deliver.work import Circumstances, Services, Work
from engine.model.disposition import Disposition
from engine.model.egress import ReconnectStrategy
from engine.model.errors import (
    DnsFailureError,
    EngineError,
    SpoolEntryDamagedError,
    SpoolUnavailableError,
)
from engine.model.insert_reason import InsertReason
from engine.model.message import FLAG_8BIT, FLAG_SMTPUTF8, Message
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
DEFECT = make_reply(451, "4.3.0 internal error, tried again later")


class _SessionOverError(Exception):
    """The session is at its end; nothing is in hand."""


class SmtpDispatcher:
    """Carries messages of one ready queue over one connection at a time."""

    def __init__(self, work: Work, services: Services) -> None:
        self._work = work
        self._services = services
        self._client: SmtpClient | None = None
        self._candidates: Iterator[Candidate] | None = None
        self._current: Candidate | None = None
        self._message: Message | None = None
        self._delivered = 0
        self.session_id = str(uuid.uuid4())
        self.started_mono = services.clock.mono()
        self.progress_mono = self.started_mono
        self.phase = "Starting"
        self._trouble: list[str] = []

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self.progress_mono = self._services.clock.mono()

    async def run(self) -> None:
        """Work until there is nothing left to do; never raises but for cancellation."""
        try:
            self._message = self._work.take_nowait()
            while self._message is not None:
                await self._carry(self._message)
                await self._next()
        except _SessionOverError:
            pass
        except asyncio.CancelledError:
            self._give_back(InsertReason.DISPATCHER_DROP)
            raise
        except SpoolUnavailableError as error:
            log.warning("%s: %s", self._work.name, error)
            self._give_back(InsertReason.SPOOL_UNHEALTHY)
        except Exception:  # boundary: dispatcher
            log.exception("the dispatcher of %s met a defect", self._work.name)
            message, self._message = self._message, None
            if message is not None:
                await self._services.defer_whole(message, DEFECT, self._circumstances())
        finally:
            await self._close()

    def _give_back(self, reason: InsertReason) -> None:
        message, self._message = self._message, None
        if message is not None:
            self._services.give_back(message, reason, None)

    async def _close(self) -> None:
        self._enter("Closing")
        client, self._client = self._client, None
        if client is not None:
            try:
                async with asyncio.timeout(QUIT_S):
                    await client.quit()
            except (TimeoutError, EngineError, OSError):
                client.abort()

    async def _next(self) -> None:
        """Put the next message in hand, or None at the end of the session."""
        work = self._work
        if self._delivered >= work.path.max_deliveries_per_connection or not work.may_work():
            self._message = None
            return
        self._message = work.take_nowait()
        if self._message is None:
            self._enter("Idle")
            self._message = await work.wait_message(work.path.idle_timeout_s)

    # -- one message --------------------------------------------------------------------------

    async def _carry(self, message: Message) -> None:
        """Bring one message to its end on some host."""
        body = self._load(message)
        if body is None:
            return
        while True:
            client = self._client
            if client is None or not client.is_alive():
                client = await self._connect(message)
                if client is None:
                    raise _SessionOverError
            if await self._throttled():
                raise _SessionOverError
            self._work.renew_slots(asyncio.current_task())
            if await self._attempt(client, message, body):
                return

    def _load(self, message: Message) -> bytes | None:
        try:
            body = message.data
            if body is None:
                body = self._services.store.load_body(message.body_id)
        except SpoolEntryDamagedError as error:
            self._message = None
            self._services.drop_damaged(message, str(error))
            return None
        return message.prefix + body

    async def _attempt(self, client: SmtpClient, message: Message, body: bytes) -> bool:
        """Send the message over the connection; return whether it is settled."""
        self._enter("DeliveringMessage")
        path = self._work.path
        where = self._circumstances()
        outcomes: list[RecipientOutcome] = []
        todo = list(message.recipients)
        rounds = 0
        while todo:
            chunk, todo = (
                todo[: path.max_recipients_per_batch],
                todo[path.max_recipients_per_batch :],
            )
            result = await client.deliver(
                message.sender,
                chunk,
                body,
                is_8bit=bool(message.flags & FLAG_8BIT),
                needs_smtputf8=bool(message.flags & FLAG_SMTPUTF8),
            )
            self._enter("DeliveringMessage")
            self._delivered += 1
            outcomes += result.outcomes
            # "Too many recipients" of a batch: the rest goes at once in another transaction.
            todo = list(result.retry_now) + todo
            rounds += bool(result.retry_now)
            if not result.usable:
                self._lose_client()
                break
            if rounds > len(message.recipients):
                break
        return await self._conclude(message, outcomes, where)

    async def _conclude(
        self, message: Message, outcomes: list[RecipientOutcome], where: Circumstances
    ) -> bool:
        if self._services.runtime.is_handled("rewrite_delivery_status"):
            await self._rewrite(message, outcomes)
        for one in outcomes:
            if one.disposition is None:
                one.disposition = judge_reply(one.reply, one.command)
        is_lost = self._client is None
        if (
            is_lost
            and self._work.path.try_next_host_on_transport_error
            and any(one.disposition is Disposition.DEFERRED for one in outcomes)
            and self._has_next_host()
        ):
            await self._services.settle(message, outcomes, where, False)
            return not message.recipients
        # From here on settlement owns the message.
        self._message = None
        await self._services.settle(message, outcomes, where, True)
        if is_lost and not self._may_reconnect():
            raise _SessionOverError
        return True

    def _lose_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.abort()
        if self._work.path.reconnect_strategy is ReconnectStrategy.RECONNECT_SAME_HOST:
            current = self._current
            if current is not None and self._candidates is not None:
                self._candidates = _chain(current, self._candidates)
                self._current = None

    def _may_reconnect(self) -> bool:
        strategy = self._work.path.reconnect_strategy
        return strategy is not ReconnectStrategy.TERMINATE_SESSION and self._has_next_host()

    def _has_next_host(self) -> bool:
        if self._candidates is None:
            return False
        following = next(self._candidates, None)
        if following is None:
            return False
        self._candidates = _chain(following, self._candidates)
        return True

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
            except (HookFailedError, SmtpRefusal) as error:
                log.error("rewrite_delivery_status failed: %s", error)
                continue
            if code is None or code == one.reply.code or not 200 <= code <= 599:
                continue
            note = f"{one.reply.full_text} (status rewritten from {one.reply.code} to {code})"
            one.reply = make_reply(code, note)
            one.disposition = None

    # -- connecting ---------------------------------------------------------------------------

    async def _connect(self, message: Message) -> SmtpClient | None:
        """Return an open session, or None after the message was settled or given back."""
        if self._client is not None:
            # The peer closed an idle connection: no failure, the same hosts are tried again.
            self._client.abort()
            self._client = None
            self._candidates = None
        if self._candidates is None and not await self._plan(message):
            return None
        if await self._connection_throttled():
            return None
        assert self._candidates is not None
        for candidate in self._candidates:
            self._enter("AttemptingConnection")
            self._current = candidate
            try:
                client = await SmtpClient.connect(
                    candidate,
                    self._work.source,
                    self._work.path,
                    hostname=self._services.hostname,
                    mono=self._services.clock.mono,
                    broken_tls=self._services.broken_tls,
                )
            except EngineError as error:
                self._trouble.append(f"{candidate.host_name}/{candidate.address}: {error}")
                continue
            self._client = client
            self._delivered = 0
            self._trouble.clear()
            self._work.connected()
            return client
        await self._unreachable(message)
        return None

    async def _unreachable(self, message: Message) -> None:
        self._message = None
        tried = "; ".join(self._trouble[-8:]) or "no hosts left"
        reply = make_reply(451, f"4.4.1 failed to connect to any candidate hosts: {tried}")
        await self._services.defer_whole(message, reply, self._circumstances())
        self._work.connect_failed()

    async def _plan(self, message: Message) -> bool:
        """Work out the hosts to try; return False after the message was settled."""
        self._enter("AttemptingConnection")
        work, services = self._work, self._services
        where = self._circumstances()
        assert work.route is not None
        try:
            plan = await plan_connections(
                services.resolver(),
                work.route,
                path=work.path,
                source=work.source,
                rng=services.rng,
            )
        except (DnsFailureError, EngineError) as error:
            self._message = None
            reply = make_reply(451, f"4.4.4 cannot resolve {work.routing_domain}: {error}")
            await services.defer_whole(message, reply, where)
            return False
        self._message = message
        if plan.prohibited:
            await self._whole(message, PROHIBITED, InsertReason.MX_WAS_PROHIBITED, where)
            return False
        if not plan.candidates:
            reply = SKIPPED if plan.skipped_all else NO_HOSTS
            reason = (
                InsertReason.MX_WAS_SKIPPED
                if plan.skipped_all
                else (InsertReason.MX_RESOLVED_TO_ZERO_HOSTS)
            )
            await self._whole(message, reply, reason, where)
            return False
        self._candidates = iter(plan.candidates)
        return True

    async def _whole(
        self, message: Message, reply: SmtpReply, reason: InsertReason, where: Circumstances
    ) -> None:
        """Settle the message in hand and all others of the ready queue alike."""
        settle = self._services.fail_whole if reply.is_permanent else self._services.defer_whole
        following: Message | None = message
        while following is not None:
            self._message = following
            following.context |= reason
            self._message = None
            await settle(following, reply, where)
            following = self._work.take_nowait()

    async def _connection_throttled(self) -> bool:
        """Wait for the connection rate; True when the queue was given back instead."""
        rate = self._work.path.max_connection_rate
        if rate is None:
            return False
        bucket = self._services.limiter.bucket(f"{self._work.name}-connection-rate", rate)
        return await self._wait_turn(
            bucket, "ConnectionRateThrottled", InsertReason.CONNECTION_RATE_THROTTLE
        )

    async def _throttled(self) -> bool:
        """Wait for the message rates; True when the queue was given back instead."""
        path = self._work.path
        if path.max_message_rate is None and not path.additional_message_rate_throttles:
            return False
        rates = [(spec, key) for key, spec in path.additional_message_rate_throttles.items()]
        if path.max_message_rate is not None:
            rates.append((path.max_message_rate, f"max_message_rate.{self._work.name}"))
        taken: list[Any] = []
        for spec, key in sorted(rates, key=lambda item: item[0].per_s):
            bucket = self._services.limiter.bucket(key, spec)
            if await self._wait_turn(
                bucket, "MessageRateThrottled", InsertReason.MESSAGE_RATE_THROTTLE
            ):
                for other in taken:
                    other.give_back()
                return True
            taken.append(bucket)
        return False

    async def _wait_turn(self, bucket: Any, phase: str, reason: InsertReason) -> bool:
        while (wait_s := bucket.take()) > 0:
            self._enter(phase)
            if wait_s >= self._work.path.idle_timeout_s:
                message, self._message = self._message, None
                if message is not None:
                    self._services.give_back(message, reason, wait_s)
                self._work.return_all(reason, wait_s)
                return True
            await self._services.sleep(wait_s)
        return False

    # -- what records say ---------------------------------------------------------------------

    def _circumstances(self) -> Circumstances:
        work, client = self._work, self._client
        protocol = "LMTP" if work.path.use_lmtp else "ESMTP"
        where = Circumstances(
            work.name,
            work.site_name,
            work.source.name,
            protocol,
            provider_name=work.path.provider_name,
            session_id=self.session_id,
        )
        if client is not None:
            where.peer = (client.peer_name, client.peer_address)
            where.source_address = client.source_address
            where.tls = client.tls
        elif self._current is not None:
            where.peer = (self._current.host_name, self._current.address)
        return where


def _chain(first: Candidate, rest: Iterator[Candidate]) -> Iterator[Candidate]:
    yield first
    yield from rest
