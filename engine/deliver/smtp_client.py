"""The client side of one SMTP or LMTP session: greeting, TLS, authentication, mail, good-bye.

Place in flow: ``engine.deliver.dispatcher`` connects, delivers messages one after the other, quits.

Invariants:
    * Every wait has the timeout of its step; silence is a host that failed.
    * What the path asks of TLS is had, or nothing is sent; a failed handshake is followed by a new
      connection, never by going on in the clear on the same one.
    * No secret is in any text that leaves here.

Standard: RFC 5321, RFC 2033 (LMTP), RFC 3207, RFC 4954.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from engine.deliver.attempt import RecipientOutcome, TransactionResult
from engine.deliver.connector import open_connection
from engine.deliver.outgoing_trace import OutgoingTrace
from engine.deliver.proxied_connection import ResolveHost
from engine.deliver.recipient_tally import make_outcome
from engine.deliver.smtp_transaction import SmtpTransaction
from engine.deliver.smtp_wire import SmtpWire
from engine.deliver.tls_policy import (
    AfterFailure,
    BrokenTlsMemory,
    StartTls,
    checks_certificate,
    client_context,
    decide_after_failure,
    decide_starttls,
)
from engine.model.egress import EgressPath, EgressSource
from engine.model.errors import (
    ConfigurationError,
    EngineError,
    PeerClosedError,
    PeerProtocolError,
    PeerTimeoutError,
    TlsPolicyError,
)
from engine.model.log_record import SourceAddress
from engine.model.reply import SmtpReply, make_reply
from engine.route.mx_plan import Candidate

#: How long the answer to QUIT is waited for, seconds.
QUIT_REPLY_S = 1.0
#: Characters of a host's reply in the text of an error: many hosts share one log record.
_SHOWN_MAX = 300
NEEDS_8BIT = make_reply(554, "5.6.3 the message has 8-bit content, the host takes none")
NEEDS_UTF8 = make_reply(554, "5.6.7 the envelope needs SMTPUTF8, the host has not")
TOO_BIG = make_reply(552, "5.3.4 the message is larger than the host accepts")


class SmtpClient:
    """One open session with a host.

    Attributes:
        transactions: How many it has carried, the one under way included.
    """

    def __init__(
        self,
        wire: SmtpWire,
        candidate: Candidate,
        path: EgressPath,
        source_address: SourceAddress | None = None,
    ) -> None:
        self._wire = wire
        self._path = path
        self.peer_name = candidate.host_name
        self.peer_address = candidate.address
        self.source_address = source_address
        self.tls: tuple[str, str, list[str]] | None = None
        self.is_verified = False
        self.extensions: dict[str, str] = {}
        self.transactions = 0
        self._running: SmtpTransaction | None = None

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
        resolve: ResolveHost,
        trace: OutgoingTrace | None = None,
    ) -> SmtpClient:
        """Return a session that is ready for mail: greeted, TLS as the path wants, authenticated.

        Raises:
            EngineError: It did not come about; the text says at which step and why.
        """
        ehlo = path.ehlo_domain or source.ehlo_domain or hostname
        for plain_only in (False, True):
            link = await open_connection(
                candidate, source, partial(SmtpWire, mono, trace), path.connect_timeout_s, resolve
            )
            if trace is not None:
                seen = link.source_address.address if link.source_address is not None else None
                trace.connected(candidate.host_name, candidate.address, seen)
            client = cls(link.protocol, candidate, path, link.source_address)
            try:
                await client._greet(ehlo)
                await client._secure(ehlo, broken_tls, plain_only=plain_only)
                await client._authenticate()
            except _PlainAgainError:
                client.abort()
            except BaseException:
                client.abort()
                raise
            else:
                return client
        raise TlsPolicyError("the TLS handshake failed")

    async def _greet(self, ehlo: str) -> None:
        banner = await self._step("banner", self._path.banner_timeout_s)
        if banner.code != 220:
            raise PeerProtocolError(f"the host greeted with {_shown(banner)}")
        await self._hello(ehlo)

    async def _hello(self, ehlo: str) -> None:
        verb = "LHLO" if self._path.use_lmtp else "EHLO"
        self._wire.say(f"{verb} {ehlo}")
        reply = await self._step(verb, self._path.ehlo_timeout_s)
        if reply.code != 250:
            raise PeerProtocolError(f"{verb} was answered {_shown(reply)}")
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

    # -- TLS ----------------------------------------------------------------------------------

    async def _secure(self, ehlo: str, broken: BrokenTlsMemory, *, plain_only: bool) -> None:
        path = self._path
        choice = decide_starttls(
            path.enable_tls,
            advertised="STARTTLS" in self.extensions,
            known_broken=plain_only or broken.is_broken(self.peer_address),
        )
        if choice is StartTls.PLAIN:
            return
        if choice is StartTls.FAIL_HOST:
            raise TlsPolicyError("TLS is required and the host does not offer STARTTLS")
        # Before a word is said: a certificate of ours that is no good is not the host's failure.
        context = client_context(path, verify=checks_certificate(path.enable_tls))
        self._wire.say("STARTTLS")
        reply = await self._step("STARTTLS", path.starttls_timeout_s)
        if reply.code != 220:
            self._handshake_failed(f"STARTTLS was answered {_shown(reply)}", broken)
        if not self._wire.parser.is_empty:
            raise PeerProtocolError("the host sent more in the clear after STARTTLS")
        await self._handshake(context, broken)
        await self._hello(ehlo)

    async def _handshake(self, context: ssl.SSLContext, broken: BrokenTlsMemory) -> None:
        loop = asyncio.get_running_loop()
        name = self.peer_name.strip("[]").rstrip(".")
        transport = None
        try:
            async with asyncio.timeout(self._path.starttls_timeout_s):
                transport = await loop.start_tls(
                    self._wire.transport, self._wire, context, server_hostname=name
                )
        except ssl.SSLCertVerificationError as error:
            self._handshake_failed(
                f"bad certificate: {error.verify_message}", broken, is_certificate=True
            )
        except (OSError, ValueError) as error:
            text = str(error) or "it took too long"
            self._handshake_failed(f"TLS handshake: {text}", broken)
        if transport is None or self._wire.is_lost:
            raise PeerClosedError("the host closed the connection during the TLS handshake")
        self._wire.transport = transport
        self.is_verified = context.verify_mode is ssl.CERT_REQUIRED
        tls = transport.get_extra_info("ssl_object")
        cipher = tls.cipher()
        self.tls = (cipher[0] if cipher else "", tls.version() or "", _subjects(tls))

    def _handshake_failed(
        self, text: str, broken: BrokenTlsMemory, *, is_certificate: bool = False
    ) -> NoReturn:
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

    # -- authentication -----------------------------------------------------------------------

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
        secret = base64.b64encode(f"\0{user}\0{_password(path)}".encode()).decode()
        self._wire.say(f"AUTH PLAIN {secret}")
        reply = await self._step("AUTH", path.auth_timeout_s)
        if reply.code != 235:
            # Some hosts repeat the line that they refuse.
            raise PeerProtocolError(f"AUTH was answered {_shown(reply, without=secret)}")

    # -- mail ---------------------------------------------------------------------------------

    @property
    def progress_mono(self) -> float:
        """Return when the session last came further."""
        return self._wire.progress_mono

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
        content: bytes,
        size: int,
        *,
        is_8bit: bool,
        needs_smtputf8: bool,
    ) -> TransactionResult:
        """Carry one message to some recipients in one transaction; never raises for the peer.

        Args:
            sender: Envelope sender, empty for a bounce.
            recipients: At least one.
            content: The message ready for DATA (``dot_stuffing``).
            size: The octets of the message itself.
            is_8bit: It has octets beyond 127.
            needs_smtputf8: The client asked for SMTPUTF8.
        """
        needs_smtputf8 = needs_smtputf8 or not "".join((sender, *recipients)).isascii()
        refusal = self._unfit(size, is_8bit=is_8bit, needs_smtputf8=needs_smtputf8)
        if refusal is not None:
            return TransactionResult([make_outcome(one, refusal, "") for one in recipients])
        transaction = SmtpTransaction(
            self._wire,
            self._path,
            self.extensions,
            sender=sender,
            recipients=list(recipients),
            is_reused=self.transactions > 0,
        )
        self.transactions += 1
        self._running = transaction
        result = await transaction.run(
            content, size, is_8bit=is_8bit, needs_smtputf8=needs_smtputf8
        )
        self._running = None
        return result

    def interrupted_outcomes(self) -> list[RecipientOutcome]:
        """Return the verdicts of a transaction that was cut short by our side."""
        return [] if self._running is None else self._running.tally.outcomes()

    def _unfit(self, size: int, *, is_8bit: bool, needs_smtputf8: bool) -> SmtpReply | None:
        """Return why the host cannot take the message, judged by what it announced."""
        if is_8bit and "8BITMIME" not in self.extensions and not self._path.ignore_8bit_checks:
            return NEEDS_8BIT
        if needs_smtputf8 and "SMTPUTF8" not in self.extensions:
            return NEEDS_UTF8
        limit = self.extensions.get("SIZE", "").strip()
        if limit.isascii() and limit.isdigit() and 0 < int(limit) < size:
            return TOO_BIG
        return None

    # -- closing ------------------------------------------------------------------------------

    async def quit(self) -> None:
        """Say good-bye and close; the host's last word is not waited for long."""
        if self._running is not None or not self.is_alive():
            # In the middle of a message the words would become part of it.
            self.abort()
            return
        self._wire.say("QUIT")
        try:
            await self._wire.reply(QUIT_REPLY_S)
        except EngineError:
            self.abort()
        except BaseException:
            self.abort()
            raise
        else:
            self._wire.transport.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._wire.transport.abort()


class _PlainAgainError(Exception):
    """Connect to the same host again, in the clear."""


def _shown(reply: SmtpReply, without: str = "") -> str:
    line = reply.one_line()
    if without:
        line = line.replace(without, "***")
    return line if len(line) <= _SHOWN_MAX else f"{line[:_SHOWN_MAX]}..."


def _subjects(tls: Any) -> list[str]:
    certificate = tls.getpeercert() or {}
    return [f"{k}={v}" for part in certificate.get("subject", ()) for k, v in part]


def _password(path: EgressPath) -> str:
    """Return the password of a path's key source.

    Raises:
        ConfigurationError: It cannot be read; the session must not go on without it.
    """
    source = path.smtp_auth_plain_password
    try:
        if isinstance(source, str):
            return Path(source).read_text(encoding="utf-8").strip()
        if isinstance(source, Mapping):
            source = source["key_data"]
        return source if isinstance(source, str) else source.decode()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigurationError(f"smtp_auth_plain_password cannot be read: {why}") from error
