"""The transport side of an outgoing connection: bytes go out, replies come in.

Place in flow: ``engine.deliver.connector`` makes it; ``smtp_client`` and ``smtp_transaction`` write
to it and wait on it.

Invariants:
    * A wait ends at its deadline, however many octets trickle in meanwhile.
    * Replies that nobody asked for take little memory: beyond ``UNREAD_MAX`` the host is not read.
    * ``progress_mono`` moves with whole replies and with data that left, with nothing less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from engine.deliver.outgoing_trace import OutgoingTrace
from engine.deliver.reply_parser import ReplyParser
from engine.model.errors import PeerClosedError, PeerTimeoutError
from engine.model.reply import SmtpReply

#: Octets of replies not yet taken, beyond which the host is not read: bounds what a peer that
#: talks without end can make us hold.
UNREAD_MAX = 128 << 10


class SmtpWire(asyncio.Protocol):
    """The protocol object of one connection; it stays the same when TLS begins.

    Attributes:
        transport: Where to write.
        parser: What the host said and nobody took yet.
        is_lost: Whether the host closed or reset the connection.
        trace: What tells those who watch the session.
        progress_mono: When it last came further.
    """

    def __init__(self, mono: Callable[[], float], trace: OutgoingTrace | None = None) -> None:
        self.transport: Any = None
        self.trace = trace
        self.parser = ReplyParser()
        self.is_lost = False
        self.progress_mono = mono()
        self._mono = mono
        self._is_full = False
        self._is_paused = False
        self._waiter: asyncio.Future[None] | None = None

    # -- what the loop calls ------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what the host says."""
        self.parser.feed(data)
        if self.parser.size_bytes > UNREAD_MAX and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note that the host says no more."""
        self.is_lost = True
        self._wake()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Note the end."""
        self.is_lost = True
        if self.trace is not None:
            self.trace.closed()
        self._wake()

    def pause_writing(self) -> None:
        """Note that the host does not keep up."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Note that the host has caught up."""
        self._is_full = False
        self._wake()

    # -- what the dialogue calls --------------------------------------------------------------

    @property
    def has_unsent(self) -> bool:
        """Return whether some of what was written has not left yet."""
        return bool(self.transport.get_write_buffer_size())

    def say(self, line: str) -> None:
        """Send a command line."""
        if self.trace is not None and self.trace.hub.is_on:
            self.trace.wrote(line)
        self.transport.write(f"{line}\r\n".encode())

    def write(self, octets: bytes | memoryview) -> None:
        """Send a piece of a message."""
        if self.trace is not None and self.trace.hub.is_on:
            self.trace.content(bytes(octets))
        self.transport.write(octets)

    async def reply(self, timeout_s: float) -> SmtpReply:
        """Return the next reply.

        Raises:
            PeerTimeoutError: It did not come in time.
            PeerClosedError: The connection ended first.
            PeerProtocolError: What came is no reply.
        """
        deadline: float | None = None
        while (reply := self.parser.next()) is None:
            if self.is_lost:
                raise PeerClosedError("the host closed the connection")
            if self._is_paused:
                self._resume_reading()
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + timeout_s
            if not await self._event(deadline):
                raise PeerTimeoutError(f"no reply within {timeout_s:g} s")
        if self._is_paused and self.parser.size_bytes <= UNREAD_MAX:
            self._resume_reading()
        self.progress_mono = self._mono()
        if self.trace is not None and self.trace.hub.is_on:
            self.trace.read(reply.encode().decode("utf-8", "replace"))
        return reply

    async def drain(self, timeout_s: float) -> None:
        """Wait until the host has taken most of what was written, spoke, or left.

        Raises:
            PeerTimeoutError: It does not read.
        """
        deadline: float | None = None
        while self._is_full and not self.is_lost and self.parser.is_empty:
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + timeout_s
            if not await self._event(deadline):
                raise PeerTimeoutError(f"the host took no data for {timeout_s:g} s")
        self.progress_mono = self._mono()

    def _resume_reading(self) -> None:
        self._is_paused = False
        if not self.is_lost:
            self.transport.resume_reading()

    async def _event(self, deadline: float) -> bool:
        """Wait for anything to happen; return False when the deadline came first."""
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        handle = loop.call_at(deadline, _expire, waiter)
        try:
            await waiter
        except TimeoutError:
            return False
        finally:
            handle.cancel()
            self._waiter = None
        return True

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
