"""An SMTP reply as one checked value: code, enhanced status, text.

Place in flow: built by the session for clients, by ``engine.deliver.smtp_client`` from what a
peer said, and by the engine for its own judgements; written into log records.

Invariants:
    * The class of the enhanced status is the first digit of the code; anything else raises.
    * ``text`` never holds CR; a newline in it separates the lines of a multi-line reply.

Standard: RFC 5321 section 4.2, RFC 3463, RFC 2034.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:\s+|$)")
#: Octets of text on one reply line: 512 less code, separator and CRLF (RFC 5321, 4.5.3.1.5).
_LINE_TEXT_MAX = 500
#: What may not stand in a reply line: controls would let a text start a line of its own.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class EnhancedStatus(NamedTuple):
    """An enhanced status code (RFC 3463), as three numbers."""

    klass: int
    subject: int
    detail: int

    def __str__(self) -> str:
        return f"{self.klass}.{self.subject}.{self.detail}"


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """A reply code, its enhanced status (if any) and its text without either."""

    code: int
    enhanced: EnhancedStatus | None = None
    text: str = ""

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ValueError(f"{self.code} is not an SMTP reply code")
        if self.enhanced is not None and self.enhanced.klass != self.code // 100:
            raise ValueError(f"enhanced status {self.enhanced} does not fit reply code {self.code}")

    @property
    def full_text(self) -> str:
        """Return the text with the enhanced status in front, as it stands on the wire."""
        if self.enhanced is None:
            return self.text
        return f"{self.enhanced} {self.text}" if self.text else str(self.enhanced)

    @property
    def is_positive(self) -> bool:
        """Return whether this is a 2xx reply."""
        return 200 <= self.code <= 299

    @property
    def is_permanent(self) -> bool:
        """Return whether this is a 5xx reply."""
        return self.code >= 500

    def with_code(self, code: int) -> SmtpReply:
        """Return the reply under another code, which its text tells; the status takes its class."""
        status, klass = self.enhanced, code // 100
        if status is not None:
            status = EnhancedStatus(klass, status.subject, status.detail) if klass != 3 else None
        text = f"{self.text} (status rewritten from {self.code} to {code})".lstrip()
        return SmtpReply(code, status, text)

    def one_line(self) -> str:
        """Return code and text in one line, for logs and handlers."""
        return f"{self.code} {self.full_text}".replace("\n", " ").rstrip()

    def encode(self) -> bytes:
        """Return the reply as it goes over the wire, every line with code and enhanced status."""
        return _encode(self.code, self.enhanced, self.text)


@lru_cache(maxsize=512)
def _encode(code: int, enhanced: EnhancedStatus | None, text: str) -> bytes:
    prefix = f"{enhanced} " if enhanced else ""
    rows: list[str] = []
    for row in _CONTROLS.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).split("\n"):
        rows.extend(_wrap(row, _LINE_TEXT_MAX - len(prefix)))
    out = [f"{code}-{prefix}{row}".rstrip() for row in rows[:-1]]
    out.append(f"{code} {prefix}{rows[-1]}".rstrip())
    # A code alone still needs its separating blank: some clients read four octets.
    return "\r\n".join(line if len(line) > 3 else line + " " for line in out).encode() + b"\r\n"


def _wrap(row: str, octets: int) -> list[str]:
    """Return a row as lines of at most so many octets, broken at blanks where there are some."""
    raw = row.encode("utf-8", "replace")
    if len(raw) <= octets:
        return [raw.decode()]
    rows: list[str] = []
    start = 0
    while len(raw) - start > octets:
        blank = raw.rfind(b" ", start + 1, start + octets + 1)
        stop = blank
        if blank < 0:
            stop = start + octets
            while raw[stop] & 0xC0 == 0x80:
                stop -= 1
        rows.append(raw[start:stop].decode())
        start = stop + (blank >= 0)
    return [*rows, raw[start:].decode()]


def make_reply(code: int, text: str) -> SmtpReply:
    """Return a reply from a code and a text that may start with an enhanced status.

    A status of another class than the code stays part of the text: what an operator or a
    peer wrote is kept, the mismatch is not believed.
    """
    match = _ENHANCED.match(text)
    if match is None:
        return SmtpReply(code, None, text)
    status = EnhancedStatus(int(match[1]), int(match[2]), int(match[3]))
    if status.klass != code // 100:
        return SmtpReply(code, None, text)
    rest = text[match.end() :]
    if "\n" in rest:
        # A multi-line reply repeats the status on each line (RFC 2034, 4).
        prefix = f"{status} "
        rest = "\n".join(line.removeprefix(prefix) for line in rest.split("\n"))
    return SmtpReply(code, status, rest)
