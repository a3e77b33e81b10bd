"""The messages of the load generator: each different, each cheap.

Place in flow: ``traffic_run`` asks for one after the other.

Invariants:
    * Content is CRLF-ended lines; no line begins with a dot unless the given body has one.
"""

from __future__ import annotations

import bisect
import email.utils
import itertools
import random
import string
from collections.abc import Callable
from dataclasses import dataclass

from engine.tools.traffic_options import TrafficOptions

_LINE = 76
#: Generated text repeats after so many octets.
_TEXT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class TrafficMessage:
    """One message.

    Attributes:
        number: From 1.
        sender: MAIL FROM.
        recipients: RCPT TO, all at one domain.
        content: Header and body; dots are not stuffed.
    """

    number: int
    sender: str
    recipients: tuple[str, ...]
    content: bytes


class MessageMaker:
    """Makes messages.

    Args:
        options: What they shall be.
        wall: The time, seconds since the epoch.
    """

    def __init__(self, options: TrafficOptions, wall: Callable[[], float]) -> None:
        self._options = options
        self._wall = wall
        self._random = random.Random(options.seed)
        self._domains = [domain for domain, _ in options.domains]
        self._weights = list(itertools.accumulate(weight for _, weight in options.domains))
        self._run = f"{random.getrandbits(48):012x}"
        self._from = options.sender or f"postmaster@{options.ehlo}"
        self._extra = "".join(f"{line}\r\n" for line in options.headers)
        self._text = b"" if options.body is not None else self._make_text(options.size_bytes[1])
        self._body = None if options.body is None else _with_crlf(options.body)
        self._date = ""
        self._date_at = 0

    def make(self, number: int) -> TrafficMessage:
        """Return the message of a number."""
        options = self._options
        drawn = self._random.random() * self._weights[-1]
        place = min(bisect.bisect_right(self._weights, drawn), len(self._domains) - 1)
        domain = self._domains[place]
        if options.recipients == 1:
            recipients: tuple[str, ...] = (f"{options.local_part}.{number}@{domain}",)
        else:
            recipients = tuple(
                f"{options.local_part}.{number}.{index}@{domain}"
                for index in range(1, options.recipients + 1)
            )
        header = (
            f"From: <{self._from}>\r\nTo: <{recipients[0]}>\r\nSubject: traffic {number}\r\n"
            f"Date: {self._date_now()}\r\nMessage-ID: <{number}.{self._run}@{options.ehlo}>\r\n"
            f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n{self._extra}\r\n"
        )
        content = header.encode() + (self._body if self._body is not None else self._cut())
        return TrafficMessage(number, options.sender, recipients, content)

    def _cut(self) -> bytes:
        low, high = self._options.size_bytes
        size_bytes = low if low == high else self._random.randint(low, high)
        text = self._text[: size_bytes - 2]
        if text.endswith(b"\r"):
            text = text[:-1] + b"."
        return text + b"\r\n"

    def _date_now(self) -> str:
        at = int(self._wall())
        if at != self._date_at or not self._date:
            self._date_at = at
            self._date = email.utils.formatdate(at)
        return self._date

    def _make_text(self, size_bytes: int) -> bytes:
        letters = string.ascii_lowercase + "      "
        lines = _TEXT_BYTES // (_LINE + 2)
        text = "".join(
            "x" + "".join(self._random.choices(letters, k=_LINE - 2)) + "x\r\n"
            for _ in range(lines)
        ).encode()
        return (text * (size_bytes // len(text) + 1))[:size_bytes]


def _with_crlf(body: bytes) -> bytes:
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not lines.endswith(b"\n"):
        lines += b"\n"
    return lines.replace(b"\n", b"\r\n")


def stuff_dots(content: bytes) -> bytes:
    """Return content as DATA wants it, the final dot included (RFC 5321, 4.5.2)."""
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n..")
    if content.startswith(b"."):
        content = b"." + content
    return content + b".\r\n"
