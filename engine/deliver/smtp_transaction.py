"""One mail transaction over an open session: envelope, content, verdicts.

Place in flow: ``engine.deliver.smtp_client`` runs one for each batch of recipients of a message.

Invariants:
    * With PIPELINING the whole envelope goes out in one write, and replies are matched in order.
    * Every wait has the timeout of its step; silence is a deferral.
    * Only a reply that came after the final dot had left can mean delivery.
    * A 421, or a reply that fits no step, ends the transaction and the connection with it.

Standard: RFC 5321 section 4.1.4 and 4.2, RFC 1870, RFC 2920, RFC 6152, RFC 6531, RFC 2033 (LMTP:
one reply per accepted recipient). Any 2xx after the dot is delivery (RFC 5321, 4.2.1): to defer on
another number would deliver twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.deliver.attempt import TransactionResult
from engine.deliver.recipient_tally import RecipientTally
from engine.deliver.smtp_wire import SmtpWire
from engine.model.egress import EgressPath
from engine.model.errors import PeerClosedError, PeerProtocolError, PeerTimeoutError
from engine.model.reply import SmtpReply, make_reply

#: A body beyond this is written in pieces, so that a slow peer holds little of it in our memory.
WRITE_CHUNK = 256 << 10
TIMED_OUT = make_reply(421, "4.4.2 the host did not answer in time")
LOST = make_reply(451, "4.4.2 the connection was lost")
_CLOSING = 421


class _BrokenOffError(Exception):
    """The host said what ends the transaction and the connection."""

    def __init__(self, reply: SmtpReply) -> None:
        self.reply = reply


class SmtpTransaction:
    """One transaction.

    Attributes:
        tally: Who was told what so far.
    """

    def __init__(
        self,
        wire: SmtpWire,
        path: EgressPath,
        extensions: Mapping[str, str],
        *,
        sender: str,
        recipients: list[str],
        is_reused: bool,
    ) -> None:
        """Prepare a transaction.

        Args:
            wire: The session's connection.
            path: Timeouts and what may be used.
            extensions: What the host announced.
            sender: Envelope sender, empty for a bounce.
            recipients: At least one.
            is_reused: The session has carried a transaction before.
        """
        self.tally = RecipientTally(recipients)
        self._wire = wire
        self._path = path
        self._extensions = extensions
        self._sender = sender
        self._is_reused = is_reused
        self._says_rset = is_reused and path.enable_rset
        self._is_begun = False
        #: The command whose reply is awaited, for what is said of a connection that broke then.
        self._command = ""

    async def run(
        self, content: bytes, size: int, *, is_8bit: bool, needs_smtputf8: bool
    ) -> TransactionResult:
        """Return what became of the recipients; never raises for the peer.

        Args:
            content: The message ready for DATA, its final dot included.
            size: The octets of the message itself.
            is_8bit: It has octets beyond 127.
            needs_smtputf8: The envelope or the headers need SMTPUTF8.
        """
        try:
            mail = self._mail_command(size, is_8bit=is_8bit, needs_smtputf8=needs_smtputf8)
            if await self._say_envelope(mail):
                await self._send(content)
        except _BrokenOffError as error:
            self.tally.break_off(error.reply)
        except PeerTimeoutError:
            self.tally.break_off(TIMED_OUT, self._command)
        except PeerProtocolError as error:
            self.tally.break_off(make_reply(451, f"4.5.0 {error}"), self._command)
        except ConnectionError:
            self.tally.break_off(LOST, self._command)
        if not self.tally.usable and self._is_reused and not self._is_begun:
            return TransactionResult(usable=False, not_begun=True)
        return self.tally.result()

    def _mail_command(self, size: int, *, is_8bit: bool, needs_smtputf8: bool) -> str:
        mail = f"MAIL FROM:<{self._sender}>"
        if "SIZE" in self._extensions:
            mail += f" SIZE={size}"
        if is_8bit and "8BITMIME" in self._extensions:
            mail += " BODY=8BITMIME"
        return f"{mail} SMTPUTF8" if needs_smtputf8 else mail

    # -- the envelope -------------------------------------------------------------------------

    async def _say_envelope(self, mail: str) -> bool:
        """Return whether the host waits for the content of somebody's mail."""
        if self._path.enable_pipelining and "PIPELINING" in self._extensions:
            return await self._say_at_once(mail)
        if self._says_rset:
            self._wire.say("RSET")
            self._check_rset(await self._rset_reply())
        self._wire.say(mail)
        if self._refuses(await self._next(mail, self._path.mail_from_timeout_s), mail):
            return False
        for one in self.tally.recipients:
            command = f"RCPT TO:<{one}>"
            self._wire.say(command)
            self._note_rcpt(one, await self._next(command, self._path.rcpt_to_timeout_s))
        if not self.tally.accepted:
            return False
        self._wire.say("DATA")
        return self._takes_data(await self._next("DATA", self._path.data_timeout_s))

    async def _say_at_once(self, mail: str) -> bool:
        rcpts = [f"RCPT TO:<{one}>" for one in self.tally.recipients]
        rset = ["RSET"] if self._says_rset else []
        self._wire.say("\r\n".join([*rset, mail, *rcpts, "DATA"]))
        if self._says_rset:
            self._check_rset(await self._rset_reply())
        is_refused = self._refuses(await self._next(mail, self._path.mail_from_timeout_s), mail)
        for one, command in zip(self.tally.recipients, rcpts, strict=True):
            reply = await self._next(command, self._path.rcpt_to_timeout_s)
            if not is_refused:
                self._note_rcpt(one, reply)
            elif reply.code == _CLOSING:
                raise _BrokenOffError(reply)
        reply = await self._next("DATA", self._path.data_timeout_s)
        if self.tally.accepted:
            return self._takes_data(reply)
        if reply.code == 354:
            await self._send_nothing()
        elif reply.code == _CLOSING or reply.code < 400:
            self.tally.usable = False
        return False

    async def _rset_reply(self) -> SmtpReply:
        self._command = "RSET"
        return await self._wire.reply(self._path.rset_timeout_s)

    def _check_rset(self, reply: SmtpReply) -> None:
        """Go on only in a clean state: else the message is for a new connection."""
        if not reply.is_positive:
            raise _BrokenOffError(reply)

    async def _next(self, command: str, timeout_s: float) -> SmtpReply:
        self._command = command
        try:
            reply = await self._wire.reply(timeout_s)
        except PeerTimeoutError:
            # Silence of a host that still answered RSET is about this message.
            self._is_begun = True
            raise
        self._is_begun = True
        return reply

    def _refuses(self, reply: SmtpReply, mail: str) -> bool:
        """Take the reply to MAIL; a refusal is everybody's."""
        if reply.is_positive:
            return False
        self.tally.refuse_all(reply, mail)
        self._stop_unless_refusal(reply)
        return True

    def _note_rcpt(self, recipient: str, reply: SmtpReply) -> None:
        self.tally.note_rcpt(recipient, reply)
        if not reply.is_positive:
            self._stop_unless_refusal(reply)

    def _takes_data(self, reply: SmtpReply) -> bool:
        if reply.code == 354:
            return True
        self.tally.refuse_all(reply, "DATA")
        self._stop_unless_refusal(reply)
        return False

    def _stop_unless_refusal(self, reply: SmtpReply) -> None:
        if reply.code == _CLOSING or reply.code < 400:
            raise _BrokenOffError(reply)

    # -- the content --------------------------------------------------------------------------

    async def _send_nothing(self) -> None:
        """End the data that the host wants for nobody: an empty message, its answer ignored."""
        if self._path.use_lmtp:
            # One reply for each accepted recipient would be none.
            self.tally.usable = False
            return
        self._wire.say(".")
        reply = await self._wire.reply(self._path.data_dot_timeout_s)
        self.tally.usable = reply.code != _CLOSING

    async def _send(self, content: bytes) -> None:
        for piece in _pieces(content):
            if self._wire.is_lost or not self._wire.parser.is_empty:
                await self._take_early_reply()
                return
            self._wire.write(piece)
            await self._wire.drain(self._path.data_dot_timeout_s)
        self._command = "."
        if not self._path.use_lmtp:
            await self._take_final()
            return
        for recipient in list(self.tally.accepted):
            reply = await self._wire.reply(self._path.data_dot_timeout_s)
            self.tally.settle(recipient, reply)
            if reply.code == _CLOSING:
                # The others may still hear theirs: RFC 2033 promises one for each.
                self.tally.usable = False

    async def _take_final(self) -> None:
        reply = await self._wire.reply(self._path.data_dot_timeout_s)
        if self._wire.has_unsent:
            self._refuse_early(reply)
            return
        self.tally.settle_accepted(reply)
        self.tally.usable = reply.code != _CLOSING and reply.code // 100 != 3

    async def _take_early_reply(self) -> None:
        """Take what the host says before it has the whole message, and stop sending.

        Raises:
            PeerClosedError: It left without a word.
        """
        self._refuse_early(await self._wire.reply(self._path.data_dot_timeout_s))

    def _refuse_early(self, reply: SmtpReply) -> None:
        if reply.code < 400:
            raise PeerProtocolError(f"before the end of the data the host said {reply.code}")
        if self._path.use_lmtp:
            # It speaks of the first; the others were to be told theirs.
            self.tally.settle(self.tally.accepted[0], reply)
            raise PeerClosedError("the host took no more data")
        self.tally.settle_accepted(reply)
        self.tally.usable = False


def _pieces(content: bytes) -> Iterator[bytes | memoryview]:
    if len(content) <= WRITE_CHUNK:
        yield content
        return
    view = memoryview(content)
    for start in range(0, len(content), WRITE_CHUNK):
        yield view[start : start + WRITE_CHUNK]
