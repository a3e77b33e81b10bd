"""What a session hands to admission: one finished transaction, and how it stands.

Place in flow: made by ``engine.receive.smtp_session`` and ``http_injection``'s port; worked on by
``engine.receive.admission``.

Invariants:
    * ``phase`` only moves forward. From ``INSERT`` on the messages are stored: the answer is 250.
    * ``abandoned`` is set by a session that answered 4xx; admission then stores nothing, or takes
      back what it stored.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.model.listener_options import TraceHeaders
from engine.model.message import Message, SpoolId
from engine.model.reply import SmtpReply


class Phase(enum.Enum):
    """How far an admission has come; the value is what the reply to a spent deadline names."""

    RX = "rx"
    RESOLVE = "resolve"
    SPOOL = "spool"
    INSERT = "insert"


class ConnectionEndedError(Exception):
    """The client is gone; nobody is left to answer."""


@dataclass(slots=True)
class Incoming:
    """One transaction after its last octet.

    Attributes:
        content: The message, every line ended by CRLF.
        conn_meta: Values of the connection; each message starts with a copy.
        relaxed: Answer after an unsynced write.
        smtputf8: The client declared SMTPUTF8.
        began_mono: When the transaction began, where that is known.
        is_wire_ready: See ``engine.model.message.FLAG_WIRE_READY``.
    """

    sender: str
    recipients: list[str]
    content: bytes
    conn_meta: Mapping[str, Any]
    epoch: Any
    trace: TraceHeaders
    hostname: str
    client: str
    peer_ip: str
    own_ip: str
    protocol: str
    tls_note: str = ""
    tls: tuple[str, str, list[str]] | None = None
    session_id: str | None = None
    batch_by_domain: bool = False
    relaxed: bool = False
    smtputf8: bool = False
    is_wire_ready: bool = False
    began_mono: float | None = None
    connection: Any = None
    is_smtp: bool = True
    phase: Phase = Phase.RX
    abandoned: bool = False


@dataclass(slots=True)
class Admitted:
    """What became of a transaction: ids taken, or the refusal.

    Attributes:
        messages: What was made of it, for those who watch; discarded ones too.
    """

    reply: SmtpReply
    spool_ids: list[SpoolId] = field(default_factory=list)
    refusal: BaseException | None = None
    messages: Sequence[Message] = ()
