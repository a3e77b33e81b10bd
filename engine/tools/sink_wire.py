"""The wire under a sink's session: input in bulk, replies in order, delays, the step into TLS.

Place in flow: ``sink_session`` is made of it; ``sink_server`` listens with it.

Invariants:
    * Replies leave in the order they were said; one that is delayed holds the next ones.
    * Whatever one read brings is worked off before one write.
    * While a reply is held no more than ``MAX_AHEAD`` octets of input are kept.

Standard: RFC 5321, 4.2; RFC 3207.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from engine.tools.sink_options import Extension, SinkReply, Stage

if TYPE_CHECKING:
    from engine.tools.sink_server import Sink

#: What may be sent ahead while a reply is delayed; then reading pauses.
MAX_AHEAD = 1 << 20
#: How long a TLS handshake may take, seconds.
HANDSHAKE_S = 30.0


@lru_cache(maxsize=4096)
def encode_reply(text: str, *, enhanced: bool) -> bytes:
    r"""Return the octets of a reply.

    Args:
        text: Code and text; lines are parted by ``\n``, the code stands in the first.
        enhanced: Whether enhanced status codes stay in.
    """
    code, rest = text[:3], text[4:]
    if not enhanced:
        rest = re.sub(r"\A[245]\.\d{1,3}\.\d{1,3} ?", "", rest)
    *before, last = rest.split("\n")
    lines = [f"{code}-{line}" for line in before] + [f"{code} {last}"]
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


class SinkWire(asyncio.Protocol):
    """A connection without its dialogue.

    Attributes:
        number: Of the connection, from 1.
        client: The client's address.
        local: The address it connected to, ``address:port``.
        tls: Whether the connection is encrypted.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._stats = sink.stats
        self._enhanced = Extension.ENHANCED in sink.options.extensions
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        #: What may leave at once.
        self._out: list[bytes] = []
        #: What waits behind a delayed reply.
        self._later: deque[tuple[float, bytes, SinkReply, Callable[[], None] | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._idle_s = sink.options.idle_timeout_s
        self._idle_timer: asyncio.TimerHandle | None = None
        self._heard_mono = 0.0
        self._is_held = False
        self._hangs = False
        self._is_closing = False
        self._has_ended = False
        self.number = 0
        self.client = ""
        self.local = ""
        self.tls = False

    # -- what a dialogue adds

    def _greet(self) -> None:
        """Say the banner."""
        raise NotImplementedError

    def _take(self) -> bool:
        """Take one thing from the buffer; return False when it holds no whole one."""
        raise NotImplementedError

    def _forget(self) -> None:
        """Return to the state of a new connection; TLS just began."""
        raise NotImplementedError

    # -- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        # A cast: uvloop's transports are no subclasses.
        self._transport = cast("asyncio.Transport", transport)
        self.tls = transport.get_extra_info("ssl_object") is not None
        self.client = str((transport.get_extra_info("peername") or ("",))[0])
        local = transport.get_extra_info("sockname") or ("", 0)
        self.local = f"{local[0]}:{local[1]}"
        self.number = self._sink.note_connection(self)
        if self._idle_s:
            self._heard_mono = self._loop.time()
            self._idle_timer = self._loop.call_later(self._idle_s, self._check_idle)
        self._greet()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Work off what came, unless a delayed reply must go first."""
        self._buffer += data
        if self._idle_s:
            self._heard_mono = self._loop.time()
        if self._is_held:
            if len(self._buffer) > MAX_AHEAD and self._transport is not None:
                self._transport.pause_reading()
            return
        self._advance()

    def eof_received(self) -> bool:
        """Return whether the connection stays open for replies still to come."""
        self._has_ended = True
        return self._is_held and not self._hangs and not self.tls

    def pause_writing(self) -> None:
        """Take no more commands from who does not read the replies."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        for timer in (self._timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._is_closing = True
        self._buffer.clear()
        self._later.clear()
        self._sink.note_end(self)

    def close(self) -> None:
        """End the connection after what was said."""
        self._is_closing = True
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection now."""
        self._is_closing = True
        if self._transport is not None:
            self._transport.abort()

    def _resume_reading(self) -> None:
        transport = self._transport
        if transport is not None and not self._is_closing and not transport.is_closing():
            transport.resume_reading()

    def _advance(self) -> None:
        while self._buffer and not self._is_held and not self._is_closing:
            if not self._take():
                break
        self._flush()
        if self._has_ended and not self._is_held:
            self.close()

    def _check_idle(self) -> None:
        now_mono = self._loop.time()
        if self._is_held:
            # It is the client that waits.
            self._heard_mono = now_mono
        left_s = self._heard_mono + self._idle_s - now_mono
        if left_s > 0:
            self._idle_timer = self._loop.call_later(left_s, self._check_idle)
        elif not self._is_closing:
            self._say(Stage.OTHER, SinkReply("421 4.4.2 you say nothing, closing", close=True))

    # -- what is said

    def _say(self, stage: Stage, reply: SinkReply, then: Callable[[], None] | None = None) -> None:
        """Send a reply in its turn, then do what comes after it."""
        octets = b""
        if reply.text:
            self._stats.note_reply(stage, reply.text[:3])
            octets = encode_reply(reply.text, enhanced=self._enhanced)
        delay_s = reply.delay_s + self._sink.delay_of(stage)
        if self._is_held or delay_s > 0 or reply.hang:
            self._later.append((delay_s, octets, reply, then))
            if not self._is_held:
                self._hold()
        else:
            self._send(octets, reply, then)

    def _send(self, octets: bytes, reply: SinkReply, then: Callable[[], None] | None) -> None:
        if octets:
            self._out.append(octets)
        if reply.close:
            self.close()
        elif then is not None:
            self._flush()
            then()

    def _hold(self) -> None:
        """Send what waits, up to the next reply that is delayed."""
        while self._later and not self._is_closing:
            delay_s, octets, reply, then = self._later.popleft()
            if delay_s > 0 or reply.hang:
                self._flush()
                self._is_held = True
                self._hangs = reply.hang
                if not reply.hang:
                    self._timer = self._loop.call_later(delay_s, self._release, octets, reply, then)
                return
            self._send(octets, reply, then)

    def _release(self, octets: bytes, reply: SinkReply, then: Callable[[], None] | None) -> None:
        self._timer = None
        self._is_held = False
        self._send(octets, reply, then)
        if not self._is_held:
            self._hold()
        if not self._is_held and not self._is_closing:
            self._resume_reading()
            self._advance()

    def _flush(self) -> None:
        if self._out:
            octets = b"".join(self._out)
            self._out.clear()
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(octets)

    # -- TLS

    def _begin_tls(self) -> None:
        if self._buffer:
            # RFC 3207, 4.2: nothing sent in clear may count after the handshake.
            self._stats.note_violation("input after STARTTLS")
            self._buffer.clear()
        assert self._transport is not None
        # In the same step as the reply: the handshake's first octets belong to the TLS layer.
        self._transport.pause_reading()
        self._is_held = True
        self._sink.supervisor.start(self._shake_hands(self._transport), "sink TLS handshake")

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        try:
            upgraded = await self._loop.start_tls(
                transport,
                self,
                self._sink.tls_context(),
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_S,
            )
        except (OSError, EOFError):
            self._stats.note_violation("TLS handshake that failed")
            transport.abort()
            return
        if upgraded is None:
            return
        self._transport = upgraded
        self.tls = True
        self._stats.tls_connections += 1
        self._forget()
        self._is_held = False
        self._advance()
