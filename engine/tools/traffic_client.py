"""The load generator's SMTP connection: pipelined where the server offers it.

Place in flow: ``traffic_run`` opens connections and hands over messages.

Failure: whatever keeps a reply away is a ``TrafficConnectionError``.

Standard: RFC 5321, 2920 (PIPELINING), 3207 (STARTTLS), 4954 (AUTH).
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from collections import deque
from typing import NamedTuple, cast

from engine.model.errors import EngineError
from engine.tools.traffic_content import TrafficMessage, stuff_dots
from engine.tools.traffic_options import TrafficOptions
from engine.tools.traffic_tally import Tally

#: More octets without an end are no reply.
_MAX_REPLY = 64 * 1024
#: How long the reply to QUIT may take, seconds; nothing depends on it.
QUIT_S = 5.0
_CODES = frozenset(map(str, range(200, 600)))


class TrafficConnectionError(EngineError, ConnectionError):
    """The connection could not be opened, or ended, or says nothing."""


class Reply(NamedTuple):
    """A reply: its code and the text of its lines."""

    code: int
    text: str


class _ReplyReader(asyncio.Protocol):
    """Cuts replies out of the stream and wakes the one who waits for them."""

    def __init__(self) -> None:
        self.replies: deque[Reply] = deque()
        self.transport: asyncio.Transport | None = None
        self.ended = ""
        self._buffer = b""
        self._lines: list[str] = []
        self._wanted = 0
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", "replace")
            self._lines.append(text[4:])
            if text[3:4] != "-":
                if text[:3] not in _CODES:
                    self._end(f"no SMTP reply: {text[:100]!r}")
                    return
                self.replies.append(Reply(int(text[:3]), " ".join(self._lines)))
                self._lines = []
        if len(self._buffer) > _MAX_REPLY or len(self._lines) > 1000:
            self._end("an endless reply")
        elif self._has(self._wanted):
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(str(exc) if exc else "the server closed the connection")

    def _end(self, reason: str) -> None:
        self.ended = self.ended or reason
        self._wake()
        if self.transport is not None:
            self.transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _has(self, count: int) -> bool:
        # After 421 nothing more comes, though the server may be slow to close.
        replies = self.replies
        return len(replies) >= count or (bool(replies) and replies[-1].code == 421)

    async def wait(self, count: int, limit_s: float) -> list[Reply]:
        """Return the next replies; fewer if the last one is a 421."""
        if not self._has(count) and not self.ended:
            self._wanted = count
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(limit_s):
                    await self._waiter
            except TimeoutError:
                self._end(f"no reply in {limit_s:g} s")
        if not self._has(count):
            raise TrafficConnectionError(self.ended)
        return [self.replies.popleft() for _ in range(min(count, len(self.replies)))]


def _reason(error: OSError | EOFError) -> str:
    # Event loops write texts of their own around an error of the system.
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return str(error) or type(error).__name__


class TrafficConnection:
    """An open SMTP connection after EHLO (and STARTTLS and AUTH).

    Attributes:
        messages: Handed over, whatever the outcome.
    """

    def __init__(self, options: TrafficOptions, tally: Tally) -> None:
        self._options = options
        self._tally = tally
        self._reader = _ReplyReader()
        self._pipelining = False
        self._eight_bit = False
        self._must_reset = False
        self._is_over = False
        self.messages = 0

    @property
    def is_over(self) -> bool:
        """Return whether the server ended it, or said so; asked between messages.

        A reply that nobody asked for is a 421 in all but name.
        """
        return self._is_over or bool(self._reader.ended) or bool(self._reader.replies)

    async def open(self, context: ssl.SSLContext) -> None:
        """Connect and introduce ourselves.

        Raises:
            TrafficConnectionError: The server cannot be reached, or wants no mail from us.
        """
        options = self._options
        host, port = options.target
        tls = context if options.tls_from_first_byte else None
        try:
            async with asyncio.timeout(options.timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: self._reader, host, port, ssl=tls, server_hostname="" if tls else None
                )
        except (OSError, EOFError) as error:
            raise TrafficConnectionError(f"cannot connect: {_reason(error)}") from error
        (banner,) = await self._reader.wait(1, options.timeout_s)
        self._check("connect", banner)
        await self._hello()
        if options.starttls:
            await self._start_tls(context)
            await self._hello()
        if options.auth_user:
            secret = f"\0{options.auth_user}\0{options.auth_password}".encode()
            line = "AUTH PLAIN " + base64.b64encode(secret).decode()
            self._check("auth", await self._command(line))

    async def _hello(self) -> None:
        reply = await self._command(f"EHLO {self._options.ehlo}")
        if 500 <= reply.code < 600:
            reply = await self._command(f"HELO {self._options.ehlo}")
        self._check("ehlo", reply)
        offers = reply.text.upper().split()
        self._pipelining = "PIPELINING" in offers
        self._eight_bit = "8BITMIME" in offers

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        self._check("starttls", await self._command("STARTTLS"))
        transport = self._reader.transport
        assert transport is not None
        try:
            upgraded = await asyncio.get_running_loop().start_tls(
                transport,
                self._reader,
                context,
                server_hostname="",
                ssl_handshake_timeout=self._options.timeout_s,
            )
        except (OSError, EOFError) as error:
            raise TrafficConnectionError(f"TLS: {_reason(error)}") from error
        if upgraded is None:
            raise TrafficConnectionError("TLS: the server closed the connection")
        self._reader.transport = upgraded

    def _check(self, stage: str, reply: Reply) -> None:
        self._tally.note_reply(stage, reply.code, reply.text)
        if not 200 <= reply.code < 300:
            self.close()
            raise TrafficConnectionError(f"{stage}: {reply.code} {reply.text}")

    async def _command(self, line: str) -> Reply:
        self._write(f"{line}\r\n".encode())
        (reply,) = await self._reader.wait(1, self._options.timeout_s)
        return reply

    def _write(self, octets: bytes) -> None:
        transport = self._reader.transport
        if transport is None or transport.is_closing():
            raise TrafficConnectionError(self._reader.ended or "the connection is closed")
        transport.write(octets)

    async def send(self, message: TrafficMessage) -> int:
        """Hand over a message; return the code that decides its fate.

        Raises:
            TrafficConnectionError: There was no final reply.
        """
        self.messages += 1
        content = message.content
        body = " BODY=8BITMIME" if self._eight_bit and not content.isascii() else ""
        commands = [
            f"MAIL FROM:<{message.sender}>{body}",
            *(f"RCPT TO:<{recipient}>" for recipient in message.recipients),
            "DATA",
        ]
        if self._must_reset:
            self._note("rset", await self._command("RSET"))
            self._must_reset = False
            if self._is_over:
                return 421
        talk = self._talk_at_once if self._pipelining else self._talk_in_turn
        replies = await talk(commands)
        stages = ["mail", *["rcpt"] * len(message.recipients), "data"]
        for stage, reply in zip(stages, replies, strict=False):
            self._note(stage, reply)
        return await self._finish(message, replies, len(commands))

    async def _finish(self, message: TrafficMessage, replies: list[Reply], wanted: int) -> int:
        good = [reply for reply in replies[1 : wanted - 1] if reply.code < 300]
        bad = [reply for reply in replies[1 : wanted - 1] if reply.code >= 400]
        if len(replies) == wanted and replies[-1].code == 354:
            # With no recipient an empty message ends what the server began (RFC 2920, 3.1).
            self._write(stuff_dots(message.content) if good else b".\r\n")
            (end,) = await self._reader.wait(1, self._options.timeout_s)
            self._note("dot", end)
            if good:
                self._tally.recipients_refused += len(bad)
                return end.code
        self._must_reset = True
        if replies[0].code >= 400 or not bad:
            failed = [reply for reply in (replies[0], replies[-1]) if reply.code >= 400]
            return failed[0].code if failed else 500
        if good:
            return replies[-1].code
        # Refused for some and deferred for others: worth another try, so deferred.
        return min(reply.code for reply in bad)

    def _note(self, stage: str, reply: Reply) -> None:
        self._tally.note_reply(stage, reply.code, reply.text)
        if reply.code == 421:
            self._is_over = True

    async def _talk_at_once(self, commands: list[str]) -> list[Reply]:
        self._write(("\r\n".join(commands) + "\r\n").encode())
        return await self._reader.wait(len(commands), self._options.timeout_s)

    async def _talk_in_turn(self, commands: list[str]) -> list[Reply]:
        """Return replies up to the one that makes the rest useless."""
        replies: list[Reply] = []
        for command in commands:
            if command == "DATA" and all(reply.code >= 400 for reply in replies[1:]):
                break
            replies.append(await self._command(command))
            if len(replies) == 1 and replies[0].code >= 400:
                break
        return replies

    async def quit(self) -> None:
        """Say goodbye, if the server still listens."""
        try:
            if not self._reader.ended:
                self._write(b"QUIT\r\n")
                await self._reader.wait(1, min(QUIT_S, self._options.timeout_s))
        except TrafficConnectionError:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """End the connection."""
        if self._reader.transport is not None:
            self._reader.transport.close()
