"""Octets both ways between two sockets, until both sides have said everything.

Place in flow: ``proxy.session`` runs one after the reply to CONNECT. Where TLS is spoken
``proxy.tls_stream`` takes its place.

Invariants:
    * At most one pipe, or ``COPY_MAX`` octets, are held per direction: who does not read is not
      read for.
    * The end of one direction is passed on and leaves the other one open.
    * A connection that breaks is broken off on the other side too, never ended as if all was said.
    * Octets reach the other side in order, and no pipe with octets in it goes back to the pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterable

from engine.base.os_reason import os_reason
from proxy.pipe_pool import Pipe, PipePool

#: Octets that are moved at once: by the kernel, and through this process.
SPLICE_MAX = 1 << 20
COPY_MAX = 64 * 1024
#: How often one direction may move before others have their turn.
_ROUNDS = 4
#: Octets at once after which more are likely to be there already.
_WORTH_MORE = 16 * 1024
#: What a system says that has no splice for sockets, or forbids it.
_NO_SPLICE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EPERM})
_RESET = struct.pack("ii", 1, 0)
_FLAGS = getattr(os, "SPLICE_F_MOVE", 0) | getattr(os, "SPLICE_F_NONBLOCK", 0)


def break_off(sockets: Iterable[socket.socket]) -> None:
    """Have the far ends of connections see, when they are closed, that not all was said."""
    for sock in sockets:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


class SocketRelay:
    """Two sockets that are one connection; it closes both.

    Args:
        client: Connected, not blocking.
        server: Connected, not blocking.
        pipes: Where pipes come from.
        held: What was read from the client already.
    """

    __slots__ = ("_done", "_down", "_held", "_loop", "_sockets", "_up", "pipes")

    def __init__(
        self, client: socket.socket, server: socket.socket, pipes: PipePool, held: bytes = b""
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = (client, server)
        self._held = held
        self.pipes = pipes
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._up = _Direction(self, client, server)
        self._down = _Direction(self, server, client)

    @property
    def sent(self) -> int:
        """Return how many octets came from the client."""
        return self._up.moved

    @property
    def received(self) -> int:
        """Return how many octets came from the destination."""
        return self._down.moved

    async def run(self, first: bytes = b"") -> None:
        """Move octets until both directions have ended.

        Args:
            first: What a dialogue left of what the client said.

        Raises:
            OSError: A side broke off, or ``abort`` was called.
        """
        try:
            self._up.start(first + self._held)
            self._down.start(b"")
            await self._done
        except BaseException:
            break_off(self._sockets)
            raise
        finally:
            self._done.cancel()
            self._up.stop()
            self._down.stop()
            for sock in self._sockets:
                sock.close()

    def abort(self, error: OSError) -> None:
        """Break both sides off."""
        if not self._done.done():
            self._done.set_exception(error)

    def ended(self) -> bool:
        """Note that a direction has ended; return whether both have, and both sides close."""
        if not (self._up.is_done and self._down.is_done):
            return False
        if not self._done.done():
            self._done.set_result(None)
        return True


class _Direction:
    """One way."""

    __slots__ = (
        "_from",
        "_is_reading",
        "_is_writing",
        "_left",
        "_loop",
        "_pipe",
        "_relay",
        "_rest",
        "_sink",
        "_source",
        "_to",
        "is_done",
        "moved",
    )

    def __init__(self, relay: SocketRelay, source: socket.socket, sink: socket.socket) -> None:
        self._relay = relay
        self._loop = relay._loop
        self._from, self._to = source, sink
        # Selectors put an object that is not registered yet into words, which for a socket costs
        # more than all the rest.
        self._source, self._sink = source.fileno(), sink.fileno()
        self._pipe: Pipe | None = None
        # Octets in the pipe, and octets in this process; at most one is not empty.
        self._left = 0
        self._rest = b""
        self._is_reading = self._is_writing = False
        self.is_done = False
        self.moved = 0

    def start(self, first: bytes) -> None:
        """Send what is there already, then whatever comes."""
        self.moved = len(first)
        self._rest = first
        self._send_on()

    def stop(self) -> None:
        """Leave the sockets alone."""
        self._watch(reading=False, writing=False)
        if self._pipe is not None:
            self._relay.pipes.drop(self._pipe)
            self._pipe = None

    def _watch(self, *, reading: bool, writing: bool) -> None:
        """Be called when there is something to read, or room to write."""
        if reading != self._is_reading:
            self._is_reading = reading
            if reading:
                self._loop.add_reader(self._source, self._on_readable)
            else:
                self._loop.remove_reader(self._source)
        if writing != self._is_writing:
            self._is_writing = writing
            if writing:
                self._loop.add_writer(self._sink, self._on_writable)
            else:
                self._loop.remove_writer(self._sink)

    def _on_readable(self) -> None:
        try:
            for _ in range(_ROUNDS):
                if not self._move():
                    return
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._relay.abort(error)

    def _on_writable(self) -> None:
        try:
            self._send_on()
        except OSError as error:
            self._relay.abort(error)

    def _send_on(self) -> None:
        is_empty = self._flush()
        self._watch(reading=is_empty, writing=not is_empty)

    def _move(self) -> bool:
        """Take octets in and send them; return whether it is worth trying again.

        Raises:
            BlockingIOError: There is nothing to read.
        """
        size = self._take_in()
        if size == 0:
            self._end()
            return False
        self.moved += size
        if self._flush():
            return size >= _WORTH_MORE
        self._watch(reading=False, writing=True)
        return False

    def _take_in(self) -> int:
        """Return how many octets were taken in; 0 at the end."""
        pipe = self._relay.pipes.take()
        if pipe is None:
            self._rest = self._from.recv(COPY_MAX)
            return len(self._rest)
        size = 0
        try:
            size = os.splice(self._source, pipe.writer, SPLICE_MAX, flags=_FLAGS)
        except OSError as error:
            if error.errno not in _NO_SPLICE:
                raise
            self._relay.pipes.give_up(os_reason(error))
            self._rest = self._from.recv(COPY_MAX)
            return len(self._rest)
        finally:
            if size:
                self._pipe, self._left = pipe, size
            else:
                self._relay.pipes.give(pipe)
        return size

    def _flush(self) -> bool:
        """Send what was taken in; return whether nothing is left."""
        try:
            if self._pipe is not None:
                reader, sink = self._pipe.reader, self._sink
                while self._left:
                    self._left -= os.splice(reader, sink, self._left, flags=_FLAGS)
                self._relay.pipes.give(self._pipe)
                self._pipe = None
            while self._rest:
                self._rest = self._rest[self._to.send(self._rest) :]
        except (BlockingIOError, InterruptedError):
            return False
        return True

    def _end(self) -> None:
        """Pass the end on: nothing is left to send at this point."""
        self._watch(reading=False, writing=False)
        self.is_done = True
        if not self._relay.ended():
            with contextlib.suppress(OSError):
                # A side that is gone already needs to be told nothing.
                self._to.shutdown(socket.SHUT_WR)
