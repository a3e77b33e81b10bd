"""The client side of one SMTP or LMTP connection: pipelined, bounded, byte-exact.

Place in flow: ``engine.deliver.dispatcher`` connects, delivers messages one after the other, quits.

Invariants:
    * With PIPELINING the whole envelope goes out in one write, and replies are matched in order.
    * Only CRLF line ends leave; each line that begins with a dot gets another one; the end is
      CRLF.CRLF exactly once.
    * Every wait has the timeout of its step; silence is a deferral.
    * What a recipient was told at RCPT stands, whatever happens to the connection afterwards.

Standard: RFC 5321, RFC 2920, RFC 2033 (LMTP: one reply per accepted recipient), RFC 3207, RFC 4954.
"""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.deliver.attempt import RecipientOutcome, TransactionResult
from engine.deliver.connector import open_connection
from engine.deliver.reply_parser import ReplyParser
from engine.deliver.tls_policy import (
    AfterFailure,
    BrokenTlsMemory,
    StartTls,
    checks_certificate,
    client_context,
    decide_after_failure,
    decide_starttls,
)
from engine.deliver.verdict import TooMany, judge_reply, judge_too_many
from engine.model.disposition import Disposition
from engine.model.egress import EgressPath, EgressSource
from engine.model.errors import (
    EngineError,
    PeerClosedError,
    PeerProtocolError,
    PeerTimeoutError,
    TlsPolicyError,
)
from engine.model.reply import SmtpReply, make_reply
from engine.route.mx_plan import Candidate

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
#: A body beyond this is written in pieces, so that a slow peer holds little of it in our memory.
WRITE_CHUNK = 256 << 10
NEEDS_8BIT = make_reply(554, "5.6.3 the message has 8-bit content, the host takes none")
NEEDS_UTF8 = make_reply(554, "5.6.7 the envelope needs SMTPUTF8, the host has not")
TOO_BIG = make_reply(552, "5.3.4 the message is larger than the host accepts")
TIMED_OUT = make_reply(421, "4.4.2 the host did not answer in time")
LOST = make_reply(451, "4.4.2 the connection was lost")


