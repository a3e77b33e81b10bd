"""What a sink can be told, and what it tells: options, replies, messages, counts.

Place in flow: ``sink`` reads the command line into these; ``sink_session`` works by them; a test
that uses the sink as a library makes them itself.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_REPLY = re.compile(r"[2-5][0-9]{2}(?:[ -]|\Z)")
#: Domains, and clients, counted one by one; the rest is counted together.
MAX_DOMAINS = 10_000
#: Violations counted one by one (they may name what a client made up); the rest together.
MAX_VIOLATIONS = 500
_OTHERS = "(others)"
#: The longest name of a domain (RFC 1035, 2.3.4); what is longer is cut where it is counted.
_MAX_DOMAIN = 255


class Stage(enum.Enum):
    """The points of a dialogue at which a reply can be chosen."""

    CONNECT = "connect"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"
    OTHER = "other"

    # The members are dictionary keys on the hot path; Enum's own hash is Python code.
    __hash__ = object.__hash__


#: The stages a rule or a delay may name.
STAGE_NAMES: tuple[str, ...] = tuple(stage.value for stage in Stage)


class Extension(enum.Enum):
    """What EHLO may offer."""

    PIPELINING = "pipelining"
    EIGHT_BIT = "8bitmime"
    SMTPUTF8 = "smtputf8"
    SIZE = "size"
    ENHANCED = "enhancedstatuscodes"
    CHUNKING = "chunking"


#: What is offered unless it is switched off.
DEFAULT_EXTENSIONS = frozenset(Extension) - {Extension.CHUNKING}


class FailAt(enum.Enum):
    """Where percentages of refusals are drawn."""

    RCPT = "rcpt"
    DOT = "dot"


@dataclass(frozen=True, slots=True)
class SinkReply:
    r"""A reply, or the absence of one.

    Attributes:
        text: Code, enhanced status and text; lines are parted by ``\n``. Empty: nothing is said
            before ``close`` or ``hang``, and the usual reply without them.
        delay_s: How long it takes, on top of the sink's own delays.
        close: Whether the connection ends after it.
        hang: Whether the dialogue stops here for ever.
    """

    text: str
    delay_s: float = 0.0
    close: bool = False
    hang: bool = False

    @property
    def is_positive(self) -> bool:
        """Return whether it says yes."""
        return self.text[:1] == "2"


def read_reply(text: str, *, delay_s: float = 0.0) -> SinkReply:
    """Return the reply that is written as ``450 4.2.1 text``, ``drop`` or ``hang``.

    Raises:
        ValueError: It is none of these.
    """
    if text == "drop":
        return SinkReply("", delay_s=delay_s, close=True)
    if text == "hang":
        return SinkReply("", delay_s=delay_s, hang=True)
    if not _REPLY.match(text) or "\r" in text:
        raise ValueError(
            f"a reply is a code from 200 to 599 and a text, or 'drop', or 'hang', not {text!r}"
        )
    return SinkReply(text, delay_s=delay_s, close=text.startswith("421"))


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """How a sink behaves.

    Attributes:
        hostname: Its name in banner and EHLO.
        lmtp: Whether it speaks LMTP: LHLO, and one reply per recipient after the final dot.
        extensions: What EHLO offers.
        starttls: Whether STARTTLS is offered.
        tls_from_first_byte: Whether a connection begins with its TLS handshake.
        tls_certificate: Path of a PEM chain; self-signed when empty.
        tls_private_key: Path of its key.
        require_tls: Whether mail is taken over TLS only.
        accounts: Users and their passwords; AUTH is offered when there are any.
        require_auth: Whether mail is taken after AUTH only.
        delay_s: Seconds before each reply.
        stage_delays_s: Seconds before the replies of a stage, instead of ``delay_s``.
        tempfail_percent: How many recipients (or messages) of a hundred are deferred.
        permfail_percent: How many are refused.
        fail_at: Where these are drawn.
        seed: Of the draws; None for a new one in each run.
        by_name: Whether the recipient's local part may ask for a refusal.
        max_message_size: Bytes of the longest message.
        max_recipients: Recipients of one transaction; more are answered 452.
        max_connections: Connections at the same time; more are answered 421.
        max_messages_per_connection: More are answered 421; 0 for no limit.
        idle_timeout_s: A client that says nothing for so long is answered 421; 0 for never.
    """

    hostname: str = "sink.example"
    lmtp: bool = False
    extensions: frozenset[Extension] = DEFAULT_EXTENSIONS
    starttls: bool = False
    tls_from_first_byte: bool = False
    tls_certificate: str = ""
    tls_private_key: str = ""
    require_tls: bool = False
    accounts: Mapping[str, str] = field(default_factory=dict)
    require_auth: bool = False
    delay_s: float = 0.0
    stage_delays_s: Mapping[Stage, float] = field(default_factory=dict)
    tempfail_percent: float = 0.0
    permfail_percent: float = 0.0
    fail_at: FailAt = FailAt.RCPT
    seed: int | None = None
    by_name: bool = True
    max_message_size: int = 50 * 1024 * 1024
    max_recipients: int = 1000
    max_connections: int = 10_000
    max_messages_per_connection: int = 0
    idle_timeout_s: float = 0.0

    @property
    def has_tls(self) -> bool:
        """Return whether it needs a certificate."""
        return self.starttls or self.tls_from_first_byte


@dataclass(frozen=True, slots=True)
class SinkMessage:
    """A message the sink took.

    Attributes:
        sender: MAIL FROM, empty for the null sender.
        recipients: The recipients taken.
        data: The octets of the message, its last CRLF included, dots unstuffed.
        params: ESMTP parameters of MAIL, names in capitals.
        ehlo: How the client introduced itself.
        tls: Whether it came over TLS.
        at_mono: When it was taken, by the loop's clock.
        connection: Number of the connection it came by, from 1.
        client: The client's address.
        local: The address it connected to.
        auth_user: The user it came from, empty without AUTH.
    """

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    params: Mapping[str, str]
    ehlo: str
    tls: bool
    at_mono: float
    connection: int
    client: str
    local: str
    auth_user: str


class SinkStats:
    """What a sink has seen.

    Attributes:
        replies: How often each code was answered at each stage.
        violations: What clients did against the standard, or without an offer, and how often.
        domains: Recipients taken, by domain.
        clients: Messages taken, by the client's address.
    """

    __slots__ = (
        "bytes_taken",
        "clients",
        "connections",
        "connections_open",
        "connections_peak",
        "domains",
        "first_mono",
        "last_mono",
        "messages",
        "recipients",
        "replies",
        "tls_connections",
        "violations",
    )

    def __init__(self) -> None:
        self.connections = 0
        self.connections_open = 0
        self.connections_peak = 0
        self.tls_connections = 0
        self.messages = 0
        self.recipients = 0
        self.bytes_taken = 0
        self.first_mono = 0.0
        self.last_mono = 0.0
        self.replies: dict[tuple[Stage, str], int] = {}
        self.violations: dict[str, int] = {}
        self.domains: dict[str, int] = {}
        self.clients: dict[str, int] = {}

    def note_reply(self, stage: Stage, code: str) -> None:
        """Count a reply."""
        key = (stage, code)
        self.replies[key] = self.replies.get(key, 0) + 1

    def note_violation(self, what: str) -> None:
        """Count something a client should not have done."""
        if what not in self.violations and len(self.violations) >= MAX_VIOLATIONS:
            what = _OTHERS
        self.violations[what] = self.violations.get(what, 0) + 1

    def note_message(
        self, recipients: tuple[str, ...], size_bytes: int, at_mono: float, client: str
    ) -> None:
        """Count a message taken."""
        if not self.messages:
            self.first_mono = at_mono
        self.last_mono = at_mono
        self.messages += 1
        self.recipients += len(recipients)
        self.bytes_taken += size_bytes
        _count(self.clients, client)
        for recipient in recipients:
            _count(self.domains, recipient.rpartition("@")[2][:_MAX_DOMAIN].lower())

    @property
    def per_s(self) -> float:
        """Return messages per second between the first and the last."""
        elapsed_s = self.last_mono - self.first_mono
        return (self.messages - 1) / elapsed_s if elapsed_s > 0 else 0.0

    def count_of(self, stage: Stage, code: str | int) -> int:
        """Return how often a code was answered at a stage."""
        return self.replies.get((stage, str(code)), 0)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for JSON."""
        replies: dict[str, dict[str, int]] = {}
        for (stage, code), number in self.replies.items():
            replies.setdefault(stage.value, {})[code] = number
        return {
            "connections": self.connections,
            "connections_open": self.connections_open,
            "connections_peak": self.connections_peak,
            "tls_connections": self.tls_connections,
            "messages": self.messages,
            "recipients": self.recipients,
            "bytes": self.bytes_taken,
            "messages_per_s": round(self.per_s, 1),
            "replies": replies,
            "violations": dict(self.violations),
            "domains": dict(self.domains),
            "clients": dict(self.clients),
        }


def _count(counts: dict[str, int], name: str) -> None:
    if name not in counts and len(counts) >= MAX_DOMAINS:
        name = _OTHERS
    counts[name] = counts.get(name, 0) + 1
