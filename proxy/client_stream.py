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
            first: What a dialogue left of what the client said.

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

    def send_nowait(self, data: bytes) -> bytes:
        """Send octets; return those for which there was no room.

        Raises:
            OSError: The connection broke.
        """

    async def send(self, data: bytes) -> None:
        """Send octets, however long it takes.

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

    __slots__ = ("_held", "_is_watched", "_loop", "_pipes", "_waiter", "sock")

    def __init__(self, sock: socket.socket, pipes: PipePool) -> None:
        self.sock = sock
        self._pipes = pipes
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        # What came while nobody waited for it; it is watched for as long as there is nothing.
        self._held: bytes | OSError | None = None
        self._is_watched = False

    async def receive(self) -> bytes:
        """Return what came; nothing at the end.

        Raises:
            OSError: The connection broke.
        """
        if self._held is None:
            self._watch()
            self._waiter = self._loop.create_future()
            await self._waiter
        held, self._held = self._held, None
        if isinstance(held, OSError):
            raise held
        return held or b""

    def _watch(self) -> None:
        if not self._is_watched:
            self._is_watched = True
            # A number: a selector puts a socket it does not know yet into words first.
            self._loop.add_reader(self.sock.fileno(), self._on_readable)

    def _unwatch(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._loop.remove_reader(self.sock.fileno())

    def _on_readable(self) -> None:
        if self._held is not None:
            # More than was asked for: it may wait in the kernel.
            self._unwatch()
            return
        try:
            self._held = self.sock.recv(FEED_MAX)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._held = error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def send_nowait(self, data: bytes) -> bytes:
        """Send octets; return those for which there was no room.

        Raises:
            OSError: The connection broke.
        """
        try:
            return data[self.sock.send(data) :]
        except (BlockingIOError, InterruptedError):
            return data

    async def send(self, data: bytes) -> None:
        """Send octets, however long it takes.

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
        self._unwatch()
        held = self._held
        if not isinstance(held, OSError):
            return SocketRelay(self.sock, server, self._pipes, held or b"")
        relay = SocketRelay(self.sock, server, self._pipes)
        relay.abort(held)
        return relay

    def close(self) -> None:
        """Drop the connection; after a relay it is closed already."""
        self._unwatch()
        self.sock.close()
