"""An SMTP client without a socket: it talks to a real session, for tests of scripts.

Place in flow: ``engine.script_testing`` makes one for each message it has received.

Invariants:
    * The session is the one of a node; only its transport is made up.
    * The client sends one command at a time and ends at the first refusal, as mailers do; of
      several recipients those that are taken get the message.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from typing import Any, NamedTuple

from engine.receive.smtp_listener import SmtpListener
from engine.receive.smtp_session import SmtpSession
from engine.script_test_mail import Mail, Refusal

#: No handler may wait longer than this for the world, seconds of the test's time.
PATIENCE_S = 3600.0
#: What a session over TLS says of it.
_TLS = ("TLS_AES_256_GCM_SHA384", "TLSv1.3", [""])


class Exchange(NamedTuple):
    """A command and the reply to it; the command of the banner is empty.

    Attributes:
        command: As it was sent, without credentials; the content is ``.``.
        code: Of the reply.
        text: Of the reply, lines joined by a newline.
    """

    command: str
    code: int
    text: str


class Reception(NamedTuple):
    """What became of a message that a client sent.

    Attributes:
        exchanges: Commands and replies, in order.
        mails: What was taken: one message for each part that was made of it.
    """

    exchanges: list[Exchange]
    mails: list[Mail]

    @property
    def refusal(self) -> Refusal | None:
        """Return the first refusal of a command, or None."""
        for exchange in self.exchanges:
            if exchange.code >= 400:
                return Refusal(exchange.code, exchange.text)
        return None

    @property
    def mail(self) -> Mail:
        """Return the only message that was taken."""
        __tracebackhide__ = True
        if len(self.mails) != 1:
            refusal = self.refusal
            why = f", for {refusal.code} {refusal.text}" if refusal is not None else ""
            raise AssertionError(f"{len(self.mails)} messages were taken{why}")
        return self.mails[0]

    @property
    def queue_names(self) -> list[str]:
        """Return the name of the queue of each message."""
        return [mail.queue_name for mail in self.mails]


class _MemoryTransport(asyncio.Transport):
    """What a session takes for a connection."""

    def __init__(self, peer: tuple[str, int], own: tuple[str, int]) -> None:
        super().__init__({"peername": peer, "sockname": own})
        self._unread = bytearray()
        self._arrived = asyncio.Event()
        self.is_closed = False

    def write(self, data: Any) -> None:
        self._unread += data
        self._arrived.set()

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True
        self._arrived.set()

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        """Nothing to be done: what is sent is in memory already."""

    def resume_reading(self) -> None:
        """Nothing to be done."""

    async def reply(self) -> tuple[int, str]:
        """Return code and text of the next reply.

        Raises:
            ConnectionError: The session has ended without one.
        """
        lines: list[str] = []
        while True:
            line, end, rest = bytes(self._unread).partition(b"\n")
            if end:
                self._unread[:] = rest
                text = line.decode().rstrip("\r")
                lines.append(text[4:])
                if text[3:4] != "-":
                    return int(text[:3]), "\n".join(lines)
            elif self.is_closed:
                raise ConnectionError("the session ended")
            else:
                self._arrived.clear()
                await self._arrived.wait()


class MemoryClient:
    """One connection to a listener that has no socket.

    Args:
        listener: Whose options hold.
        address: IP address of the client.
        over_tls: Whether the connection passes for one over TLS.

    Attributes:
        exchanges: What was said so far.
    """

    def __init__(self, listener: SmtpListener, address: str, *, over_tls: bool) -> None:
        self.exchanges: list[Exchange] = []
        self._transport = _MemoryTransport((address, 40_000), listener.address)
        self._session = SmtpSession(listener)
        if over_tls:
            self._session.is_tls, self._session.tls = True, _TLS
        self._session.connection_made(self._transport)

    async def deliver(
        self,
        sender: str,
        recipients: Iterable[str],
        content: bytes,
        *,
        ehlo: str,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        """Send a message as far as the session lets it."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._deliver(sender, recipients, content, ehlo, credentials)
        except ConnectionError:
            # What was said last tells why.
            pass
        finally:
            self._session.connection_lost(None)

    async def _deliver(
        self,
        sender: str,
        recipients: Iterable[str],
        content: bytes,
        ehlo: str,
        credentials: tuple[str, str] | None,
    ) -> None:
        opening = [f"EHLO {ehlo}"]
        if credentials is not None:
            shown = base64.b64encode("\0{}\0{}".format(*credentials).encode()).decode()
            opening.append(f"AUTH PLAIN {shown}")
        is_plain = all(address.isascii() for address in (sender, *recipients))
        opening.append(f"MAIL FROM:<{sender}>{'' if is_plain else ' SMTPUTF8'}")
        if not await self._hear(""):
            return
        for line in opening:
            if not await self._say(line):
                return
        taken = [await self._say(f"RCPT TO:<{one}>") for one in recipients]
        if any(taken) and await self._say("DATA"):
            stuffed = content.replace(b"\r\n.", b"\r\n..")
            first = b"." if stuffed.startswith(b".") else b""
            self._session.data_received(first + stuffed + b".\r\n")
            await self._hear(".")
        await self._say("QUIT")

    async def _say(self, line: str) -> bool:
        self._session.data_received(f"{line}\r\n".encode())
        return await self._hear("AUTH PLAIN" if line.startswith("AUTH") else line)

    async def _hear(self, command: str) -> bool:
        code, text = await self._transport.reply()
        self.exchanges.append(Exchange(command, code, text))
        return code < 400
