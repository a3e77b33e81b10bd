"""The client's side of a session while it is a dialogue: octets in and out, plain or in TLS.

Place in flow: made by ``proxy.listener``; read and written by ``proxy.session`` until the relay
takes over.

Invariants:
    * Never more than ``socks5.FEED_MAX`` octets are taken from a plain socket at once: what follows
      the dialogue stays in the kernel.
    * It waits without end: its user sets the deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol

from proxy.pipe_pool import PipePool
from proxy.relay import SocketRelay
from proxy.socks5 import FEED_MAX

#: Seconds, and octets, that a client which sends more than it was asked for is read after the last
#: reply: a close would otherwise take the reply back from it.
LINGER_S = 1.0
_LINGER_OCTETS = 64 * 1024


class Relay(Protocol):
    """Two connections that are one; it closes both."""

    @property
    def sent(self) -> int:
        """Return how many octets came from the client."""

    @property
    def received(self) -> int:
        """Return how many octets came from the destination."""

    async def run(self, first: bytes) -> None:
        """Move octets until both sides have ended.

        Args:
            first: What the client said already.

        Raises:
            OSError: A side broke off, or ``abort`` was called.
        """

    def abort(self, error: OSError) -> None:
        """Break both sides off."""


class ClientStream(Protocol):
    """A client that is heard and answered."""

    async def receive(self) -> bytes:
        """Return what came; nothing at the end.

        Raises:
            OSError: The connection broke.
        """

    async def send(self, data: bytes) -> None:
        """Send octets.

        Raises:
            OSError: The connection broke.
        """

    async def finish(self) -> None:
        """Say that nothing more comes, and give the client a moment to read it."""

    def make_relay(self, server: socket.socket) -> Relay:
        """Return a relay between the client and a destination; both sockets are its own now."""

    def close(self) -> None:
        """Drop the connection, unless a relay has it."""


class SocketStream:
    """A plain connection.

    Args:
        sock: Connected, not blocking.
        pipes: Where its relay takes pipes from.
    """

    __slots__ = ("_loop", "_pipes", "sock")

    def __init__(self, sock: socket.socket, pipes: PipePool) -> None:
        self.sock = sock
        self._pipes = pipes
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> bytes:
        """Return what came; nothing at the end.

        Raises:
            OSError: The connection broke.
        """
        return await self._loop.sock_recv(self.sock, FEED_MAX)

    async def send(self, data: bytes) -> None:
        """Send octets.

        Raises:
            OSError: The connection broke.
        """
        await self._loop.sock_sendall(self.sock, data)

    async def finish(self) -> None:
        """Say that nothing more comes, and let the client read it."""
        left = _LINGER_OCTETS
        with contextlib.suppress(OSError, TimeoutError):
            self.sock.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(LINGER_S):
                while left > 0 and (data := await self.receive()):
                    left -= len(data)

    def make_relay(self, server: socket.socket) -> SocketRelay:
        """Return a relay to a destination, which closes this connection too."""
        return SocketRelay(self.sock, server, self._pipes)

    def close(self) -> None:
        """Drop the connection; after a relay it is closed already."""
        self.sock.close()
