"""One client's SMTP dialogue: commands in bulk, replies in one write, content in blocks.

Place in flow: made by ``smtp_listener`` for each connection; hands finished transactions to
``admission``. ``smtp_stream`` below it holds the octets and the timer, ``smtp_session_transaction``
MAIL to BDAT, ``smtp_session_auth`` AUTH and STARTTLS.

Invariants:
    * Replies leave in the order of the commands, and before the session waits for input.
    * A reply of 4xx or 5xx is a Rejection record, unless it is 421 4.3.2 (load shedding, idle).
    * Credentials are in no reply, record or log line.
    * A client that pipelines without end gets its answers a portion at a time; others come between.

Failure: a handler's error is 451 4.3.0, an unknown error 451 with constant text; neither ends the
session.

Standard: RFC 5321; RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 2034 (enhanced codes).
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.model.address import EnvelopeAddress
from engine.model.listener_options import ListenerOptions
from engine.model.reply import SmtpReply, make_reply
from engine.receive.admission import POLICY_FAILED, finished
from engine.receive.incoming import ConnectionEndedError
from engine.receive.rejection import note_rejection
from engine.receive.session_trace import trace_of
from engine.receive.smtp_grammar import CommandSyntaxError, decode_line, split_verb
from engine.receive.smtp_session_auth import (
    REDACTED,
    find_context,
    obey_auth,
    obey_starttls,
    start_tls,
    take_client_hello,
)
from engine.receive.smtp_session_client import ATTRIBUTES, obey_xclient, take_proxy_header
from engine.receive.smtp_session_transaction import (
    DEFECT,
    obey_bdat,
    obey_data,
    obey_mail,
    obey_rcpt,
)
from engine.receive.smtp_stream import SmtpStream
from engine.receive.trace_headers import clean
from engine.script_refusals import CloseMode, SmtpRefusal
from engine.script_views import AuthInfo, ConnectionView
from policy.errors import HookFailedError

if TYPE_CHECKING:
    from engine.receive.smtp_listener import ListenerPorts, SmtpListener

log = logging.getLogger("cirrus.receive")

#: Replies to wrong or unknown commands in a row after which the client is cut off.
ERRORS_MAX = 1000

#: Pipelined commands answered before other sessions get a turn.
PORTION = 64

OK = make_reply(250, "2.0.0 OK")
UNKNOWN = make_reply(502, "5.5.1 command not implemented")
LONG_COMMAND = make_reply(500, "5.2.3 line too long")
BARE_NEWLINE = make_reply(500, "5.5.2 a line ends with CRLF")
IN_BDAT = make_reply(503, "5.5.1 finish the message with BDAT LAST or RSET")
TOO_MANY_ERRORS = make_reply(421, "4.7.0 too many errors")
NEED_EHLO_NAME = make_reply(501, "5.5.4 syntax: EHLO hostname")
NEED_HELO_NAME = make_reply(501, "5.5.4 syntax: HELO hostname")
NO_RSET_ARGUMENT = make_reply(501, "5.5.4 RSET takes no argument")
NO_QUIT_ARGUMENT = make_reply(501, "5.5.4 QUIT takes no argument")

#: A command: the session, its argument, the whole line.
Command = Callable[["SmtpSession", str, str], Awaitable[None]]


class SmtpSession(SmtpStream):
    """The server side of one connection."""

    def __init__(self, listener: SmtpListener) -> None:
        super().__init__()
        self.listener = listener
        self.ports: ListenerPorts = listener.ports
        self.tracing = listener.ports.tracing.server
        self.options: ListenerOptions = listener.options
        self.session_id = ""
        self._errors = 0
        self._after_auth = False
        self.auth_failures = 0
        self.meta: dict[str, Any] = {}
        self.auth = AuthInfo()
        self.connection = ConnectionView(self.meta, self.auth)
        self.client_name = ""
        self.extended = False
        self.tls: tuple[str, str, list[str]] | None = None
        self.identity: str | None = None
        self.peer_ip = self.own_ip = self.own_address = ""
        #: Nothing may be said yet: the header that says who the client is has not come, or TLS.
        self.is_mute = False
        self.peer: tuple[str, int] = ("", 0)
        self.own: tuple[str, int] = ("", 0)
        self.messages = 0
        self.began_mono = 0.0
        self.domains: dict[str, Any] = {}
        self.rewrites = False
        self.reset()

    def connection_made(self, transport: Any) -> None:
        """Take the connection: called by the loop."""
        self.transport = transport
        self.listener.session_began(self)
        self.ports.supervisor.start(self._converse(), "smtp-session")

    def on_silence(self) -> None:
        """Tell a client that let its time pass."""
        text = f"4.3.2 {self.options.hostname} idle too long"
        self.send_last(b"" if self.is_mute else make_reply(421, text).encode())

    def forget_domains(self) -> None:
        """Ask the script about each domain again: the client is somebody else now."""
        self.domains.clear()

    def forget_errors(self) -> None:
        """Start counting anew: the client does what clients do."""
        self._errors = 0

    def closed_for_mail(self) -> str | None:
        """Return why no transaction may begin now, or None."""
        return "shutting down" if self.listener.is_draining else self.ports.gate()

    def close_if_idle(self) -> None:
        """Close the session when it waits for a command outside a transaction (node shutdown)."""
        if self.waits_for_input and self.sender is None:
            self.send_last(make_reply(421, f"4.3.2 {self.options.hostname} shutting down").encode())

    # -- dialogue -----------------------------------------------------------------------------

    async def _converse(self) -> None:
        try:
            await self._begin()
            portion = PORTION
            waits = 0
            while not self.is_ending:
                line = self.next_line(self.options.line_length_hard_limit)
                if line is None:
                    await self.flush()
                    # The first may be idleness; from the second on a line is under way.
                    await self.more_input(goes_on=waits > 1)
                    waits += 1
                    portion = PORTION
                    continue
                waits = 0
                await self._obey(line)
                portion -= 1
                if not portion:
                    await self.flush()
                    await asyncio.sleep(0)
                    portion = PORTION
            await self.flush()
        except ConnectionEndedError:
            pass
        except (ConnectionError, TimeoutError) as error:
            log.debug("session with %s ended: %s", self.peer_ip, error)
        finally:
            # First what cannot fail: a place that is not given back is lost to the listener.
            self.listener.session_ended(self)
            self.close()

    async def _begin(self) -> None:
        peer = self.transport.get_extra_info("peername") or ("", 0)
        own = self.transport.get_extra_info("sockname") or ("", 0)
        self._know_addresses(peer[:2], own[:2])
        self.session_id = str(uuid.uuid4())
        self.meta.update(reception_protocol="ESMTP", hostname=self.options.hostname)
        if self.tracing.is_on:
            trace_of(self).connected()
        self.client_timeout_s = self.options.client_timeout_s
        self.arm_deadline(self.client_timeout_s)
        self.start_timer(self.client_timeout_s)
        runtime = self.ports.runtime
        if self.options.for_connection(self.peer_ip, self.own_ip).require_proxy_protocol:
            self.is_mute = True
            await take_proxy_header(self)
            self.is_mute = False
        self.rewrites = runtime.is_handled("smtp_rewrite_response")
        await self._choose_options()
        if self.is_ending:
            return
        if self.options.tls_from_first_byte:
            await start_tls(self, find_context(self), await take_client_hello(self))
        await self._greet()

    async def _greet(self) -> None:
        reason = self.closed_for_mail()
        if reason is not None:
            self.listener.denied()
            await self.answer(make_reply(421, f"4.3.2 {self.options.hostname} {reason}"))
            self.is_ending = True
            return
        if self.ports.runtime.is_handled("smtp_connection_accepted"):
            refusal = await self.ask("smtp_connection_accepted", self.connection)
            if refusal is not None:
                self.is_ending = True
                return
        await self.answer(SmtpReply(220, None, f"{self.options.hostname} {self.options.banner}"))

    def _know_addresses(self, peer: tuple[str, int], own: tuple[str, int]) -> None:
        self.peer, self.own = peer, own
        self.peer_ip, self.own_ip, self.own_address = peer[0], own[0], _join(own)
        self.auth.peer_address = peer[0]
        self.meta.update(received_via=self.own_address, received_from=_join(peer))

    def set_addresses(self, peer: tuple[str, int], own: tuple[str, int]) -> None:
        """Take other addresses than those of the socket, which stay in the metadata."""
        self.meta.setdefault("orig_received_from", self.meta["received_from"])
        self.meta.setdefault("orig_received_via", self.meta["received_via"])
        self._know_addresses(peer, own)

    async def greet_anew(self) -> None:
        """Begin as with a new client, whose addresses were just taken."""
        self.reset()
        self.forget_domains()
        self.client_name, self.extended, self.identity = "", False, None
        self.auth.identities = self.auth.groups = ()
        for name in ("ehlo_domain", "authn_id", "authz_id"):
            self.meta.pop(name, None)
        self.options = self.listener.options
        await self._choose_options()
        if not self.is_ending:
            await self._greet()

    async def _choose_options(self) -> None:
        options = self.options.for_connection(self.peer_ip, self.own_ip)
        runtime = self.ports.runtime
        try:
            if runtime.is_handled("get_listener_parameters"):
                listen = _join(self.listener.address)
                given = await finished(
                    runtime.fire_nowait("get_listener_parameters", listen, self.connection)
                )
                if given:
                    # The listener's own layers lie below: only those just given count now.
                    options = replace(options, peer=None, via=None).overlay(given)
                    options = options.for_connection(self.peer_ip, self.own_ip)
        except SmtpRefusal as refusal:
            await self.answer(refusal.reply)
            self.is_ending = True
        except (HookFailedError, TypeError, ValueError) as error:
            if not isinstance(error, HookFailedError):  # the policy's report has told of that
                log.error("get_listener_parameters failed: %s", error)
            await self.answer(make_reply(421, "4.3.0 policy unavailable, try again later"))
            self.is_ending = True
        self.options = options
        self.client_timeout_s = options.client_timeout_s
        self.input_max = options.data_buffer_size_bytes
        self.meta["hostname"] = options.hostname
        for name, value in options.meta.items():
            self.meta[name] = value

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
        if self.chunks is not None and verb not in _WITHIN_BDAT:
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
            self.is_ending = True

    # -- replies ------------------------------------------------------------------------------

    async def answer(self, reply: SmtpReply, command: str = "") -> None:
        """Queue a reply, after the script had a look at it; note refusals in the records."""
        if command.lstrip(" \t")[:4].upper() == "AUTH":
            command = REDACTED
        if self.rewrites:
            reply = await self._rewritten(reply, command)
        self.queue_output(reply.encode())
        if reply.code >= 400:
            note_rejection(self, reply, command)
        if reply.code == 421:
            self.is_ending = True

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
        except HookFailedError:
            return reply  # the policy's report has told of it
        except (SmtpRefusal, TypeError, ValueError) as error:
            log.error("smtp_rewrite_response failed: %s", error)
            return reply

    async def ask(self, hook: str, *args: Any) -> SmtpReply | None:
        """Fire a hook that answers nothing; return (after sending it) its refusal, or None."""
        try:
            await finished(self.ports.runtime.fire_nowait(hook, *args, epoch=self.epoch))
        except SmtpRefusal as refusal:
            await self.refuse(refusal)
            return refusal.reply
        except HookFailedError:
            await self.answer(POLICY_FAILED, self.line)
            return POLICY_FAILED
        if self.tracing.is_on:
            trace_of(self).callback(hook, None)
        return None

    async def refuse(self, refusal: SmtpRefusal, command: str = "") -> None:
        """Send a handler's refusal and close as it asks."""
        await self.answer(refusal.reply, command or self.line)
        if refusal.close is CloseMode.FORCE:
            self.is_ending = True
        elif refusal.close is CloseMode.FOLLOW_WITH_421 and refusal.reply.code != 421:
            await self.answer(make_reply(421, f"4.3.0 {self.options.hostname} closing"))

    # -- commands -----------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget the transaction."""
        self.sender: EnvelopeAddress | None = None
        self.recipients: list[str] = []
        self.smtputf8 = False
        self.epoch: Any = None
        self.chunks: bytearray | None = None
        self.chunk_trouble: SmtpReply | None = None
        self.line = ""

    async def smtp_EHLO(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Greet with the extensions; ends a transaction that was open (RFC 5321, 4.1.4)."""
        if not argument:
            await self.complain(NEED_EHLO_NAME, line)
            return
        self.reset()
        self.line = line
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
            await self.complain(NEED_HELO_NAME, line)
            return
        self.reset()
        self.line = line
        self.extended = False
        self._name_client(argument)
        if self.ports.runtime.is_handled("smtp_ehlo") and (
            await self.ask("smtp_ehlo", argument, self.connection, []) is not None
        ):
            return
        greeting = f"{self.options.hostname} Hello {clean(argument)}!"
        await self.answer(SmtpReply(250, None, greeting), line)

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
        if self.options.allow_xclient:
            lines.append(f"XCLIENT {' '.join(ATTRIBUTES)}")
        return lines

    async def smtp_RSET(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Forget the transaction."""
        if argument:
            await self.complain(NO_RSET_ARGUMENT, line)
            return
        self.reset()
        await self.answer(OK, line)

    async def smtp_NOOP(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Do nothing."""
        await self.answer(OK, line)

    async def smtp_QUIT(self, argument: str, line: str) -> None:  # noqa: N802 - aiosmtpd's naming
        """Say good-bye."""
        if argument:
            await self.complain(NO_QUIT_ARGUMENT, line)
            return
        await self.answer(make_reply(221, f"2.0.0 {self.options.hostname} closing"), line)
        self.is_ending = True


_WITHIN_BDAT = frozenset({"BDAT", "RSET", "NOOP", "QUIT", "EHLO", "HELO"})


def _join(address: Any) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_COMMANDS: dict[str, Command] = {
    "EHLO": SmtpSession.smtp_EHLO,
    "HELO": SmtpSession.smtp_HELO,
    "MAIL": obey_mail,
    "RCPT": obey_rcpt,
    "DATA": obey_data,
    "BDAT": obey_bdat,
    "RSET": SmtpSession.smtp_RSET,
    "NOOP": SmtpSession.smtp_NOOP,
    "QUIT": SmtpSession.smtp_QUIT,
    "AUTH": obey_auth,
    "STARTTLS": obey_starttls,
    "XCLIENT": obey_xclient,
}
