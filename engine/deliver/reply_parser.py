"""Bytes of a peer to SMTP replies.

Place in flow: ``engine.deliver.smtp_client`` feeds what it reads and takes replies in order.

Invariants:
    * Memory is bounded: a line, a reply and the number of its lines have limits.
    * Nothing a peer sends raises anything but ``PeerProtocolError``.

Standard: RFC 5321 section 4.2; a bare LF ends a line too, a missing blank is tolerated.
"""

from __future__ import annotations

from engine.model.errors import PeerProtocolError
from engine.model.reply import SmtpReply, make_reply

LINE_MAX = 4096
REPLY_MAX = 64 << 10
LINES_MAX = 256


class ReplyParser:
    """Gathers lines until a reply is complete."""

    __slots__ = ("_buffer", "_code", "_lines", "_size")

    def __init__(self) -> None:
        self._buffer = b""
        self._code = ""
        self._lines: list[str] = []
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Return whether no octet waits to become part of a reply."""
        return not self._buffer and not self._lines

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self._buffer = self._buffer + data if self._buffer else data

    def next(self) -> SmtpReply | None:
        """Return the next complete reply, or None.

        Raises:
            PeerProtocolError: The peer says something that is no reply.
        """
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) > LINE_MAX:
                    raise PeerProtocolError("the peer's reply line is too long")
                return None
            raw, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
            reply = self._take_line(raw.removesuffix(b"\r"))
            if reply is not None:
                return reply

    def _take_line(self, raw: bytes) -> SmtpReply | None:
        code = raw[:3]
        if len(raw) > LINE_MAX or not code.isdigit() or len(code) != 3 or not 50 <= code[0] <= 53:
            raise PeerProtocolError(f"not a reply: {raw[:80]!r}")
        separator = raw[3:4]
        text = raw[4:].decode("utf-8", "backslashreplace")
        if separator not in (b"", b" ", b"-"):
            text = raw[3:].decode("utf-8", "backslashreplace")
        name = code.decode()
        if self._lines and name != self._code:
            raise PeerProtocolError("the lines of the peer's reply have different codes")
        self._code = name
        self._lines.append(text)
        self._size += len(raw)
        if self._size > REPLY_MAX or len(self._lines) > LINES_MAX:
            raise PeerProtocolError("the peer's reply is too long")
        if separator == b"-":
            return None
        whole, self._lines, self._size = "\n".join(self._lines), [], 0
        return make_reply(int(name), whole)
