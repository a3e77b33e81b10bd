"""The octets of an SMTP session: input in bulk, replies in one write, one timer for every wait.

Place in flow: the lower half of ``engine.receive.smtp_session``; the event loop calls its protocol
methods, the session takes lines and blocks and hands it replies.

Built on aiosmtpd's ``SMTP`` class with its constructor, reading and writing replaced: it inspects
itself at each connection (0.2 ms) and reads line by line (docs/decisions/0003).

Invariants:
    * Input is bounded: beyond ``input_max`` the socket is not read.
    * A wait for input, for the client to read its replies or for a verdict ends at its deadline;
      the last replies have one too. A line has one deadline from its first octets on, however few
      come at a time.
    * A client that is gone is seen at the next wait; what it finished is still carried out.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiosmtpd.smtp import SMTP

from engine.base.trace_hub import OFF, TraceHub
from engine.model.listener_options import DATA_BUFFER_SIZE
from engine.receive.incoming import ConnectionEndedError
from engine.receive.session_trace import SessionTrace, trace_of


class SmtpStream(SMTP):
    """One client's connection, as lines and blocks.

    Attributes:
        client_timeout_s: How long the client may be silent, take over a line, or over reading a
            reply.
        input_max: Unread input beyond which the socket is paused, octets; what one read of the
            loop brings may come on top.
        is_ending: Nothing more is read; the connection is closed once the replies are out.
        tracing: Who watches sessions.
        trace: What tells those who do; made when it is needed.
    """

    client_timeout_s = 60.0
    tracing: TraceHub = OFF
    trace: SessionTrace | None = None
    input_max = DATA_BUFFER_SIZE

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.transport: Any = None
        self.is_ending = False
        self.is_tls = False
        self._in = bytearray()
        self._scanned = 0
        self._skipping = False
        self._out: list[bytes] = []
        self._input: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._verdict: asyncio.Future[Any] | None = None
        self._gone = False
        self._is_closed = False
        self._eof = False
        self._paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadline_mono = 0.0

    # -- called by the loop -------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take input."""
        self._in += data
        if len(self._in) > self.input_max and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """Note the end of input; replies may still be written."""
        self._eof = True
        self._wake()
        return not self.is_tls

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the client is gone."""
        self._gone = True
        if self._is_closed and self._timer is not None:
            self._timer.cancel()
        self._wake()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def pause_writing(self) -> None:
        """Stop answering: the client does not read its replies."""
        self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        """Go on answering."""
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- input --------------------------------------------------------------------------------

    @property
    def has_input(self) -> bool:
        """Return whether octets were received that nobody took yet."""
        return bool(self._in)

    @property
    def waits_for_input(self) -> bool:
        """Return whether the session has nothing to do until the client says more."""
        return self._input is not None and not self._in

    async def more_input(self, *, goes_on: bool = False) -> None:
        """Wait for input.

        Args:
            goes_on: Whether this is part of the wait before, whose deadline stays.

        Raises:
            ConnectionEndedError: There will be none.
        """
        if self._gone or self._eof or self.is_ending:
            raise ConnectionEndedError
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        if not goes_on:
            self.arm_deadline(self.client_timeout_s)
        self._input = self.loop.create_future()
        try:
            await self._input
        finally:
            self._input = None
        if self._gone:
            raise ConnectionEndedError

    def next_line(self, limit: int) -> bytes | None:
        """Return the next line with its end, None while it is not complete.

        A line of more octets than the limit (its end not counted) comes back empty.
        """
        buffer = self._in
        end = buffer.find(b"\n", self._scanned)
        if end < 0:
            if self._skipping or len(buffer) > limit + 2:
                # Too long already: remember that, not the octets.
                self._skipping = True
                buffer.clear()
            self._scanned = len(buffer)
            return None
        line = bytes(buffer[: end + 1])
        del buffer[: end + 1]
        self._scanned = 0
        if self._skipping or len(line) > limit + 2:
            self._skipping = False
            return b""
        if self.tracing.is_on:
            trace_of(self).read_line(line)
        return line

    def take_input(self) -> bytearray:
        """Return everything received so far; it is the caller's now."""
        block, self._in = self._in, bytearray()
        self._scanned = 0
        return block

    def peek_input(self) -> bytes:
        """Return everything received so far, and leave it there."""
        return bytes(self._in)

    def take_octets(self, most: int) -> bytes:
        """Return at most so many of the octets received."""
        block = bytes(self._in[:most])
        del self._in[:most]
        self._scanned = 0
        return block

    def give_back(self, octets: bytes) -> None:
        """Put octets back in front of what is still to be read."""
        self._in[:0] = octets

    def discard_input(self) -> None:
        """Throw away what came before TLS: it could be an attacker's."""
        self._in.clear()
        self._scanned = 0
        self._skipping = False

    def _wake(self) -> None:
        waiter = self._input
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- output -------------------------------------------------------------------------------

    def queue_output(self, octets: bytes) -> None:
        """Have octets sent with the next flush."""
        self._out.append(octets)

    async def flush(self) -> None:
        """Send what was gathered, as one write; wait while the client does not read."""
        if self._out and not self._gone:
            self._write(b"".join(self._out))
        self._out.clear()
        while self._writable is not None and not self._gone:
            self.arm_deadline(self.client_timeout_s)
            await self._writable

    def _write(self, octets: bytes) -> None:
        if self.tracing.is_on:
            trace_of(self).wrote(octets)
        self.transport.write(octets)

    def send_last(self, octets: bytes) -> None:
        """Send what was gathered and these octets now; the session ends at its next wait."""
        if not self._gone:
            self._write(b"".join(self._out) + octets)
            self._out.clear()
        self.is_ending = True
        self._gone = True
        self._wake()

    async def send_challenge(self, challenge: bytes) -> None:
        """Send a line that is no reply of its own and wait until it is out."""
        self._out.append(challenge)
        await self.flush()

    def close(self) -> None:
        """Send what is left and close; a client that does not take it is dropped after its time."""
        if self._timer is not None:
            self._timer.cancel()
        if self._out and not self._gone:
            self._write(b"".join(self._out))
        if self.tracing.is_on:
            trace_of(self).closed()
        # Asked before: a TLS transport that ended by itself and is closed cannot say it any more.
        octets_held = self.transport.get_write_buffer_size()
        self.transport.close()
        if octets_held:
            # The session is over and no longer counted: nobody else would ever end this.
            self._timer = self.loop.call_later(self.client_timeout_s, self.transport.abort)
            self._is_closed = True

    def abort(self) -> None:
        """Drop the connection."""
        self._gone = True
        self._wake()
        if self.transport is not None:
            self.transport.abort()

    # -- time ---------------------------------------------------------------------------------

    def arm_deadline(self, delay_s: float) -> None:
        """Move the deadline; the running timer looks at it when it fires."""
        self._deadline_mono = self.loop.time() + delay_s

    def start_timer(self, delay_s: float) -> None:
        """Have the deadline looked at no later than this, from now on."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(delay_s, self._on_timer)

    async def wait_verdict(self, verdict: asyncio.Future[Any], limit_s: float) -> Any:
        """Return the result of a future, or None when it is not there in time."""
        self.arm_deadline(limit_s)
        if limit_s < self.client_timeout_s:
            self.start_timer(limit_s)
        self._verdict = verdict
        try:
            return await verdict
        finally:
            self._verdict = None

    def on_silence(self) -> None:
        """Called when the client let its time pass; says so and ends the session."""
        self.send_last(b"")

    def _on_timer(self) -> None:
        """Look at the deadline in force; one timer serves all waits of the session."""
        self._timer = None
        left_s = self._deadline_mono - self.loop.time()
        if left_s > 0.001:
            self.start_timer(left_s)
            return
        if self._verdict is not None:
            if not self._verdict.done():
                self._verdict.set_result(None)
        elif self._input is not None:
            self.on_silence()
            return
        elif self._writable is not None:
            # It neither reads its replies nor goes away.
            self.abort()
            return
        self.start_timer(self.client_timeout_s)
