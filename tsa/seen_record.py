"""A log record as rules look at it: only the fields they need, read straight from its line.

Place in flow: ``tsa.record_intake`` and ``tsa.replay`` decode lines into it; ``tsa.rule_engine``
works on it.

Invariants:
    * A line that is no record raises ``ValueError`` and nothing else.
    * ``key`` is the same for the same record, however often and by whichever way it comes.
"""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from engine.model.log_record import PeerAddress, RecordKind, Response
from engine.model.shaping_rule_set import reply_line

#: What internal responses of the reference system begin with.
_INTERNAL_PREFIX = "KumoMTA internal: "


class SeenRecord(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The part of a log record that rules can ask about."""

    kind: RecordKind = msgspec.field(name="type")
    record_id: str = ""
    id: str = ""
    recipient: str | list[str] = ""
    queue: str = ""
    site: str = ""
    ready_queue: str = ""
    site_name: str = ""
    response: Response | None = None
    peer_address: PeerAddress | None = None
    timestamp: int = 0
    event_time: str = ""
    egress_source: str | None = None
    provider_name: str | None = None
    reception_protocol: str | None = None

    @property
    def at(self) -> float:
        """Return when it happened, seconds since the Unix epoch."""
        if self.event_time:
            try:
                return datetime.fromisoformat(self.event_time).timestamp()
            except (ValueError, OverflowError):
                pass
        return float(self.timestamp)

    @property
    def key(self) -> str:
        """Return the identity of the record, never the message's."""
        return self.record_id or hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:32]

    @property
    def line(self) -> str:
        """Return the response as rules match it: codes and text on one line."""
        return reply_line(self.response)

    @property
    def is_internal(self) -> bool:
        """Return whether the node itself said it: no command of a dialogue was answered."""
        response = self.response
        return (
            response is None
            or not response.command
            or response.content.startswith(_INTERNAL_PREFIX)
        )

    @property
    def domains(self) -> list[str]:
        """Return the domains of its recipients, each once."""
        recipients = [self.recipient] if isinstance(self.recipient, str) else self.recipient
        found: dict[str, None] = {}
        for recipient in recipients:
            domain = recipient.rpartition("@")[2].lower() if "@" in recipient else ""
            if domain:
                found[domain] = None
        return list(found)

    @property
    def ready_queue_name(self) -> str:
        """Return the whole name of the ready queue, also of a record without the newer field."""
        return self.ready_queue or self.site

    @property
    def site_text(self) -> str:
        """Return the site, also of a record without the newer field."""
        if self.site_name:
            return self.site_name
        return self.site.partition("->")[2].rpartition("@")[0] or self.site

    @property
    def source(self) -> str:
        """Return the egress source."""
        return self.egress_source or "unspecified"


class Cause(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a decision needs to know of the record it is made for.

    Attributes:
        at: Seconds since the Unix epoch.
        domain: The recipient's domain that was looked at.
        site_domain: A domain whose mail goes to the site.
        peer: The name of the host that replied; empty if none did.
    """

    record_key: str
    at: float
    domain: str
    site_domain: str
    source: str
    site: str
    peer: str


def cause_of(record: SeenRecord, domain: str, at: float) -> Cause:
    """Return what a record says to a decision."""
    peer = record.peer_address
    return Cause(
        record.key,
        at,
        domain,
        record.domains[0],
        record.source,
        record.site_text,
        peer.name if peer is not None else "",
    )


_decoder = msgspec.json.Decoder(SeenRecord)


def decode_seen(line: bytes) -> SeenRecord:
    """Return the record of a line.

    Raises:
        ValueError: The line is no log record.
    """
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no log record: {error}") from error
