"""A receiving host in a thread: keeps every octet it is given, answers as a test says.

It speaks ESMTP or LMTP with PIPELINING and 8BITMIME, and notes when each thing happened, so that a
test can tell a retry from a duplicate and one connection from another.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

#: Answers a recipient ("rcpt") or a whole message ("dot"); None accepts.
Judge = Callable[[str, str], str | None]


@dataclass
class Taken:
    """A message that was answered 250."""

    sender: str
    recipients: list[str]
    content: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def subject(self) -> str:
        for line in self.content.split(b"\r\n\r\n", 1)[0].split(b"\r\n"):
            if line.lower().startswith(b"subject:"):
                return line[8:].strip().decode()
        return ""


class LoopbackSink:
    """A host that takes mail.

    Args:
        judge: Says what to answer; called with the stage ("rcpt", "dot") and the address.
        lmtp: Whether it gives one reply for each recipient after the dot.

    Attributes:
        taken: What was accepted, in order.
        tried: When each recipient was named, also those refused.
        open_now: Connections open.
        gate: While it is cleared no final dot is answered.
    """

    def __init__(self, judge: Judge | None = None, *, lmtp: bool = False) -> None:
        self.judge: Judge = judge or (lambda _stage, _address: None)
        self.taken: list[Taken] = []
        self.tried: dict[str, list[float]] = {}
        self.connections = 0
        self.open_now = 0
        self.gate = threading.Event()
        self.gate.set()
        self.port = 0
        self._lmtp = lmtp
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()

    def subjects(self) -> Counter[str]:
        return Counter(message.subject for message in self.taken)

    def recipients(self) -> Counter[str]:
        return Counter(one for message in self.taken for one in message.recipients)

    @contextlib.contextmanager
    def listening(self) -> Iterator[LoopbackSink]:
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=1 << 20)
        )
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.gate.set()
            asyncio.run_coroutine_threadsafe(self._end(server), self._loop).result(10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(10)
            self._loop.close()

    async def _end(self, server: asyncio.Server) -> None:
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.05)

    # -- dialogue

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self._writers.add(writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
        finally:
            self.open_now -= 1
            self._writers.discard(writer)
            writer.close()

    async def _converse(self, reader, writer) -> None:
        sender, recipients = "", []
        writer.write(b"220 sink.test ready\r\n")
        while True:
            line = (await reader.readuntil(b"\r\n"))[:-2].decode("utf-8", "surrogateescape")
            verb = line[:4].upper()
            if verb in ("EHLO", "LHLO"):
                writer.write(b"250-sink.test\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n")
            elif verb == "MAIL":
                sender, recipients = _address(line), []
                writer.write(b"250 2.1.0 ok\r\n")
            elif verb == "RCPT":
                reply = self._judge_recipient(_address(line))
                if reply is None:
                    recipients.append(_address(line))
                writer.write((reply or "250 2.1.5 ok").encode() + b"\r\n")
            elif verb == "DATA":
                if not recipients:
                    writer.write(b"503 5.5.1 nobody to send to\r\n")
                    continue
                writer.write(b"354 go on\r\n")
                content = await self._content(reader)
                await self._wait_gate()
                for reply in self._keep(sender, recipients, content):
                    writer.write(reply.encode() + b"\r\n")
                recipients = []
            elif verb == "RSET":
                recipients = []
                writer.write(b"250 2.0.0 ok\r\n")
            elif verb == "QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"502 5.5.1 what?\r\n")

    def _judge_recipient(self, address: str) -> str | None:
        self.tried.setdefault(address, []).append(time.monotonic())
        return self.judge("rcpt", address)

    @staticmethod
    async def _content(reader: asyncio.StreamReader) -> bytes:
        """Return the message without its dots, octet for octet."""
        lines = []
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    async def _wait_gate(self) -> None:
        while not self.gate.is_set():
            await asyncio.sleep(0.01)

    def _keep(self, sender: str, recipients: list[str], content: bytes) -> list[str]:
        if not self._lmtp:
            reply = self.judge("dot", recipients[0])
            if reply is None:
                self.taken.append(Taken(sender, recipients, content))
            return [reply or "250 2.0.0 taken"]
        replies = [self.judge("dot", one) for one in recipients]
        taken = [one for one, reply in zip(recipients, replies, strict=True) if reply is None]
        if taken:
            self.taken.append(Taken(sender, taken, content))
        return [reply or "250 2.0.0 taken" for reply in replies]


def _address(line: str) -> str:
    return line[line.index("<") + 1 : line.index(">")]
