"""Content accepted, refused or deferred; queue named; spool written.

Place in flow: ``smtp_session`` and ``http_injection`` submit an ``Incoming``; what is accepted goes
to ``engine.schedule.promotion`` through the ``Insert`` port.

Invariants:
    * All handlers of all parts run before anything is stored: one refusal refuses the transaction.
    * What handlers noted to be signed is signed after the last of them, or nothing is stored.
    * The messages of a transaction are committed together; 250 comes after that, never before.
    * Admission is a task of its own: the end of a session does not cancel it. A client that goes
      away meanwhile leaves the message wholly taken.

Failure: a handler's error, an unknown error and a spool that cannot write are all 451 or 452; the
cause goes to the diagnostic log, the client hears a constant text.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from engine.base.clock import Clock
from engine.base.dkim_signer import DkimSigner
from engine.base.metrics import Metrics
from engine.model.address import domain_of, parse_address
from engine.model.circumstances import Circumstances
from engine.model.errors import SpoolUnavailableError
from engine.model.header_block import header_end
from engine.model.insert_reason import InsertReason
from engine.model.log_record import RecordKind
from engine.model.message import (
    FLAG_8BIT,
    FLAG_SMTPUTF8,
    FLAG_WIRE_READY,
    Message,
    SpoolId,
    new_spool_id,
)
from engine.model.queue_name import parse_queue_name
from engine.model.reply import SmtpReply, make_reply
from engine.receive.incoming import Admitted, Incoming, Phase
from engine.receive.message_signing import MessageSigning, SigningJob
from engine.receive.trace_headers import format_received, format_supplemental
from engine.records.recorder import Recorder
from engine.script_refusals import SmtpRefusal
from engine.script_views import MessageView, queue_name_of
from engine.spool.spool_store import SpoolStore
from policy.errors import HookFailedError
from policy.handler_call import Pending
from policy.runtime import PolicyRuntime

log = logging.getLogger("cirrus.receive")

#: Received fields beyond which a message is going round in circles (RFC 5321, 6.3).
RECEIVED_MAX = 100
DISCARD_QUEUE = "null"
#: How long the handlers of one transaction may hold the loop before others get a turn, seconds.
SLICE_S = 0.005
_BLANKS = (b" ", b"\t")
LOOP = make_reply(554, "5.4.6 too many hops, this message is in a loop")
POLICY_FAILED = make_reply(451, "4.3.0 policy unavailable, try again later")
SPOOL_FAILED = make_reply(452, "4.3.1 cannot store the message now")
BAD_QUEUE = make_reply(451, "4.3.5 the message cannot be queued")
NO_RECIPIENT = make_reply(550, "5.7.1 no recipient accepted")
ACCEPTED_RECORD = SmtpReply(250, None, "")
INTERNAL = make_reply(451, "4.3.0 technical difficulties")

#: Port: give a stored message to its queue; never raises.
Insert = Callable[[Message], None]


class AdmissionPorts(Protocol):
    """What admission needs from the other stages."""

    store: SpoolStore
    recorder: Recorder
    runtime: PolicyRuntime
    clock: Clock
    metrics: Metrics


class _RefusedError(Exception):
    """A handler refused; carries the reply."""

    def __init__(self, reply: SmtpReply, cause: BaseException) -> None:
        super().__init__(reply.one_line())
        self.reply = reply
        self.refusal = cause


async def finished(answer: Any) -> Any:
    """Return a handler's answer, waiting for it only when it is ``async``."""
    if type(answer) is Pending:
        return await answer.finish()
    return answer


