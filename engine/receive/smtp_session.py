"""One client's SMTP dialogue: commands in bulk, replies in one write, content in blocks.

Place in flow: made by ``smtp_listener`` for each connection; hands finished transactions to
``admission``; ``smtp_session_auth`` holds AUTH and STARTTLS.

Built on aiosmtpd's ``SMTP`` class with the hot path replaced: its constructor, reading, dispatch,
DATA and replies are ours (docs/decisions/0003).

Invariants:
    * Replies leave in the order of the commands, and before the session waits for input.
    * A reply of 4xx or 5xx is a Rejection record, unless it is 421 4.3.2 (load shedding, idle).
    * Credentials are in no reply, record or log line.
    * The input buffer is bounded; beyond it the socket is not read.

Failure: a handler's error is 451 4.3.0, an unknown error 451 with constant text; neither ends the
session. A spent ``data_processing_timeout`` is 451 4.4.5 and nothing of the message is kept.

Standard: RFC 5321; RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 3030 (CHUNKING), RFC 2034.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP

from engine.model.address import EnvelopeAddress, domain_of
from engine.model.listener_options import ListenerOptions
from engine.model.log_record import RecordKind
from engine.model.reply import SmtpReply, make_reply
from engine.receive import data_reader
from engine.receive.admission import POLICY_FAILED, finished
from engine.receive.data_reader import DataReader, LineEndings, judge_content
from engine.receive.incoming import Admitted, ConnectionEndedError, Incoming, Phase
from engine.receive.smtp_grammar import (
    CommandSyntaxError,
    check_mail_parameters,
    check_rcpt_parameters,
    decode_line,
    parse_bdat_argument,
    parse_path_argument,
    split_verb,
)
from engine.receive.smtp_session_auth import (
    REDACTED,
    find_context,
    obey_auth,
    obey_starttls,
    start_tls,
)
from engine.receive.trace_headers import clean
from engine.script_refusals import CloseMode, SmtpRefusal
from engine.script_views import ConnectionView
from policy.errors import HookFailedError

if TYPE_CHECKING:
    from engine.receive.smtp_listener import ListenerPorts, SmtpListener

log = logging.getLogger("cirrus.receive")

#: Unread input beyond which the socket is paused, octets.
INPUT_MAX = 256 << 10
#: First octet of a TLS handshake record (RFC 8446, 5.1).
_TLS_HANDSHAKE = 22
#: Replies to wrong or unknown commands in a row after which the client is cut off.
ERRORS_MAX = 1000

OK = make_reply(250, "2.0.0 OK")
SENDER_OK = make_reply(250, "2.1.0 sender OK")
RECIPIENT_OK = make_reply(250, "2.1.5 recipient OK")
START_DATA = SmtpReply(354, None, "go ahead, end with <CRLF>.<CRLF>")
UNKNOWN = make_reply(502, "5.5.1 command not implemented")
LONG_COMMAND = make_reply(500, "5.2.3 line too long")
BARE_NEWLINE = make_reply(500, "5.5.2 a line ends with CRLF")
NESTED_MAIL = make_reply(503, "5.5.0 a transaction is already open")
NEED_MAIL = make_reply(503, "5.5.0 MAIL first")
NEED_RCPT = make_reply(503, "5.5.0 RCPT first")
IN_BDAT = make_reply(503, "5.5.1 finish the message with BDAT LAST or RSET")
TOO_MANY_RECIPIENTS = make_reply(452, "4.5.3 too many recipients")
TOO_MANY_MESSAGES = make_reply(421, "4.5.3 too many messages on this connection")
DEFECT = make_reply(451, "4.3.0 technical difficulties, try again later")
SPENT = "4.4.5 processing took too long"
ACCESS_DENIED = "5.7.1 relaying not permitted"
TOO_MANY_ERRORS = make_reply(421, "4.7.0 too many errors")


class SmtpSession(SMTP):
    """The server side of one connection."""

    def __init__(self, listener: SmtpListener) -> None:
        # Not SMTP.__init__: it inspects itself at every connection (0.2 ms).
        self._listener = listener
        self.ports: ListenerPorts = listener.ports
        self.options: ListenerOptions = listener.options
        self.loop = asyncio.get_running_loop()
        self.transport: Any = None
        self.session_id = ""
        self._in = bytearray()
        self._scanned = 0
        self._skipping = False
        self._out: list[bytes] = []
        self._input: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._gone = False
        self._eof = False
        self._ending = False
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_mono = 0.0
        self._verdict: asyncio.Future[Admitted | None] | None = None
        self._errors = 0
        self._after_auth = False
        self.auth_failures = 0
        self.meta: dict[str, Any] = {}
        self.connection = ConnectionView(self.meta)
        self.client_name = ""
        self.extended = False
        self.is_tls = False
        self.tls: tuple[str, str, list[str]] | None = None
        self.identity: str | None = None
        self.peer_ip = self.own_ip = ""
        self._messages = 0
        self._domains: dict[str, Any] = {}
        self.rewrites = False
        self.reset()

    # -- transport ----------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Take the connection: called by the loop."""
        self.transport = transport
        self._listener.session_began(self)
        self.ports.supervisor.start(self._converse(), "smtp-session")

    def data_received(self, data: bytes) -> None:
        """Take input: called by the loop."""
        self._in += data
        if len(self._in) > INPUT_MAX and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note the end of input; replies may still be written."""
        self._eof = True
        self._wake()
        return not self.is_tls

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the client is gone. What it finished is still carried out."""
        self._gone = True
        self._wake()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def pause_writing(self) -> None:
        """Stop answering: the client does not read its replies."""
        self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        """Go on answering."""
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def discard_input(self) -> None:
        """Throw away what came before TLS: it could be an attacker's."""
        self._in.clear()
        self._scanned = 0
        self._skipping = False

    def arm_deadline(self, delay_s: float) -> None:
        """Move the session's deadline; the running timer looks at it when it fires."""
        self._deadline_mono = self.loop.time() + delay_s

    def forget_domains(self) -> None:
        """Ask the script about each domain again: the client is somebody else now."""
        self._domains.clear()

    async def send_challenge(self, challenge: bytes) -> None:
        """Send a line that is no reply of its own and wait until it is out."""
        self._out.append(challenge)
        await self.flush()

    def _wake(self) -> None:
        waiter = self._input
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def more_input(self) -> None:
        """Wait for input.

        Raises:
            ConnectionEndedError: There will be none.
        """
        if self._gone or self._eof or self._ending:
            raise ConnectionEndedError
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        self._deadline_mono = self.loop.time() + self.options.client_timeout_s
        self._input = self.loop.create_future()
        try:
            await self._input
        finally:
            self._input = None
        if self._gone:
            raise ConnectionEndedError

    def _arm(self, delay_s: float) -> None:
        self._timer = self.loop.call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        """Look at the deadline in force; one timer serves all waits of the session."""
        self._timer = None
        left_s = self._deadline_mono - self.loop.time()
        if left_s > 0.001:
            self._arm(left_s)
            return
        if self._verdict is not None:
            if not self._verdict.done():
                self._verdict.set_result(None)
        elif self._input is not None:
            text = f"4.3.2 {self.options.hostname} idle too long"
            self._write_now(make_reply(421, text))
            self._ending = True
            self._gone = True
            self._wake()
            return
        elif self._writable is not None:
            # It neither reads its replies nor goes away.
            self._gone = True
            self.transport.abort()
            return
        self._arm(self.options.client_timeout_s)

    def close_if_idle(self) -> None:
        """Close the session when it waits for a command outside a transaction (node shutdown)."""
        if self._input is not None and self.sender is None and not self._in:
            self._write_now(make_reply(421, f"4.3.2 {self.options.hostname} shutting down"))
            self._gone = True
            self._wake()

    def abort(self) -> None:
        """Drop the connection."""
        self._gone = True
        self._wake()
        if self.transport is not None:
            self.transport.abort()

    # -- dialogue -----------------------------------------------------------------------------

    async def _converse(self) -> None:
        try:
            await self._begin()
            while not self._ending:
                line = self.next_line(self.options.line_length_hard_limit)
                if line is None:
                    await self.flush()
                    await self.more_input()
                    continue
                await self._obey(line)
            await self.flush()
        except ConnectionEndedError:
            pass
        except (ConnectionError, TimeoutError) as error:
            log.debug("session with %s ended: %s", self.peer_ip, error)
        finally:
            self._end()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._out and not self._gone:
            self.transport.write(b"".join(self._out))
        self.transport.close()
        self._listener.session_ended(self)

    async def _begin(self) -> None:
        peer = self.transport.get_extra_info("peername") or ("", 0)
        own = self.transport.get_extra_info("sockname") or ("", 0)
        self.peer_ip, self.own_ip = peer[0], own[0]
        self.session_id = str(uuid.UUID(bytes=uuid.uuid4().bytes))
        self.meta.update(
            reception_protocol="ESMTP",
            received_via=_join(own),
            received_from=_join(peer),
            hostname=self.options.hostname,
        )
        self._deadline_mono = self.loop.time() + self.options.client_timeout_s
        self._arm(self.options.client_timeout_s)
        runtime = self.ports.runtime
        self.rewrites = runtime.is_handled("smtp_rewrite_response")
        await self._choose_options()
        if self._ending:
            return
        if self.options.tls_from_first_byte:
            await start_tls(self, find_context(self), await self._take_client_hello())
        reason = self.ports.gate()
        if reason is not None:
            self._listener.denied()
            await self.answer(make_reply(421, f"4.3.2 {self.options.hostname} {reason}"))
            self._ending = True
            return
        if runtime.is_handled("smtp_connection_accepted"):
            refusal = await self._ask("smtp_connection_accepted", self.connection)
            if refusal is not None:
                self._ending = True
                return
        await self.answer(SmtpReply(220, None, f"{self.options.hostname} {self.options.banner}"))

    async def _take_client_hello(self) -> bytes:
        """Return the first TLS record: some loops read it before TLS can be switched on."""
        data = self._in
        while len(data) < 5 or len(data) < 5 + int.from_bytes(data[3:5], "big"):
            if data and data[0] != _TLS_HANDSHAKE:
                raise ConnectionEndedError
            await self.more_input()
        return self._take_input()

    async def _choose_options(self) -> None:
        options = self.options.for_connection(self.peer_ip, self.own_ip)
        runtime = self.ports.runtime
        try:
            if runtime.is_handled("get_listener_parameters"):
                listen = _join(self._listener.address)
                given = await finished(
                    runtime.fire_nowait("get_listener_parameters", listen, self.connection)
                )
                if given:
                    # The listener's own layers lie below: only those just given count now.
                    options = replace(options, peer=None, via=None).overlay(given)
                    options = options.for_connection(self.peer_ip, self.own_ip)
        except SmtpRefusal as refusal:
            await self.answer(refusal.reply)
            self._ending = True
        except (HookFailedError, TypeError, ValueError) as error:
            log.error("get_listener_parameters failed: %s", error)
            await self.answer(make_reply(421, "4.3.0 policy unavailable, try again later"))
            self._ending = True
        self.options = options
        self.meta["hostname"] = options.hostname
        for name, value in options.meta.items():
            self.meta[name] = value

    def next_line(self, limit: int) -> bytes | None:
        """Return the next line with its end, None while it is not complete.

        A line of more octets than the limit (its end not counted) comes back empty.
        """
        buffer = self._in
        end = buffer.find(b"\n", self._scanned)
        if end < 0:
            if self._skipping or len(buffer) > limit + 2:
                # Too long already: remember that, not the octets.
                self._skipping = True
                buffer.clear()
            self._scanned = len(buffer)
            return None
        line = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        self._scanned = 0
        if self._skipping or len(line) > limit + 2:
            self._skipping = False
            return b""
        return line

    async def _obey(self, raw: bytes) -> None:
        if not raw.endswith(b"\r\n"):
            await self.complain(LONG_COMMAND if raw == b"" else BARE_NEWLINE)
            return
        try:
            line = decode_line(raw[:-2])
        except CommandSyntaxError as error:
            await self.complain(error.reply)
            return
        verb, argument = split_verb(line)
        command = _COMMANDS.get(verb)
        if command is None:
            # What follows a refused AUTH may be the rest of the exchange.
            secret = self._after_auth or "AUTH" in line.upper()
            await self.complain(UNKNOWN, REDACTED if secret else line)
            return
        self._after_auth = verb == "AUTH"
        if self._chunks is not None and verb not in _WITHIN_BDAT:
            await self.complain(IN_BDAT, line)
            return
        try:
            await command(self, argument, line)
        except CommandSyntaxError as error:
            await self.complain(error.reply, line)
        except (ConnectionEndedError, ConnectionError, TimeoutError):
            raise
        except Exception:  # boundary: listener session
            log.exception("the session with %s met a defect at %s", self.peer_ip, verb)
            self.reset()
            await self.answer(DEFECT, verb)

    async def complain(self, reply: SmtpReply, command: str = "") -> None:
        """Answer a command that is wrong; too many of these end the session."""
        self._errors += 1
        await self.answer(reply, command)
        if self._errors > ERRORS_MAX:
            await self.answer(TOO_MANY_ERRORS)
            self._ending = True

    # -- replies ------------------------------------------------------------------------------

    async def answer(self, reply: SmtpReply, command: str = "") -> None:
        """Queue a reply, after the script had a look at it; note refusals in the records."""
        if command.lstrip(" \t")[:4].upper() == "AUTH":
            command = REDACTED
        if self.rewrites:
            reply = await self._rewritten(reply, command)
        self._out.append(reply.encode())
        if reply.code >= 400:
            self._note_rejection(reply, command)
        if reply.code == 421:
            self._ending = True

    async def _rewritten(self, reply: SmtpReply, command: str) -> SmtpReply:
        try:
            answer = await finished(
                self.ports.runtime.fire_nowait(
                    "smtp_rewrite_response",
                    reply.code,
                    reply.full_text,
                    command or None,
                    self.connection,
                )
            )
            if answer is None:
                return reply
            code, text = answer
            return make_reply(
                reply.code if code is None else int(code),
                reply.full_text if text is None else str(text),
            )
        except (HookFailedError, SmtpRefusal, TypeError, ValueError) as error:
            log.error("smtp_rewrite_response failed: %s", error)
            return reply

    def _note_rejection(self, reply: SmtpReply, command: str) -> None:
        if reply.code == 421 and reply.full_text.startswith("4.3.2 "):
            return
        self._listener.rejected()
        self.ports.recorder.record(
            RecordKind.REJECTION,
            None,
            sender=self.sender.email if self.sender is not None else "",
            recipients=self.recipients[-1:],
            reply=reply,
            command=command or None,
            peer=(self.client_name, self.peer_ip),
            reception_protocol="ESMTP",
            session_id=self.session_id,
            tls=self.tls,
        )

    def _write_now(self, reply: SmtpReply) -> None:
        if not self._gone:
            self.transport.write(b"".join(self._out) + reply.encode())
            self._out.clear()

    async def flush(self) -> None:
        """Send the replies gathered so far, as one write."""
        if self._out and not self._gone:
            self.transport.write(b"".join(self._out))
        self._out.clear()
        while self._writable is not None and not self._gone:
            self._deadline_mono = self.loop.time() + self.options.client_timeout_s
            await self._writable

    async def _ask(self, hook: str, *args: Any) -> SmtpReply | None:
        """Fire a hook that answers nothing; return (after sending it) its refusal, or None."""
        try:
            await finished(self.ports.runtime.fire_nowait(hook, *args, epoch=self.epoch))
        except SmtpRefusal as refusal:
            await self.refuse(refusal)
            return refusal.reply
        except HookFailedError:
            await self.answer(POLICY_FAILED, self._line)
            return POLICY_FAILED
        return None

    async def refuse(self, refusal: SmtpRefusal, command: str = "") -> None:
        """Send a handler's refusal and close as it asks."""
        await self.answer(refusal.reply, command or self._line)
        if refusal.close is CloseMode.FORCE:
            self._ending = True
        elif refusal.close is CloseMode.FOLLOW_WITH_421 and refusal.reply.code != 421:
            await self.answer(make_reply(421, f"4.3.0 {self.options.hostname} closing"))

    # -- commands -----------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the transaction."""
        self.sender: EnvelopeAddress | None = None
        self.recipients: list[str] = []
        self.smtputf8 = False
        self.epoch: Any = None
        self._chunks: bytearray | None = None
        self._chunk_trouble: SmtpReply | None = None
        self._line = ""

    async def smtp_EHLO(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Greet with the extensions; ends a transaction that was open (RFC 5321, 4.1.4)."""
        if not argument:
            await self.complain(make_reply(501, "5.5.4 syntax: EHLO hostname"), line)
            return
        self.reset()
        self._line = line
        self.extended = True
        self._name_client(argument)
        lines = self._extensions()
        replaced = None
        if self.ports.runtime.is_handled("smtp_ehlo"):
            try:
                replaced = await finished(
                    self.ports.runtime.fire_nowait("smtp_ehlo", argument, self.connection, lines)
                )
            except SmtpRefusal as refusal:
                await self.refuse(refusal)
                return
            except HookFailedError:
                await self.answer(POLICY_FAILED, line)
                return
        if replaced is not None:
            lines = [str(item) for item in replaced]
        greeting = f"{self.options.hostname} Aloha {clean(argument)}"
        await self.answer(SmtpReply(250, None, "\n".join([greeting, *lines])), line)

    async def smtp_HELO(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Greet without extensions."""
        if not argument:
            await self.complain(make_reply(501, "5.5.4 syntax: HELO hostname"), line)
            return
        self.reset()
        self._line = line
        self.extended = False
        self._name_client(argument)
        if self.ports.runtime.is_handled("smtp_ehlo") and (
            await self._ask("smtp_ehlo", argument, self.connection, []) is not None
        ):
            return
        await self.answer(SmtpReply(250, None, f"{self.options.hostname} Hello {clean(argument)}!"))

    def _name_client(self, argument: str) -> None:
        self.client_name = clean(argument.split(" ", 1)[0])
        self.meta["ehlo_domain"] = self.client_name

    def _extensions(self) -> list[str]:
        lines = [
            "PIPELINING",
            f"SIZE {self.options.max_message_size_bytes}",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
            "CHUNKING",
        ]
        if not self.is_tls:
            lines.append("STARTTLS")
        elif self.ports.runtime.is_handled("smtp_auth_plain"):
            lines.append("AUTH PLAIN LOGIN")
        return lines

    async def smtp_MAIL(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Open a transaction."""
        if self.sender is not None:
            await self.complain(NESTED_MAIL, line)
            return
        sender, parameters = parse_path_argument(argument, "FROM", status="5.1.7")
        refusal = parameters and check_mail_parameters(
            parameters, max_message_size_bytes=self.options.max_message_size_bytes
        )
        if refusal:
            await self.answer(refusal, line)
            return
        if self._messages >= self.options.max_messages_per_connection:
            await self.answer(TOO_MANY_MESSAGES, line)
            return
        reason = self.ports.gate()
        if reason is not None:
            await self.answer(make_reply(421, f"4.3.2 {self.options.hostname} {reason}"), line)
            return
        self.epoch = self.ports.runtime.epoch
        # What the script said about domains holds for one transaction: it may have changed.
        self._domains.clear()
        self._line = line
        if self.ports.runtime.is_handled("smtp_mail_from", self.epoch) and (
            await self._ask("smtp_mail_from", sender, self.connection) is not None
        ):
            return
        self.sender = sender
        self._errors = 0
        self.smtputf8 = "SMTPUTF8" in parameters or not sender.email.isascii()
        await self.answer(SENDER_OK)

    async def smtp_RCPT(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Add a recipient, if it may be relayed to."""
        if self.sender is None:
            await self.complain(NEED_MAIL, line)
            return
        recipient, parameters = parse_path_argument(argument, "TO", status="5.1.3")
        refusal = check_rcpt_parameters(parameters) if parameters else None
        if refusal is not None:
            await self.answer(refusal, line)
            return
        if not recipient.domain:
            recipient = EnvelopeAddress(
                recipient.user,
                self.options.hostname,
                f"{recipient.user}@{self.options.hostname}",
            )
        self._line = line
        if not self._is_relay_host():
            verdict = await self._judge_relay(recipient)
            if verdict is not None:
                await self.answer(verdict, line)
                return
        if len(self.recipients) >= self.options.max_recipients_per_message:
            await self.answer(TOO_MANY_RECIPIENTS, line)
            return
        if self.ports.runtime.is_handled("smtp_rcpt_to", self.epoch) and (
            await self._ask("smtp_rcpt_to", recipient, self.connection) is not None
        ):
            return
        self.recipients.append(recipient.email)
        if not recipient.email.isascii():
            self.smtputf8 = True
        await self.answer(RECIPIENT_OK)

    def _is_relay_host(self) -> bool:
        return self.identity is not None or self.peer_ip in self.options.relay_hosts

    async def _judge_relay(self, recipient: EnvelopeAddress) -> SmtpReply | None:
        """Return the refusal of a recipient that may not be relayed to, or None."""
        if self.ports.runtime.is_handled("get_listener_domain", self.epoch):
            try:
                if self.sender is not None and self.sender.domain:
                    domain = await self._listener_domain(domain_of(self.sender.email))
                    if domain is not None and self.peer_ip in domain.relay_from:
                        return None
                domain = await self._listener_domain(domain_of(recipient.email))
                if domain is not None and domain.relay_to:
                    return None
            except SmtpRefusal as refusal:
                return refusal.reply
            except HookFailedError:
                return POLICY_FAILED
        return make_reply(550, ACCESS_DENIED)

    async def _listener_domain(self, name: str) -> Any:
        # Kept for the session by name and identity: a verdict from before AUTH does not stay.
        known = self._domains.get(name, _UNKNOWN_DOMAIN)
        if known is not _UNKNOWN_DOMAIN:
            return known
        listen = _join(self.transport.get_extra_info("sockname") or self._listener.address)
        found = await finished(
            self.ports.runtime.fire_nowait(
                "get_listener_domain", name, listen, self.connection, epoch=self.epoch
            )
        )
        if found is not None and not hasattr(found, "relay_to"):
            log.error("get_listener_domain answered with something else than a listener domain")
            raise SmtpRefusal(POLICY_FAILED)
        if len(self._domains) >= 64:
            self._domains.clear()
        self._domains[name] = found
        return found

    async def smtp_DATA(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Take a message up to the final dot."""
        if argument:
            await self.complain(make_reply(501, "5.5.4 DATA takes no argument"), line)
            return
        if not self.recipients:
            await self.complain(NEED_MAIL if self.sender is None else NEED_RCPT, line)
            return
        reason = self.ports.gate()
        if reason is not None:
            await self.answer(make_reply(421, f"4.3.2 {self.options.hostname} {reason}"), line)
            return
        await self.answer(START_DATA)
        if self._ending:
            return
        reader = DataReader(self.options.max_message_size_bytes)
        rest = reader.feed(self._take_input()) if self._in else None
        while rest is None:
            await self.flush()
            await self.more_input()
            rest = reader.feed(self._take_input())
            if reader.is_hopeless:
                await self.answer(data_reader.TOO_BIG, ".")
                self._ending = True
                return
        self._in[:0] = rest
        if reader.too_big:
            await self._refuse_content(data_reader.TOO_BIG)
            return
        await self._finish(reader.content())

    def _take_input(self) -> bytes:
        block = bytes(self._in)
        self._in.clear()
        self._scanned = 0
        return block

    async def smtp_BDAT(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Take a chunk of a message; the last one ends it (RFC 3030)."""
        size, last = parse_bdat_argument(argument)
        if self._chunk_trouble is None:
            if not self.recipients:
                self._chunk_trouble = NEED_MAIL if self.sender is None else NEED_RCPT
            elif (reason := self.ports.gate()) is not None:
                text = f"4.3.2 {self.options.hostname} {reason}"
                self._chunk_trouble = make_reply(451, text)
        if self._chunks is None:
            self._chunks = bytearray()
        await self._read_chunk(size)
        trouble = self._chunk_trouble
        if trouble is not None:
            # The octets are read whatever the answer: what follows them is a command.
            had_transaction = bool(self.recipients)
            await self.answer(trouble, line)
            if last or not had_transaction:
                self.reset()
            return
        if not last:
            await self.answer(make_reply(250, f"2.0.0 {size} octets received"))
            return
        content, self._chunks = bytes(self._chunks), None
        await self._finish(content)

    async def _read_chunk(self, size: int) -> None:
        left = size
        limit = self.options.max_message_size_bytes
        assert self._chunks is not None
        while left:
            if not self._in:
                await self.flush()
                await self.more_input()
                continue
            block = bytes(self._in[:left])
            del self._in[:left]
            self._scanned = 0
            left -= len(block)
            if self._chunk_trouble is None:
                self._chunks += block
                if len(self._chunks) > limit:
                    self._chunk_trouble = data_reader.TOO_BIG
                    self._chunks.clear()

    async def _refuse_content(self, reply: SmtpReply) -> None:
        self._line = ""
        await self.answer(reply, ".")
        self.reset()

    async def _finish(self, content: bytes) -> None:
        """Judge the content, have it admitted and answer."""
        options = self.options
        content, refusal = judge_content(
            content,
            max_message_size_bytes=options.max_message_size_bytes,
            line_limit=options.line_length_hard_limit,
            endings=LineEndings(options.invalid_line_endings),
        )
        if refusal is not None:
            await self._refuse_content(refusal)
            return
        if not content:
            content = b"\r\n"
        incoming = self._incoming(content)
        self._messages += 1
        admitted = await self._admitted(incoming)
        self._line = "."
        if admitted is None:
            await self.answer(make_reply(451, f"{SPENT} ({incoming.phase.value})"), ".")
        elif isinstance(admitted.refusal, SmtpRefusal):
            self._line = "."
            await self.refuse(admitted.refusal)
        else:
            await self.answer(admitted.reply, ".")
        self.reset()

    def _incoming(self, content: bytes) -> Incoming:
        assert self.sender is not None
        options = self.options
        protocol = "ESMTP" if self.extended else "SMTP"
        if self.extended:
            protocol += ("S" if self.is_tls else "") + ("A" if self.identity is not None else "")
        return Incoming(
            sender=self.sender.email,
            recipients=self.recipients,
            content=content,
            conn_meta=self.meta,
            epoch=self.epoch,
            trace=options.trace_headers,
            hostname=options.hostname,
            client=self.client_name or "unspecified",
            peer_ip=self.peer_ip,
            own_ip=self.own_ip,
            protocol=protocol,
            tls_note=f"({self.tls[1]}:{self.tls[0]})" if self.tls is not None else "",
            tls=self.tls,
            session_id=self.session_id,
            batch_by_domain=options.batch_handling == "BatchByDomain",
            relaxed=options.deferred_spool or self.ports.relaxed,
            smtputf8=self.smtputf8,
            connection=self.connection,
        )

    async def _admitted(self, incoming: Incoming) -> Admitted | None:
        """Return what admission says, or None when the processing deadline is spent first."""
        if self.ports.recorder.must_wait:
            await self.ports.recorder.wait_capacity()
        verdict: asyncio.Future[Admitted | None] = self.loop.create_future()
        self._deadline_mono = self.loop.time() + self.options.data_processing_timeout_s
        if self.options.data_processing_timeout_s < self.options.client_timeout_s and self._timer:
            self._timer.cancel()
            self._arm(self.options.data_processing_timeout_s)
        self._verdict = verdict

        task = self.ports.supervisor.start(self.ports.admission.admit(incoming), "admission")
        task.add_done_callback(lambda done: _deliver(done, verdict))
        try:
            result = await verdict
        finally:
            self._verdict = None
        if result is None and incoming.phase is Phase.INSERT:
            # Already stored: the answer is a matter of microseconds, and it is 250.
            stored: Admitted = await task
            return stored
        if result is None:
            incoming.abandoned = True
        return result

    async def smtp_RSET(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Forget the transaction."""
        if argument:
            await self.complain(make_reply(501, "5.5.4 RSET takes no argument"), line)
            return
        self.reset()
        await self.answer(OK)

    async def smtp_NOOP(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Do nothing."""
        await self.answer(OK)

    async def smtp_QUIT(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Say good-bye."""
        if argument:
            await self.complain(make_reply(501, "5.5.4 QUIT takes no argument"), line)
            return
        await self.answer(make_reply(221, f"2.0.0 {self.options.hostname} closing"))
        self._ending = True


def _deliver(done: asyncio.Task[Admitted], verdict: asyncio.Future[Admitted | None]) -> None:
    if not verdict.done():
        verdict.set_result(Admitted(DEFECT) if done.cancelled() else done.result())


_UNKNOWN_DOMAIN = object()
_WITHIN_BDAT = frozenset({"BDAT", "RSET", "NOOP", "QUIT", "EHLO", "HELO"})


def _join(address: Any) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_COMMANDS: dict[str, Any] = {
    "EHLO": SmtpSession.smtp_EHLO,
    "HELO": SmtpSession.smtp_HELO,
    "MAIL": SmtpSession.smtp_MAIL,
    "RCPT": SmtpSession.smtp_RCPT,
    "DATA": SmtpSession.smtp_DATA,
    "BDAT": SmtpSession.smtp_BDAT,
    "RSET": SmtpSession.smtp_RSET,
    "NOOP": SmtpSession.smtp_NOOP,
    "QUIT": SmtpSession.smtp_QUIT,
    "AUTH": obey_auth,
    "STARTTLS": obey_starttls,
}
