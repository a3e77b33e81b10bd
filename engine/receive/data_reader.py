"""The content of a message off the wire: where it ends, what it may hold.

Place in flow: ``engine.receive.smtp_session_transaction`` feeds blocks as they come;
``admission`` gets the content, dot-unstuffed, every line ended by CRLF.

Invariants:
    * Only CRLF.CRLF ends DATA, whatever the line-ending policy: a bare LF never does (smuggling).
    * Beyond the size limit nothing is kept but the few octets needed to see the end.

Standard: RFC 5321 sections 2.3.8, 4.1.1.4, 4.5.2 and 4.5.3.1.6; RFC 3030 (BDAT).
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from engine.model.reply import SmtpReply, make_reply

_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_TERMINATOR = b"\r\n.\r\n"
#: A peer that sends this many times the limit gets its answer and is cut off.
EXCESS_FACTOR = 8
EXCESS_MIN_BYTES = 64 << 20


class LineEndings(enum.Enum):
    """What becomes of a bare CR or LF in content."""

    DENY = "Deny"
    ALLOW = "Allow"
    FIX = "Fix"


TOO_BIG = make_reply(552, "5.3.4 message too big")
BAD_ENDINGS = make_reply(552, "5.6.0 bare CR or LF in the message")
LINE_TOO_LONG = make_reply(500, "5.2.3 line too long")


class DataReader:
    """Gathers the blocks of one DATA command until the terminator."""

    __slots__ = (
        "_buffer",
        "_kept",
        "_limit",
        "_scanned",
        "excess",
        "is_dotless",
        "is_dropped",
        "too_big",
    )

    def __init__(self, max_message_size_bytes: int) -> None:
        self._buffer = bytearray()
        self._limit = max_message_size_bytes
        self._scanned = 0
        self._kept = 0
        self.too_big = False
        #: Nothing of the message is kept, whatever its size.
        self.is_dropped = False
        #: No line began with a dot; known once the content was asked for.
        self.is_dotless = False
        #: Octets thrown away because the message is over the limit, or dropped.
        self.excess = 0

    def feed(self, block: bytearray) -> bytes | None:
        """Take a block; return what follows the terminator, or None while it has not come.

        The block is the reader's from now on: the first is gathered into, not copied.
        """
        if self._buffer:
            self._buffer += block
        else:
            self._buffer = block
        buffer = self._buffer
        if not self._kept and self._scanned == 0:
            # A dot on the very first line: there is no CRLF before it in this buffer.
            if buffer.startswith(b".\r\n"):
                rest = bytes(buffer[3:])
                buffer.clear()
                return rest
            if len(buffer) < 3 and b".\r\n".startswith(buffer):
                return None
        end = buffer.find(_TERMINATOR, max(0, self._scanned - 4))
        if end >= 0:
            rest = bytes(buffer[end + 5 :])
            del buffer[end + 2 :]
            if not self.too_big and end + 2 > self._limit * 2 + 1024:
                self._overflow()
            return rest
        self._scanned = len(buffer)
        # Transparent dots do not count against the limit: it is judged again at the end.
        if self.too_big or len(buffer) > self._limit * 2 + 1024:
            self._overflow()
        elif self.is_dropped:
            self._cut()
        return None

    def drop(self) -> int:
        """Keep nothing of what came and comes; the end is still seen. Return the octets freed."""
        self.is_dropped = True
        before = self.excess
        self._cut()
        return self.excess - before

    def _overflow(self) -> None:
        self.too_big = True
        self._cut()

    def _cut(self) -> None:
        surplus = len(self._buffer) - 4
        if surplus > 0:
            self._kept = 1
            self.excess += surplus
            del self._buffer[:surplus]
            self._scanned = 0

    @property
    def is_hopeless(self) -> bool:
        """Return whether so much came beyond the limit that waiting for the end is no use."""
        return self.excess > max(EXCESS_MIN_BYTES, self._limit * EXCESS_FACTOR)

    def content(self) -> bytes:
        """Return the content with transparent dots removed, once, after the terminator came.

        The reader keeps no copy: a large message must not stay in memory twice.
        """
        buffer, self._buffer = self._buffer, bytearray()
        self.is_dotless = True
        if buffer.startswith(b"."):
            self.is_dotless = False
            del buffer[:1]
        if b"\r\n." in buffer:
            self.is_dotless = False
            return bytes(buffer.replace(b"\r\n.", b"\r\n"))
        return bytes(buffer)


class JudgedContent(NamedTuple):
    """Content as it will be kept, or why it must not be.

    Attributes:
        has_only_crlf: No line of it ends in anything but CRLF.
    """

    content: bytes
    refusal: SmtpReply | None = None
    has_only_crlf: bool = False


def judge_content(
    content: bytes, *, max_message_size_bytes: int, line_limit: int, endings: LineEndings
) -> JudgedContent:
    """Return the content as it will be kept, and the refusal if it must not be.

    Args:
        content: Dot-unstuffed content.
        max_message_size_bytes: The most octets a message may have.
        line_limit: The most octets of a line, without its CRLF.
        endings: What becomes of a bare CR or LF.
    """
    if len(content) > max_message_size_bytes:
        return JudgedContent(b"", TOO_BIG)
    pairs = content.count(b"\r\n")
    has_only_crlf = content.count(b"\n") == pairs and content.count(b"\r") == pairs
    if not has_only_crlf:
        if endings is LineEndings.DENY:
            return JudgedContent(b"", BAD_ENDINGS)
        if endings is LineEndings.FIX:
            content = _BARE.sub(b"\r\n", content)
            has_only_crlf = True
    if has_long_line(content, line_limit):
        return JudgedContent(b"", LINE_TOO_LONG)
    return JudgedContent(content, None, has_only_crlf)


def has_long_line(content: bytes, line_limit: int) -> bool:
    """Return whether a line has more octets than the limit, its CRLF not counted."""
    position = 0
    size = len(content)
    window = line_limit + 2
    while size - position > line_limit:
        # The last line end inside the window starts the next window: about one step per limit.
        newline = content.rfind(b"\n", position, position + window)
        if newline < 0:
            return True
        position = newline + 1
    return False