class Admission:
    """Turns transactions into stored, queued messages.

    Attributes:
        under_way: Transactions that are being judged and stored.
    """

    def __init__(self, ports: AdmissionPorts, insert: Insert) -> None:
        self._store = ports.store
        self._recorder = ports.recorder
        self._runtime = ports.runtime
        self._clock = ports.clock
        self._insert = insert
        self._signing = MessageSigning()
        self.under_way = 0
        received = ports.metrics.counter("total_messages_received")
        self._save_latency = ports.metrics.histogram("message_save_latency").labels()
        self._sign_latency = ports.metrics.histogram("dkim_signer_sign").labels()
        self._count_smtp = received.labels("esmtp_listener")
        self._count_http = received.labels("http_listener")

    async def admit(self, incoming: Incoming) -> Admitted:
        """Return what became of a transaction; never raises."""
        self.under_way += 1
        try:
            if self._recorder.must_wait:
                await self._recorder.wait_capacity()
            messages = await self._examine(incoming)
            return await self._take(incoming, messages)
        except _RefusedError as refused:
            return Admitted(refused.reply, refusal=refused.refusal)
        except SpoolUnavailableError as error:
            log.warning("message deferred: %s", error)
            return Admitted(SPOOL_FAILED)
        except Exception:  # boundary: listener session
            log.exception("admission failed")
            return Admitted(INTERNAL)
        finally:
            self.under_way -= 1

    async def _examine(self, incoming: Incoming) -> list[Message]:
        """Run all handlers; return the messages to store."""
        judge_hops(incoming.content)
        if incoming.content[:1] in _BLANKS:
            # It would continue the field that we put in front, and the client could write ours.
            incoming.content = b"\r\n" + incoming.content
        runtime, epoch = self._runtime, incoming.epoch
        whole = self._make(incoming, incoming.recipients)
        signers: list[DkimSigner] = []
        if incoming.is_smtp and (
            runtime.is_handled("smtp_data", epoch)
            or runtime.is_handled("smtp_split_transaction", epoch)
        ):
            batches = await self._fire_transaction(incoming, whole, signers)
        elif len(whole.recipients) == 1:
            batches = None
        else:
            batches = _split(whole.recipients, by_domain=incoming.batch_by_domain)
        messages = [whole] if batches is None else [self._part(whole, one) for one in batches]
        wall_s = self._clock.wall()
        for message in messages:
            if incoming.trace.received_header:
                self._add_received(incoming, message, wall_s)
        jobs = [SigningJob(message, list(signers)) for message in messages]
        if runtime.is_handled("message_received", epoch):
            await self._fire_received(incoming, jobs)
        incoming.phase = Phase.RESOLVE
        for message in messages:
            self._resolve(incoming, message)
        await self._sign([job for job in jobs if job.signers])
        return messages

    def _make(self, incoming: Incoming, recipients: list[str]) -> Message:
        wall_s = self._clock.wall()
        spool_id = new_spool_id(int(wall_s * 1e9))
        flags = 0 if incoming.content.isascii() else FLAG_8BIT
        if incoming.smtputf8:
            flags |= FLAG_SMTPUTF8
        if incoming.is_wire_ready:
            flags |= FLAG_WIRE_READY
        return Message(
            spool_id,
            incoming.sender,
            recipients,
            data=incoming.content,
            size=len(incoming.content),
            created_at=wall_s,
            due_mono=self._clock.mono(),
            meta=dict(incoming.conn_meta),
            flags=flags,
        )

    def _part(self, whole: Message, recipients: list[str]) -> Message:
        """Return a message for some of the recipients; it shares the body of the whole."""
        part = Message(
            new_spool_id(int(whole.created_at * 1e9)),
            whole.sender,
            recipients,
            data=whole.data,
            size=whole.size,
            created_at=whole.created_at,
            due_mono=whole.due_mono,
            meta=dict(whole.meta),
            body_id=whole.body_id,
            flags=whole.flags,
            schedule=whole.schedule,
            prefix=whole.prefix,
        )
        part.meta_dirty = whole.meta_dirty
        return part

    async def _fire_transaction(
        self, incoming: Incoming, whole: Message, signers: list[DkimSigner]
    ) -> list[list[str]] | None:
        view = MessageView(whole, None, self._clock, signers)
        await self._fire(incoming, "smtp_data", view, incoming.connection)
        groups = await self._fire(incoming, "smtp_split_transaction", view, incoming.connection)
        if groups is None:
            if len(whole.recipients) == 1:
                return None
            return _split(whole.recipients, by_domain=incoming.batch_by_domain)
        batches = [[parse_address(str(one)).email for one in group] for group in groups if group]
        if not batches:
            raise _RefusedError(
                NO_RECIPIENT, ValueError("smtp_split_transaction kept no recipient")
            )
        return batches

    async def _fire_received(self, incoming: Incoming, jobs: list[SigningJob]) -> None:
        """Ask about each message; those for a thousand recipients let other sessions go on."""
        began_mono = self._clock.mono()
        for message, noted in jobs:
            if self._clock.mono() - began_mono > SLICE_S:
                await asyncio.sleep(0)
                began_mono = self._clock.mono()
            view = MessageView(message, None, self._clock, noted)
            await self._fire(incoming, "message_received", view)

    async def _fire(self, incoming: Incoming, hook: str, *args: Any) -> Any:
        try:
            return await finished(self._runtime.fire_nowait(hook, *args, epoch=incoming.epoch))
        except SmtpRefusal as refusal:
            raise _RefusedError(refusal.reply, refusal) from None
        except HookFailedError as error:
            raise _RefusedError(POLICY_FAILED, error) from None

    def _add_received(self, incoming: Incoming, message: Message, wall_s: float) -> None:
        single = message.recipients[0] if len(message.recipients) == 1 else None
        field = format_received(
            client=incoming.client,
            peer_ip=incoming.peer_ip,
            hostname=incoming.hostname,
            own_ip=incoming.own_ip,
            protocol=incoming.protocol,
            tls=incoming.tls_note,
            spool_id=message.id,
            recipient=single,
            wall_s=wall_s,
        )
        message.prefix = field + message.prefix
        message.size += len(field)

    def _resolve(self, incoming: Incoming, message: Message) -> None:
        try:
            message.queue_name = queue_name_of(message)
            if not parse_queue_name(message.queue_name).domain:
                raise ValueError(f"the queue {message.queue_name!r} names no domain")
        except ValueError as error:
            log.warning("message %s: no queue name: %s", message.id, error)
            raise _RefusedError(BAD_QUEUE, error) from None
        if incoming.trace.supplemental_header:
            trace = incoming.trace
            field = format_supplemental(
                trace.header_name, message.recipients, message.meta, trace.include_meta_names
            )
            message.prefix = field + message.prefix
            message.size += len(field)
        if not message.prefix.isascii():
            message.flags |= FLAG_8BIT

    async def _sign(self, jobs: list[SigningJob]) -> None:
        kept = [job for job in jobs if job.message.queue_name != DISCARD_QUEUE]
        if not kept:
            return
        try:
            began = self._clock.mono()
            await self._signing.sign(kept, self._clock.wall())
            self._sign_latency.observe(self._clock.mono() - began)
        except Exception as error:
            log.exception("message %s cannot be signed", kept[0].message.id)
            raise _RefusedError(POLICY_FAILED, error) from error

    async def _take(self, incoming: Incoming, messages: list[Message]) -> Admitted:
        keep = [message for message in messages if message.queue_name != DISCARD_QUEUE]
        if incoming.abandoned:
            return Admitted(INTERNAL)
        incoming.phase = Phase.SPOOL
        if keep:
            began = self._clock.mono()
            await self._store.commit(keep, relaxed=incoming.relaxed)
            self._save_latency.observe(self._clock.mono() - began)
            if incoming.abandoned:
                # The session answered 4xx while the disk was slow: the client still owns it.
                for message in keep:
                    self._store.remove(message)
                return Admitted(INTERNAL)
        incoming.phase = Phase.INSERT
        count = self._count_smtp if incoming.is_smtp else self._count_http
        record = self._recorder.record
        where = Circumstances(
            session_id=incoming.session_id,
            peer=(incoming.client, incoming.peer_ip),
            tls=incoming.tls,
            began_mono=incoming.began_mono,
        )
        for message in messages:
            message.meta_dirty = 0
            count.inc()
            if incoming.is_smtp or message.queue_name != DISCARD_QUEUE:
                record(RecordKind.RECEPTION, message, reply=ACCEPTED_RECORD, where=where)
        for message in keep:
            message.context = InsertReason.RECEIVED
            self._insert(message)
        ids = [SpoolId(message.spool_id) for message in messages]
        text = "OK ids=" + " ".join(spool_id.hex() for spool_id in ids)
        return Admitted(make_reply(250, f"2.0.0 {text}"), ids, messages=messages)


def judge_hops(content: bytes) -> None:
    """Refuse a message that has been through too many hosts.

    Raises:
        _RefusedError: 554 5.4.6.
    """
    header = content[: header_end(content)].lower()
    hops = header.count(b"\r\nreceived:") + header.startswith(b"received:")
    if hops > RECEIVED_MAX:
        raise _RefusedError(LOOP, ValueError("loop"))


def _split(recipients: list[str], *, by_domain: bool) -> list[list[str]]:
    if not by_domain:
        return [[recipient] for recipient in recipients]
    groups: dict[str, list[str]] = {}
    for recipient in recipients:
        groups.setdefault(domain_of(recipient), []).append(recipient)
    return list(groups.values())