class _Wire(asyncio.Protocol):
    """The transport side: bytes in, replies out."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.parser = ReplyParser()
        self.is_lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed(data)
        self._wake()

    def eof_received(self) -> bool:
        self.is_lost = True
        self._wake()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        waiter, self._drained = self._drained, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def reply(self, timeout_s: float) -> SmtpReply:
        """Return the next reply.

        Raises:
            PeerTimeoutError: It did not come in time.
            PeerClosedError: The connection ended first.
            PeerProtocolError: What came is no reply.
        """
        reply = self.parser.next()
        if reply is not None:
            return reply
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            if self.is_lost:
                raise PeerClosedError("the host closed the connection")
            waiter = self._waiter = loop.create_future()
            handle = loop.call_at(deadline, _expire, waiter)
            try:
                await waiter
            except TimeoutError:
                raise PeerTimeoutError(f"no reply within {timeout_s:g} s") from None
            finally:
                handle.cancel()
                self._waiter = None
            reply = self.parser.next()
            if reply is not None:
                return reply

    async def drain(self, timeout_s: float) -> None:
        """Wait until the peer has taken most of what was written.

        Raises:
            PeerTimeoutError: It does not read.
        """
        if self._drained is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._drained
            except TimeoutError:
                raise PeerTimeoutError(f"the host took no data for {timeout_s:g} s") from None


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def stuff_dots(content: bytes) -> bytes:
    """Return content ready for DATA: CRLF line ends, transparent dots, the final dot."""
    pairs = content.count(b"\r\n")
    if content.count(b"\n") != pairs or content.count(b"\r") != pairs:
        content = _BARE.sub(b"\r\n", content)
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    if content.endswith(b"\r\n"):
        return content + b".\r\n"
    return content + b"\r\n.\r\n"


class SmtpClient:
    """One open session with a host."""

    def __init__(
        self, wire: _Wire, candidate: Candidate, path: EgressPath, mono: Callable[[], float]
    ) -> None:
        self._wire = wire
        self._path = path
        self._mono = mono
        self.peer_name = candidate.host_name
        self.peer_address = candidate.address
        own = wire.transport.get_extra_info("sockname")
        self.source_address = own[0] if own else ""
        self.tls: tuple[str, str, list[str]] | None = None
        self.is_verified = False
        self.extensions: dict[str, str] = {}
        self.transactions = 0
        self._needs_rset = False

    # -- opening ------------------------------------------------------------------------------

    @classmethod
    async def connect(
        cls,
        candidate: Candidate,
        source: EgressSource,
        path: EgressPath,
        *,
        hostname: str,
        mono: Callable[[], float],
        broken_tls: BrokenTlsMemory,
    ) -> SmtpClient:
        """Return a session that is ready for mail: greeted, TLS as the path wants, authenticated.

        Raises:
            EngineError: It did not come about; the text says at which step and why.
        """
        plain_only = False
        while True:
            transport, wire = await open_connection(
                candidate, source, _Wire, path.connect_timeout_s
            )
            client = cls(wire, candidate, path, mono)
            try:
                ehlo = path.ehlo_domain or source.ehlo_domain or hostname
                await client._greet(ehlo)
                await client._secure(ehlo, broken_tls, plain_only=plain_only)
                await client._authenticate()
            except _PlainAgainError:
                transport.abort()
                if plain_only:
                    raise TlsPolicyError("the TLS handshake failed") from None
                plain_only = True
                continue
            except BaseException:
                client.abort()
                raise
            return client

    async def _greet(self, ehlo: str) -> None:
        banner = await self._step("banner", self._path.banner_timeout_s)
        if banner.code != 220:
            raise PeerProtocolError(f"the host greeted with {banner.one_line()}")
        await self._hello(ehlo)

    async def _hello(self, ehlo: str) -> None:
        verb = "LHLO" if self._path.use_lmtp else "EHLO"
        self._wire.transport.write(f"{verb} {ehlo}\r\n".encode())
        reply = await self._step(verb, self._path.ehlo_timeout_s)
        if reply.code != 250:
            raise PeerProtocolError(f"{verb} was answered {reply.one_line()}")
        self.extensions = {}
        for line in reply.text.split("\n")[1:]:
            name, _, value = line.partition(" ")
            self.extensions[name.upper()] = value

    async def _step(self, name: str, timeout_s: float) -> SmtpReply:
        try:
            return await self._wire.reply(timeout_s)
        except PeerTimeoutError as error:
            raise PeerTimeoutError(f"{name}: {error}") from None
        except PeerClosedError:
            raise PeerClosedError(f"{name}: the host closed the connection") from None

    async def _secure(self, ehlo: str, broken: BrokenTlsMemory, *, plain_only: bool) -> None:
        path = self._path
        mode = path.enable_tls
        choice = decide_starttls(
            mode,
            advertised="STARTTLS" in self.extensions,
            known_broken=plain_only or broken.is_broken(self.peer_address),
        )
        if choice is StartTls.PLAIN:
            return
        if choice is StartTls.FAIL_HOST:
            raise TlsPolicyError("TLS is required and the host does not offer STARTTLS")
        self._wire.transport.write(b"STARTTLS\r\n")
        reply = await self._step("STARTTLS", path.starttls_timeout_s)
        if reply.code != 220:
            await self._handshake_failed(f"STARTTLS was answered {reply.one_line()}", broken)
        if not self._wire.parser.is_empty:
            raise PeerProtocolError("the host sent more in the clear after STARTTLS")
        await self._handshake(broken)
        await self._hello(ehlo)

    async def _handshake(self, broken: BrokenTlsMemory) -> None:
        verify = checks_certificate(self._path.enable_tls)
        loop = asyncio.get_running_loop()
        try:
            context = client_context(self._path, verify=verify)
            name = self.peer_name.strip("[]").rstrip(".")
            async with asyncio.timeout(self._path.starttls_timeout_s):
                transport = await loop.start_tls(
                    self._wire.transport, self._wire, context, server_hostname=name
                )
        except ssl.SSLCertVerificationError as error:
            await self._handshake_failed(
                f"bad certificate: {error.verify_message}", broken, is_certificate=True
            )
        except (ssl.SSLError, OSError, TimeoutError) as error:
            text = str(error) or "it took too long"
            await self._handshake_failed(f"TLS handshake: {text}", broken)
        else:
            if transport is None:
                raise PeerClosedError("the host closed the connection during the TLS handshake")
            self._wire.transport = transport
            self.is_verified = verify
            tls = transport.get_extra_info("ssl_object")
            cipher = tls.cipher()
            self.tls = (cipher[0] if cipher else "", tls.version() or "", _subjects(tls))

    async def _handshake_failed(
        self, text: str, broken: BrokenTlsMemory, *, is_certificate: bool = False
    ) -> None:
        path = self._path
        if path.broken_tls_s is not None and not is_certificate:
            broken.remember(self.peer_address, path.broken_tls_s)
        following = decide_after_failure(
            path.enable_tls,
            is_certificate=is_certificate,
            may_reconnect=path.opportunistic_tls_reconnect_on_failed_handshake,
        )
        if following is AfterFailure.RECONNECT_PLAIN:
            raise _PlainAgainError
        raise TlsPolicyError(text)

    async def _authenticate(self) -> None:
        path = self._path
        user = path.smtp_auth_plain_username
        if user is None:
            return
        if self.tls is None and not path.allow_smtp_auth_plain_without_tls:
            raise TlsPolicyError("AUTH PLAIN wants TLS, and there is none")
        if (
            self.tls is not None
            and not self.is_verified
            and not path.allow_smtp_auth_plain_without_valid_certificate
        ):
            raise TlsPolicyError("AUTH PLAIN wants a verified certificate")
        secret = base64.b64encode(f"\0{user}\0{_password(path)}".encode())
        self._wire.transport.write(b"AUTH PLAIN " + secret + b"\r\n")
        reply = await self._step("AUTH", path.auth_timeout_s)
        if reply.code != 235:
            raise PeerProtocolError(f"AUTH was answered {reply.one_line()}")

    # -- mail ---------------------------------------------------------------------------------

    def is_alive(self) -> bool:
        """Return whether the connection is open and the host said nothing unasked."""
        return (
            not self._wire.is_lost
            and not self._wire.transport.is_closing()
            and self._wire.parser.is_empty
        )

    async def deliver(
        self,
        sender: str,
        recipients: Sequence[str],
        data: bytes,
        *,
        is_8bit: bool,
        needs_smtputf8: bool,
    ) -> TransactionResult:
        """Carry one message to some recipients in one transaction; never raises for the peer.

        Args:
            sender: Envelope sender, empty for a bounce.
            recipients: At least one.
            data: The message as it is to arrive.
            is_8bit: It has octets beyond 127.
            needs_smtputf8: Its envelope is not ASCII, or the client asked for SMTPUTF8.
        """
        refusal = self._unfit(data, is_8bit=is_8bit, needs_smtputf8=needs_smtputf8)
        if refusal is not None:
            return TransactionResult([_outcome(one, refusal, "") for one in recipients])
        transaction = _Transaction(list(recipients))
        try:
            await self._run(transaction, sender, data, is_8bit, needs_smtputf8)
        except PeerTimeoutError:
            transaction.break_off(TIMED_OUT)
        except (PeerClosedError, PeerProtocolError, ConnectionError) as error:
            reply = (
                LOST if isinstance(error, ConnectionError) else make_reply(451, f"4.5.0 {error}")
            )
            transaction.break_off(reply)
        return transaction.result()

    def _unfit(self, data: bytes, *, is_8bit: bool, needs_smtputf8: bool) -> SmtpReply | None:
        """Return why the host cannot take the message, judged by what it announced."""
        if is_8bit and "8BITMIME" not in self.extensions and not self._path.ignore_8bit_checks:
            return NEEDS_8BIT
        if needs_smtputf8 and "SMTPUTF8" not in self.extensions:
            return NEEDS_UTF8
        limit = self.extensions.get("SIZE", "")
        if limit.isdigit() and 0 < int(limit) < len(data):
            return TOO_BIG
        return None

    async def _run(
        self,
        transaction: _Transaction,
        sender: str,
        data: bytes,
        is_8bit: bool,
        needs_smtputf8: bool,
    ) -> None:
        path = self._path
        mail = f"MAIL FROM:<{sender}>"
        if "SIZE" in self.extensions:
            mail += f" SIZE={len(data)}"
        if is_8bit and "8BITMIME" in self.extensions:
            mail += " BODY=8BITMIME"
        if needs_smtputf8:
            mail += " SMTPUTF8"
        commands = [mail, *(f"RCPT TO:<{one}>" for one in transaction.recipients), "DATA"]
        wants_rset = self._needs_rset and path.enable_rset
        self._needs_rset = True
        self.transactions += 1
        if path.enable_pipelining and "PIPELINING" in self.extensions:
            if wants_rset:
                commands.insert(0, "RSET")
            self._wire.transport.write(("\r\n".join(commands) + "\r\n").encode())
            await self._read_envelope(transaction, mail, wants_rset=wants_rset)
        else:
            await self._say_envelope(transaction, commands, wants_rset=wants_rset)
        if transaction.data_reply is None:
            return
        if transaction.data_reply.code != 354:
            transaction.refuse_rest(transaction.data_reply, "DATA")
            return
        if not transaction.accepted:
            # The host wants data for nobody: an empty message, whose answer is read and ignored.
            self._wire.transport.write(b".\r\n")
            await self._wire.reply(path.data_dot_timeout_s)
            return
        await self._send_content(data)
        await self._read_final(transaction)

    async def _read_envelope(
        self, transaction: _Transaction, mail: str, *, wants_rset: bool
    ) -> None:
        path, wire = self._path, self._wire
        if wants_rset:
            transaction.note_rset(await wire.reply(path.rset_timeout_s))
        reply = await wire.reply(path.mail_from_timeout_s)
        transaction.note_mail(reply, mail)
        for recipient in transaction.recipients:
            reply = await wire.reply(path.rcpt_to_timeout_s)
            transaction.note_rcpt(recipient, reply)
        transaction.note_data(await wire.reply(path.data_timeout_s))

    async def _say_envelope(
        self, transaction: _Transaction, commands: list[str], *, wants_rset: bool
    ) -> None:
        path = self._path
        if wants_rset:
            transaction.note_rset(await self._say("RSET", path.rset_timeout_s))
        mail = commands[0]
        transaction.note_mail(await self._say(mail, path.mail_from_timeout_s), mail)
        if transaction.mail_refused:
            return
        for recipient, command in zip(transaction.recipients, commands[1:-1], strict=True):
            transaction.note_rcpt(recipient, await self._say(command, path.rcpt_to_timeout_s))
        if transaction.accepted:
            transaction.note_data(await self._say("DATA", path.data_timeout_s))

    async def _say(self, command: str, timeout_s: float) -> SmtpReply:
        self._wire.transport.write(command.encode() + b"\r\n")
        return await self._wire.reply(timeout_s)

    async def _send_content(self, data: bytes) -> None:
        content = stuff_dots(data)
        transport = self._wire.transport
        if len(content) <= WRITE_CHUNK:
            transport.write(content)
            return
        view = memoryview(content)
        for start in range(0, len(content), WRITE_CHUNK):
            if self._wire.is_lost:
                raise PeerClosedError("the host closed the connection during the data")
            transport.write(view[start : start + WRITE_CHUNK])
            await self._wire.drain(self._path.data_dot_timeout_s)

    async def _read_final(self, transaction: _Transaction) -> None:
        timeout_s = self._path.data_dot_timeout_s
        if not self._path.use_lmtp:
            reply = await self._wire.reply(timeout_s)
            transaction.settle_accepted(reply)
            return
        for recipient in list(transaction.accepted):
            transaction.settle_one(recipient, await self._wire.reply(timeout_s))

    # -- closing ------------------------------------------------------------------------------

    async def quit(self) -> None:
        """Say good-bye and close; the host's last word is not waited for long."""
        if not self._wire.is_lost:
            self._wire.transport.write(b"QUIT\r\n")
            try:
                await self._wire.reply(1.0)
            except EngineError:
                self.abort()
                return
        self._wire.transport.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._wire.transport.abort()


