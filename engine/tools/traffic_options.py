"""What the load generator can be told.

Place in flow: ``traffic`` reads the command line into it; ``traffic_run`` works by it; a test that
uses the generator as a library makes it itself.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

_SIZE = re.compile(r"([0-9]+)\s*([kKmM]?)(?:i?[bB])?\Z")
_UNIT_BYTES = {"": 1, "k": 1024, "m": 1024 * 1024}
#: The longest body that is generated.
MAX_SIZE_BYTES = 1024 * 1024 * 1024
#: How long a run is that names no end, seconds.
DEFAULT_DURATION_S = 60.0


class TrafficProtocol(enum.Enum):
    """How messages are handed over."""

    SMTP = "smtp"
    HTTP = "http"


@dataclass(frozen=True, slots=True)
class TrafficOptions:
    """What is sent, where, and how fast.

    Attributes:
        target: Host and port.
        protocol: SMTP, or injection by HTTP.
        sessions: Connections at the same time.
        count: End after so many messages; None for no such end.
        duration_s: End after this time; None for no such end (a minute if there is no count).
        per_s: Messages per second over all sessions; None for as many as can be.
        size_bytes: The shortest and the longest body.
        domains: Recipients' domains and their weights.
        local_part: Recipients are ``<local_part>.<number>@<domain>``.
        recipients: Per message, all at one domain.
        messages_per_connection: A new connection after so many; 0 keeps it.
        sender: MAIL FROM.
        headers: Further header lines, ``Name: value``.
        body: Sent instead of generated text.
        ehlo: How it introduces itself.
        starttls: Whether STARTTLS must be had; the certificate is not checked.
        tls_from_first_byte: Whether a connection begins with TLS.
        auth_user: For AUTH PLAIN, or HTTP Basic; empty for neither.
        auth_password: Its password.
        timeout_s: How long one reply may take.
        keep_going: Whether lost connections are taken as part of the test.
        seed: Of sizes and domains; None for a new one in each run.
    """

    target: tuple[str, int]
    protocol: TrafficProtocol = TrafficProtocol.SMTP
    sessions: int = 20
    count: int | None = None
    duration_s: float | None = None
    per_s: float | None = None
    size_bytes: tuple[int, int] = (2048, 2048)
    domains: Sequence[tuple[str, float]] = (("traffic.example", 1.0),)
    local_part: str = "user"
    recipients: int = 1
    messages_per_connection: int = 0
    sender: str = "traffic@sender.example"
    headers: Sequence[str] = ()
    body: bytes | None = None
    ehlo: str = "traffic.example"
    starttls: bool = False
    tls_from_first_byte: bool = False
    auth_user: str = ""
    auth_password: str = ""
    timeout_s: float = 60.0
    keep_going: bool = False
    seed: int | None = None

    @property
    def ends_after_s(self) -> float | None:
        """Return how long it sends, None for as long as the count takes."""
        if self.duration_s is None and self.count is None:
            return DEFAULT_DURATION_S
        return self.duration_s


def parse_sizes(text: str) -> tuple[int, int]:
    """Return the shortest and longest size of ``2048``, ``2k`` or ``10k-1M``.

    Raises:
        ValueError: The text is none of these.
    """
    low, dash, high = text.partition("-")
    sizes = (_parse_size(low), _parse_size(high if dash else low))
    if sizes[0] > sizes[1]:
        raise ValueError(f"{text!r}: the first size is larger than the second")
    return sizes


def _parse_size(text: str) -> int:
    found = _SIZE.match(text.strip())
    size_bytes = int(found[1]) * _UNIT_BYTES[found[2].lower()] if found else 0
    if not 2 <= size_bytes <= MAX_SIZE_BYTES:
        raise ValueError(f"{text!r} is no size from 2 bytes to 1024M (write 2048, 2k, 10k-1M)")
    return size_bytes


def parse_domains(text: str) -> tuple[tuple[str, float], ...]:
    """Return domains and weights of ``a.example:3,b.example``.

    Raises:
        ValueError: A domain is empty or a weight is no number above 0.
    """
    domains = []
    for part in text.split(","):
        domain, colon, weight = part.strip().partition(":")
        if not domain or not domain.isascii() or set(domain) & set('<>@" \t\r\n'):
            raise ValueError(f"{part!r} is no domain, or domain:weight")
        try:
            number = float(weight) if colon else 1.0
        except ValueError:
            number = 0.0
        if not 0 < number < 1e9:
            raise ValueError(f"{part!r}: a weight is a number above 0")
        domains.append((domain, number))
    return tuple(domains)
