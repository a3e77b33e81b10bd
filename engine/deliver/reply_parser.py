"""Bytes of a peer to SMTP replies.

Place in flow: ``engine.deliver.smtp_wire`` feeds what it reads and takes replies in order.

Invariants:
    * Memory is bounded: a line, a reply and the number of its lines have limits; ``size_bytes``
      tells the wire when to stop reading.
    * Nothing a peer sends raises anything but ``PeerProtocolError``.
    * The text of a reply holds no control character but the newlines between its lines.

Standard: RFC 5321 section 4.2; a bare LF ends a line too, a missing blank is tolerated.
"""

from __future__ import annotations

import re
from functools import lru_cache

from engine.model.errors import PeerProtocolError
from engine.model.reply import SmtpReply, make_reply

LINE_MAX = 4096
REPLY_MAX = 64 << 10
LINES_MAX = 256
#: Such a character in a log line or on an operator's terminal would be an instruction.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class ReplyParser:
    """Gathers lines until a reply is complete."""

    __slots__ = ("_at", "_buffer", "_code", "_lines", "_searched", "_size")

    def __init__(self) -> None:
        self._buffer = bytearray()
        # What lies before ``_at`` was taken, what lies before ``_searched`` holds no line end.
        self._at = 0
        self._searched = 0
        self._code = 0
        self._lines: list[str] = []
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Return whether no octet waits to become part of a reply."""
        return self._at == len(self._buffer) and not self._lines

    @property
    def size_bytes(self) -> int:
        """Return how many octets wait to be taken."""
        return len(self._buffer) - self._at

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        if self._at:
            del self._buffer[: self._at]
            self._searched -= self._at
            self._at = 0
        self._buffer += data

    def next(self) -> SmtpReply | None:
        """Return the next complete reply, or None.

        Raises:
            PeerProtocolError: The peer says something that is no reply.
        """
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end < 0:
                self._searched = len(self._buffer)
                if self.size_bytes > LINE_MAX:
                    raise PeerProtocolError("the peer's reply line is too long")
                return None
            raw = bytes(self._buffer[self._at : end])
            self._at = self._searched = end + 1
            reply = self._take_line(raw.removesuffix(b"\r"))
            if reply is not None:
                return reply

    def _take_line(self, raw: bytes) -> SmtpReply | None:
        is_last = raw[3:4] != b"-"
        if is_last and not self._lines:
            return _single(raw)
        code, text = _split(raw)
        if self._lines and code != self._code:
            raise PeerProtocolError("the lines of the peer's reply have different codes")
        self._code = code
        self._lines.append(text)
        self._size += len(raw)
        if self._size > REPLY_MAX or len(self._lines) > LINES_MAX:
            raise PeerProtocolError("the peer's reply is too long")
        if not is_last:
            return None
        whole, self._lines, self._size = "\n".join(self._lines), [], 0
        return make_reply(code, whole)


@lru_cache(maxsize=1024)
def _single(raw: bytes) -> SmtpReply:
    """Return the reply that is one line; hosts say the same ones again and again."""
    code, text = _split(raw)
    return make_reply(code, text)


def _split(raw: bytes) -> tuple[int, str]:
    code = raw[:3]
    if len(raw) > LINE_MAX or not code.isdigit() or len(code) != 3 or not 50 <= code[0] <= 53:
        raise PeerProtocolError(f"not a reply: {_text(raw[:80])!r}")
    return int(code), _text(raw[4:] if raw[3:4] in (b"", b" ", b"-") else raw[3:])


def _text(raw: bytes) -> str:
    """Return the octets as text that is safe to show."""
    text = raw.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else _CONTROLS.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]