class _PlainAgainError(Exception):
    """Connect to the same host again, in the clear."""


class _Transaction:
    """The bookkeeping of one transaction: who was accepted, who was told what."""

    __slots__ = (
        "_outcomes",
        "_retry_now",
        "_said_421",
        "_usable",
        "accepted",
        "data_reply",
        "mail_refused",
        "recipients",
    )

    def __init__(self, recipients: list[str]) -> None:
        self.recipients = recipients
        self.accepted: list[str] = []
        self.data_reply: SmtpReply | None = None
        self.mail_refused = False
        self._outcomes: dict[str, RecipientOutcome] = {}
        self._retry_now: list[str] = []
        self._usable = True
        self._said_421 = False

    def _see(self, reply: SmtpReply) -> None:
        if reply.code == 421:
            self._said_421 = True
            self._usable = False

    def note_rset(self, reply: SmtpReply) -> None:
        """Take the reply to RSET."""
        self._see(reply)

    def note_mail(self, reply: SmtpReply, command: str) -> None:
        """Take the reply to MAIL; a refusal is everybody's."""
        self._see(reply)
        if not reply.is_positive:
            self.mail_refused = True
            for one in self.recipients:
                self._outcomes[one] = _outcome(one, reply, command)

    def note_rcpt(self, recipient: str, reply: SmtpReply) -> None:
        """Take the reply to RCPT."""
        self._see(reply)
        if self.mail_refused:
            return
        if reply.is_positive:
            self.accepted.append(recipient)
            return
        is_first = not self.accepted and not self._outcomes
        if not is_first and len(self.recipients) > 1 and judge_too_many(reply) is not TooMany.NO:
            self._retry_now.append(recipient)
            return
        self._outcomes[recipient] = _outcome(recipient, reply, f"RCPT TO:<{recipient}>")

    def note_data(self, reply: SmtpReply) -> None:
        """Take the reply to DATA."""
        self._see(reply)
        self.data_reply = reply

    def refuse_rest(self, reply: SmtpReply, command: str) -> None:
        """Tell everybody who was accepted so far what came instead of 354."""
        for one in self.accepted:
            disposition = None if not reply.is_positive else Disposition.DEFERRED
            self._outcomes[one] = _outcome(one, reply, command, disposition)
        self.accepted = []

    def settle_accepted(self, reply: SmtpReply) -> None:
        """Take the final reply for all who were accepted."""
        for one in list(self.accepted):
            self.settle_one(one, reply)

    def settle_one(self, recipient: str, reply: SmtpReply) -> None:
        """Take the final reply for one recipient."""
        self._see(reply)
        self.accepted.remove(recipient)
        self._outcomes[recipient] = _outcome(recipient, reply, ".")

    def break_off(self, reply: SmtpReply) -> None:
        """End the transaction with the connection; nobody without an answer is failed."""
        self._usable = False
        self._retry_now.clear()
        for one in self.recipients:
            if one not in self._outcomes:
                self._outcomes[one] = _outcome(one, reply, "", Disposition.DEFERRED)

    def result(self) -> TransactionResult:
        """Return the outcomes."""
        if self._said_421:
            for one in self.recipients:
                if one not in self._outcomes:
                    self._outcomes[one] = _outcome(one, TIMED_OUT, "", Disposition.DEFERRED)
            self._retry_now.clear()
        return TransactionResult(
            list(self._outcomes.values()), self._retry_now, self._usable, self._said_421
        )


def _outcome(
    recipient: str, reply: SmtpReply, command: str, disposition: Disposition | None = None
) -> RecipientOutcome:
    return RecipientOutcome(recipient, reply, command, disposition or judge_reply(reply, command))


def _subjects(tls: Any) -> list[str]:
    certificate = tls.getpeercert() or {}
    return [f"{k}={v}" for part in certificate.get("subject", ()) for k, v in part]


def _password(path: EgressPath) -> str:
    """Return the password of a path's key source.

    Raises:
        TlsPolicyError: It cannot be read; the session must not go on without it.
    """
    source = path.smtp_auth_plain_password
    if isinstance(source, Mapping):
        return str(source.get("key_data", ""))
    if isinstance(source, str):
        try:
            return Path(source).read_text().strip()
        except OSError as error:
            raise TlsPolicyError(f"the AUTH password cannot be read: {error.strerror}") from error
    return source.decode() if isinstance(source, bytes) else ""
