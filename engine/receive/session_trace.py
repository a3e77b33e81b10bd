"""What a session tells those who watch it: lines, replies, content, and what became of messages.

Place in flow: ``smtp_stream``, ``smtp_session`` and ``smtp_session_transaction`` tell it, and only
while somebody watches; it publishes to ``engine.base.trace_hub``.

Invariants:
    * No credential is told: of AUTH and of what may follow it nothing but the word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from engine.base.trace_hub import TraceEvent, TraceHub
from engine.model.message import Message

_REDACTED = "AUTH [redacted]\r\n"
#: Words that begin a command and no answer to a challenge.
_VERBS = frozenset(
    b"EHLO HELO LHLO MAIL RCPT DATA BDAT RSET NOOP QUIT STARTTLS XCLIENT VRFY HELP".split()
)


class Traced(Protocol):
    """A session, as far as it is told of."""

    tracing: TraceHub
    trace: SessionTrace | None
    meta: dict[str, Any]
    session_id: str
    ports: Any


class SessionTrace:
    """What one session tells."""

    __slots__ = ("_after_auth", "_session")

    def __init__(self, session: Traced) -> None:
        self._session = session
        self._after_auth = False

    def connected(self) -> None:
        """Tell of a new client."""
        self._tell("Connected", None)

    def closed(self) -> None:
        """Tell of the end."""
        self._tell("Closed", None)

    def read_line(self, line: bytes) -> None:
        """Tell of a line that the client sent."""
        verb = line[:9].lstrip().partition(b" ")[0].strip().upper()
        if verb in _VERBS:
            self._after_auth = False
        elif self._after_auth or b"AUTH" in line.upper():
            self._after_auth = True
            self._tell("Read", _REDACTED)
            return
        self._tell("Read", line)

    def wrote(self, octets: bytes) -> None:
        """Tell of replies."""
        self._tell("Write", octets)

    def content(self, octets: bytes) -> None:
        """Tell of the content of a message."""
        self._tell("Read", octets, is_content=True)

    def callback(self, name: str, refusal: str | None) -> None:
        """Tell of a handler: that it had nothing against the client, or what it said."""
        self._tell("Callback", {"name": name, "result": None, "error": refusal})

    def diagnostic(self, level: str, message: str) -> None:
        """Tell of something that is no part of the dialogue."""
        self._tell("Diagnostic", {"level": level, "message": message})

    def disposed(self, messages: Iterable[Message]) -> None:
        """Tell what became of messages."""
        for message in messages:
            recipients = message.recipients
            self._tell(
                "MessageDisposition",
                {
                    "relay": True,
                    "log_arf": False,
                    "log_oob": False,
                    "queue": message.queue_name,
                    "meta": dict(message.meta),
                    "sender": message.sender,
                    "recipient": recipients[0] if len(recipients) == 1 else list(recipients),
                    "id": message.id,
                    "was_arf_or_oob": False,
                    "will_enqueue": message.queue_name != "null",
                },
            )

    def _tell(self, kind: str, value: Any, *, is_content: bool = False) -> None:
        session = self._session
        at = session.ports.clock.wall()
        session.tracing.publish(TraceEvent(self._meta(), kind, value, at, is_content))

    def _meta(self) -> Mapping[str, Any]:
        return {**self._session.meta, "session_id": self._session.session_id}


def trace_of(session: Any) -> SessionTrace:
    """Return what tells of a session, made when it is first watched."""
    if session.trace is None:
        session.trace = SessionTrace(session)
    found: SessionTrace = session.trace
    return found
