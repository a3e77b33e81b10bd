"""MAIL, RCPT, DATA and BDAT of a session: a transaction from its sender to its verdict.

Place in flow: commands of ``engine.receive.smtp_session``; finished transactions go to
``engine.receive.admission``.

Invariants:
    * A recipient is relayed to if the client may relay anywhere, or a listener domain says so.
    * The octets of a refused chunk are read all the same: what follows them is a command.
    * Whatever the verdict, the transaction is over after it.
    * Content that memory is too short for is dropped while it comes in, and answered 421.

Failure: a spent ``data_processing_timeout`` is 451 4.4.5 and nothing of the message is kept.

Standard: RFC 5321 sections 4.1.1.2 to 4.1.1.4; RFC 3030 (CHUNKING).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from engine.model.address import EnvelopeAddress, domain_of
from engine.model.reply import SmtpReply, make_reply
from engine.receive import data_reader
from engine.receive.admission import POLICY_FAILED, finished
from engine.receive.data_reader import DataReader, LineEndings, judge_content
from engine.receive.incoming import Admitted, Incoming, Phase
from engine.receive.session_trace import trace_of
from engine.receive.smtp_grammar import (
    check_mail_parameters,
    check_rcpt_parameters,
    parse_bdat_argument,
    parse_path_argument,
)
from engine.script_refusals import SmtpRefusal
from policy.errors import HookFailedError

if TYPE_CHECKING:
    from engine.receive.smtp_session import SmtpSession

log = logging.getLogger("cirrus.receive")

SENDER_OK = make_reply(250, "2.1.0 sender OK")
RECIPIENT_OK = make_reply(250, "2.1.5 recipient OK")
START_DATA = SmtpReply(354, None, "go ahead, end with <CRLF>.<CRLF>")
NESTED_MAIL = make_reply(503, "5.5.0 a transaction is already open")
NEED_MAIL = make_reply(503, "5.5.0 MAIL first")
NEED_RCPT = make_reply(503, "5.5.0 RCPT first")
DATA_ARGUMENT = make_reply(501, "5.5.4 DATA takes no argument")
TOO_MANY_RECIPIENTS = make_reply(452, "4.5.3 too many recipients")
TOO_MANY_MESSAGES = make_reply(421, "4.5.3 too many messages on this connection")
DEFECT = make_reply(451, "4.3.0 technical difficulties, try again later")
ACCESS_DENIED = make_reply(550, "5.7.1 relaying not permitted")
SPENT = "4.4.5 processing took too long"
#: Domains whose listener domain is remembered within a transaction.
_DOMAINS_MAX = 64
_UNKNOWN_DOMAIN = object()


async def obey_mail(session: SmtpSession, argument: str, line: str) -> None:
    """Open a transaction."""
    if session.sender is not None:
        await session.complain(NESTED_MAIL, line)
        return
    sender, parameters = parse_path_argument(argument, "FROM", status="5.1.7")
    options = session.options
    refusal = parameters and check_mail_parameters(
        parameters, max_message_size_bytes=options.max_message_size_bytes
    )
    if refusal:
        await session.answer(refusal, line)
        return
    if session.messages >= options.max_messages_per_connection:
        await session.answer(TOO_MANY_MESSAGES, line)
        return
    reason = session.closed_for_mail()
    if reason is not None:
        await session.answer(make_reply(421, f"4.3.2 {options.hostname} {reason}"), line)
        return
    runtime = session.ports.runtime
    session.epoch = runtime.epoch
    # What the script said about domains holds for one transaction: it may have changed.
    session.domains.clear()
    session.line = line
    if runtime.is_handled("smtp_mail_from", session.epoch) and (
        await session.ask("smtp_mail_from", sender, session.connection) is not None
    ):
        return
    session.sender = sender
    session.began_mono = session.loop.time()
    session.forget_errors()
    session.smtputf8 = "SMTPUTF8" in parameters or not sender.email.isascii()
    await session.answer(SENDER_OK, line)


async def obey_rcpt(session: SmtpSession, argument: str, line: str) -> None:
    """Add a recipient, if it may be relayed to."""
    if session.sender is None:
        await session.complain(NEED_MAIL, line)
        return
    recipient, parameters = parse_path_argument(argument, "TO", status="5.1.3")
    refusal = check_rcpt_parameters(parameters) if parameters else None
    if refusal is not None:
        await session.answer(refusal, line)
        return
    options = session.options
    if not recipient.domain:
        user = recipient.user
        recipient = EnvelopeAddress(user, options.hostname, f"{user}@{options.hostname}")
    session.line = line
    if not _is_relay_host(session):
        verdict = await _judge_relay(session, recipient)
        if verdict is not None:
            await session.answer(verdict, line)
            return
    if len(session.recipients) >= options.max_recipients_per_message:
        await session.answer(TOO_MANY_RECIPIENTS, line)
        return
    if session.ports.runtime.is_handled("smtp_rcpt_to", session.epoch) and (
        await session.ask("smtp_rcpt_to", recipient, session.connection) is not None
    ):
        return
    session.recipients.append(recipient.email)
    if not recipient.email.isascii():
        session.smtputf8 = True
    await session.answer(RECIPIENT_OK, line)


# -- relaying ---------------------------------------------------------------------------------


def _is_relay_host(session: SmtpSession) -> bool:
    return session.identity is not None or session.peer_ip in session.options.relay_hosts


async def _judge_relay(session: SmtpSession, recipient: EnvelopeAddress) -> SmtpReply | None:
    """Return the refusal of a recipient that may not be relayed to, or None."""
    if not session.ports.runtime.is_handled("get_listener_domain", session.epoch):
        return ACCESS_DENIED
    sender = session.sender
    try:
        if sender is not None and sender.domain:
            domain = await _listener_domain(session, domain_of(sender.email))
            if domain is not None and session.peer_ip in domain.relay_from:
                return None
        domain = await _listener_domain(session, domain_of(recipient.email))
        if domain is not None and domain.relay_to:
            return None
    except SmtpRefusal as refusal:
        return refusal.reply
    except HookFailedError:
        return POLICY_FAILED
    return ACCESS_DENIED


async def _listener_domain(session: SmtpSession, name: str) -> Any:
    known = session.domains.get(name, _UNKNOWN_DOMAIN)
    if known is not _UNKNOWN_DOMAIN:
        return known
    found = await finished(
        session.ports.runtime.fire_nowait(
            "get_listener_domain",
            name,
            session.own_address,
            session.connection,
            epoch=session.epoch,
        )
    )
    if found is not None and not hasattr(found, "relay_to"):
        log.error("get_listener_domain answered with something else than a listener domain")
        raise SmtpRefusal(POLICY_FAILED)
    if len(session.domains) >= _DOMAINS_MAX:
        session.domains.clear()
    session.domains[name] = found
    return found


# -- content ----------------------------------------------------------------------------------


async def obey_data(session: SmtpSession, argument: str, line: str) -> None:
    """Take a message up to the final dot."""
    if argument:
        await session.complain(DATA_ARGUMENT, line)
        return
    if not session.recipients:
        await session.complain(NEED_MAIL if session.sender is None else NEED_RCPT, line)
        return
    reason = session.ports.gate()
    if reason is not None:
        text = f"4.3.2 {session.options.hostname} {reason}"
        await session.answer(make_reply(421, text), line)
        return
    await session.answer(START_DATA, line)
    if session.is_ending:
        return
    dropped_for: SmtpReply | None = None
    began_mono = session.loop.time()
    reader = DataReader(session.options.max_message_size_bytes)
    rest = reader.feed(session.take_input()) if session.has_input else None
    while rest is None:
        await session.flush()
        await session.more_input()
        block = session.take_input()
        shortage = None if reader.is_dropped else _shortage_after(session, len(block))
        rest = reader.feed(block)
        if shortage is not None and rest is None:
            # The client is told after its dot: in the middle it would not listen. What this
            # frees lets others finish.
            session.ports.memory.grow(-reader.drop())
            dropped_for = shortage
        if reader.is_hopeless:
            await session.answer(dropped_for or data_reader.TOO_BIG, ".")
            session.is_ending = True
            return
    session.give_back(rest)
    session.listener.read_data_duration.observe(session.loop.time() - began_mono)
    if dropped_for is not None or reader.too_big:
        await _refuse_content(session, dropped_for or data_reader.TOO_BIG)
        return
    content = reader.content()
    await _finish(session, content, is_dotless=reader.is_dotless)


def _shortage_after(session: SmtpSession, octets: int) -> SmtpReply | None:
    """Count octets of content; return the refusal when memory is too short for them, or None."""
    memory = session.ports.memory
    memory.grow(octets)
    reason = memory.trouble()
    if reason is None:
        return None
    return make_reply(421, f"4.3.2 {session.options.hostname} {reason}")


async def obey_bdat(session: SmtpSession, argument: str, line: str) -> None:
    """Take a chunk of a message; the last one ends it (RFC 3030)."""
    size, last = parse_bdat_argument(argument)
    if session.chunk_trouble is None:
        if not session.recipients:
            session.chunk_trouble = NEED_MAIL if session.sender is None else NEED_RCPT
        elif (reason := session.ports.gate()) is not None:
            text = f"4.3.2 {session.options.hostname} {reason}"
            session.chunk_trouble = make_reply(451, text)
    if session.chunks is None:
        session.chunks = bytearray()
    await _read_chunk(session, session.chunks, size)
    trouble = session.chunk_trouble
    if trouble is not None:
        had_transaction = bool(session.recipients)
        await session.answer(trouble, line)
        if last or not had_transaction:
            session.reset()
        return
    if not last:
        await session.answer(make_reply(250, f"2.0.0 {size} octets received"), line)
        return
    content, session.chunks = bytes(session.chunks), None
    await _finish(session, content, is_dotless=False)


async def _read_chunk(session: SmtpSession, chunks: bytearray, size: int) -> None:
    left = size
    while left:
        if not session.has_input:
            await session.flush()
            await session.more_input()
            continue
        block = session.take_octets(left)
        left -= len(block)
        if session.chunk_trouble is None:
            chunks += block
            session.chunk_trouble = _shortage_after(session, len(block))
            if len(chunks) > session.options.max_message_size_bytes:
                session.chunk_trouble = data_reader.TOO_BIG
            if session.chunk_trouble is not None:
                session.ports.memory.grow(-len(chunks))
                chunks.clear()


async def _refuse_content(session: SmtpSession, reply: SmtpReply) -> None:
    await session.answer(reply, ".")
    session.reset()


async def _finish(session: SmtpSession, content: bytes, *, is_dotless: bool) -> None:
    """Judge the content, have it admitted and answer."""
    options = session.options
    judged = judge_content(
        content,
        max_message_size_bytes=options.max_message_size_bytes,
        line_limit=options.line_length_hard_limit,
        endings=LineEndings(options.invalid_line_endings),
    )
    if judged.refusal is not None:
        await _refuse_content(session, judged.refusal)
        return
    content = judged.content or b"\r\n"
    if session.tracing.is_on:
        trace_of(session).content(content)
    # Storing it takes a copy for the write and one in the store: what was read in time may still
    # be too much to keep.
    shortage = _shortage_after(session, 2 * len(content))
    if shortage is not None:
        session.ports.memory.grow(-3 * len(content))
        await _refuse_content(session, shortage)
        return
    incoming = _make_incoming(session, content)
    incoming.is_wire_ready = is_dotless and judged.has_only_crlf and content.endswith(b"\r\n")
    session.messages += 1
    read_mono = session.loop.time()
    admitted = await _wait_admitted(session, incoming)
    done_mono = session.loop.time()
    session.listener.process_data_duration.observe(done_mono - read_mono)
    session.listener.transaction_duration.observe(done_mono - session.began_mono)
    session.line = "."
    if session.tracing.is_on and admitted is not None:
        trace_of(session).disposed(admitted.messages)
    if admitted is None:
        await session.answer(make_reply(451, f"{SPENT} ({incoming.phase.value})"), ".")
    elif isinstance(admitted.refusal, SmtpRefusal):
        await session.refuse(admitted.refusal)
    else:
        await session.answer(admitted.reply, ".")
    session.reset()


def _make_incoming(session: SmtpSession, content: bytes) -> Incoming:
    assert session.sender is not None
    options = session.options
    tls = session.tls
    return Incoming(
        sender=session.sender.email,
        recipients=session.recipients,
        content=content,
        conn_meta=session.meta,
        epoch=session.epoch,
        trace=options.trace_headers,
        hostname=options.hostname,
        client=session.client_name or "unspecified",
        peer_ip=session.peer_ip,
        own_ip=session.own_ip,
        protocol=_protocol_of(session),
        tls_note=f"({tls[1]}:{tls[0]})" if tls is not None else "",
        tls=tls,
        session_id=session.session_id,
        batch_by_domain=options.batch_handling == "BatchByDomain",
        relaxed=options.deferred_spool or session.ports.relaxed,
        smtputf8=session.smtputf8,
        began_mono=session.began_mono,
        connection=session.connection,
    )


def _protocol_of(session: SmtpSession) -> str:
    """Return the with-protocol type of the Received field (RFC 3848)."""
    if not session.extended:
        return "SMTP"
    protocol = "ESMTPS" if session.is_tls else "ESMTP"
    return protocol + ("A" if session.identity is not None else "")


async def _wait_admitted(session: SmtpSession, incoming: Incoming) -> Admitted | None:
    """Return what admission says, or None when the processing deadline is spent first."""
    ports = session.ports
    verdict: asyncio.Future[Admitted | None] = session.loop.create_future()
    task = ports.supervisor.start(ports.admission.admit(incoming), "admission")
    task.add_done_callback(lambda done: _deliver(done, verdict))
    result: Admitted | None
    result = await session.wait_verdict(verdict, session.options.data_processing_timeout_s)
    if result is None and incoming.phase is Phase.INSERT:
        # Already stored: the answer is a matter of microseconds, and it is 250.
        stored: Admitted = await task
        return stored
    if result is None:
        incoming.abandoned = True
    return result


def _deliver(done: asyncio.Task[Admitted], verdict: asyncio.Future[Admitted | None]) -> None:
    if not verdict.done():
        verdict.set_result(Admitted(DEFECT) if done.cancelled() else done.result())
