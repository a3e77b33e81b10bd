"""A client that speaks TLS: its dialogue, and the relay between it and a plain destination.

Place in flow: ``proxy.listener`` opens one where a listener speaks TLS; ``proxy.session`` uses it
as it uses a plain stream.

Invariants:
    * Not more than ``HELD_MAX`` octets are held for a side that does not read, beside what the TLS
      library holds of its own: the other side is not read meanwhile.
    * A connection that breaks is broken off on the other side too.

Known limits: TLS, as the event loop speaks it, has no half of a connection. When one side has said
everything, what is under way to the other one is delivered, and both are closed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

from proxy.relay import break_off
from proxy.socks5 import FEED_MAX

#: Octets held for one side.
HELD_MAX = 256 * 1024
#: Seconds that the farewell of TLS may take.
SHUTDOWN_S = 5.0


async def open_tls_stream(
    sock: socket.socket, context: ssl.SSLContext, *, timeout_s: float
) -> TlsStream:
    """Return a stream to a client with which TLS was agreed on.

    Args:
        sock: The accepted connection; it is not the caller's any more, whatever happens.
        context: The server's side of TLS.
        timeout_s: Seconds that the handshake may take.

    Raises:
        OSError: The handshake failed, or took too long.
    """
    stream = TlsStream(sock)
    # It closes the socket itself if it fails; a second close could hit another connection.
    await asyncio.get_running_loop().connect_accepted_socket(
        lambda: stream,
        sock,
        ssl=context,
        ssl_handshake_timeout=timeout_s,
        ssl_shutdown_timeout=SHUTDOWN_S,
    )
    return stream


class TlsStream(asyncio.Protocol):
    """A client's side of a session in TLS.

    Attributes:
        sock: The connection below.
        transport: What speaks TLS on it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        # The event loop's transport for TLS is no subclass of any class that says what it can do.
        self.transport: Any = None
        self._loop = asyncio.get_running_loop()
        self._held = bytearray()
        self._is_over = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    # -- what the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came until it is asked for."""
        self._held += data
        if len(self._held) >= FEED_MAX:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """Note that the client has said everything."""
        self._is_over = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the client is gone."""
        self._is_over, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- what a session wants

    async def receive(self) -> bytes:
        """Return what came; nothing at the end.

        Raises:
            OSError: The connection broke.
        """
        while not self._held and not self._is_over:
            self._waiter = self._loop.create_future()
            await self._waiter
        data = bytes(self._held[:FEED_MAX])
        del self._held[:FEED_MAX]
        if not data and self._error is not None:
            raise _as_os_error(self._error)
        if len(self._held) < FEED_MAX and not self._is_over:
            self.transport.resume_reading()
        return data

    def send_nowait(self, data: bytes) -> bytes:
        """Send octets; there is room for all that a dialogue says."""
        self.transport.write(data)
        return b""

    async def send(self, data: bytes) -> None:
        """Send octets."""
        self.transport.write(data)

    async def finish(self) -> None:
        """Say that nothing more comes: a close delivers what was said."""
        self.transport.close()

    def make_relay(self, server: socket.socket) -> TlsRelay:
        """Return a relay to a destination, which closes this connection too."""
        return TlsRelay(self, server)

    def close(self) -> None:
        """Close the connection once what was sent is on its way."""
        self.transport.close()

    def hand_over(self, successor: asyncio.Protocol) -> bytes:
        """Have another protocol hear the client, from its next ``resume_reading`` on.

        Returns:
            What the client said before.

        Raises:
            OSError: It is gone.
        """
        if self._is_over:
            raise _as_os_error(self._error or ConnectionResetError("the client has left"))
        self.transport.pause_reading()
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        held, self._held = bytes(self._held), bytearray()
        return held


class TlsRelay:
    """A client in TLS and a plain destination that are one connection; it closes both."""

    def __init__(self, stream: TlsStream, server: socket.socket) -> None:
        self._stream = stream
        self._sockets = (stream.sock, server)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client, self._server = _Side(self, is_plain=False), _Side(self, is_plain=True)
        self._client.other, self._server.other = self._server, self._client

    @property
    def sent(self) -> int:
        """Return how many octets came from the client."""
        return self._client.said

    @property
    def received(self) -> int:
        """Return how many octets came from the destination."""
        return self._server.said

    async def run(self, first: bytes = b"") -> None:
        """Move octets until both sides have ended.

        Args:
            first: What a dialogue left of what the client said.

        Raises:
            OSError: A side broke off, or ``abort`` was called.
        """
        loop = asyncio.get_running_loop()
        _, server = self._sockets
        try:
            # The client first: a destination may speak as soon as it is heard.
            held = self._stream.hand_over(self._client)
            await loop.create_connection(lambda: self._server, sock=server)
            self._client.data_received(first + held)
            if self._client.is_lost:
                self._server.transport.close()
            else:
                self._stream.transport.resume_reading()
            await self._done
        except BaseException:
            break_off(self._sockets)
            self._stream.transport.abort()
            raise
        finally:
            self._done.cancel()
            if self._server.transport is not None:
                self._server.transport.abort()
            else:
                server.close()

    def abort(self, error: OSError) -> None:
        """Break both sides off."""
        if not self._done.done():
            self._done.set_exception(error)

    def lost(self, error: Exception | None) -> None:
        """Note that a side is gone; whether the other one is too, it says itself."""
        if error is not None:
            self.abort(_as_os_error(error))
        elif self._client.is_lost and self._server.is_lost and not self._done.done():
            self._done.set_result(None)


class _Side(asyncio.Protocol):
    """One of the two connections; what it says goes to the other one."""

    other: _Side

    def __init__(self, relay: TlsRelay, *, is_plain: bool) -> None:
        self._relay = relay
        self._is_plain = is_plain
        self.transport: Any = None
        self.said = 0
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = transport
        self.transport.set_write_buffer_limits(high=HELD_MAX)

    def data_received(self, data: bytes) -> None:
        """Pass on what was said."""
        self.said += len(data)
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Have the other side wait while this one does not read."""
        self._ask_other("pause_reading")

    def resume_writing(self) -> None:
        """Go on listening to the other side."""
        self._ask_other("resume_reading")

    def _ask_other(self, what: str) -> None:
        transport = self.other.transport
        if transport is not None and not transport.is_closing():
            getattr(transport, what)()

    def eof_received(self) -> bool:
        """Close the other side behind what it is still to be told."""
        self.other.transport.close()
        # A plain side is still written to; of TLS the event loop closes both halves.
        return self._is_plain

    def connection_lost(self, error: Exception | None) -> None:
        """Close the other side, or break it off as this one was."""
        self.is_lost = True
        if error is None and self.other.transport is not None:
            self.other.transport.close()
        self._relay.lost(error)


def _as_os_error(error: Exception) -> OSError:
    return error if isinstance(error, OSError) else ConnectionError(str(error))
