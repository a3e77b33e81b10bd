"""What the TSA concluded, as it goes over the wire: suspensions, bounces, overrides, held days.

Place in flow: made by ``tsa.rule_action``, kept by ``tsa.decision_store``, published as frames and
documents; ``engine.admin.decision_subscriber`` reads them back into the node.

Invariants:
    * A decision is keyed by what it acts on and by the rule that made it: a repeat of the same
      replaces it, and its expiry never shrinks.
    * Times are wall-clock seconds since the Unix epoch inside, RFC 3339 in UTC on the wire.

Standard: frames are JSON objects with the kind as their only key, as TSA clients know them; readers
skip kinds they do not know.
"""

from __future__ import annotations

import enum
import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec


class DecisionKind(enum.StrEnum):
    """What is done; the value is the key of its frame."""

    SUSPEND_READY = "ReadyQSuspension"
    SUSPEND_SCHEDULED = "SchedQSuspension"
    BOUNCE = "SchedQBounce"
    OVERRIDE = "ConfigOverride"
    WARMUP_HOLD = "WarmupHold"


#: The frame that says that overrides changed; its content is ``{"hash": ...}``.
SHAPING_CHANGED = "ShapingChanged"
#: The first and the last second that RFC 3339 can write.
_FIRST_AT = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_LAST_AT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


class DecisionScope(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a decision acts on; what is None does not narrow it.

    Attributes:
        ready_queue: The whole name of a ready queue.
        site_name: The site whose paths are overridden (a rolled-up override).
        domain: The domain of scheduled queues, or of the paths that are overridden.
        source: The egress source.
        tenant: The tenant of scheduled queues.
        campaign: The campaign of scheduled queues.
        option: The egress path option that is overridden.
        provider: The provider for whose sites a day of the source's warm-up is held.
        day: The day that is held, as RFC 3339 writes dates, in UTC.
    """

    ready_queue: str | None = None
    site_name: str | None = None
    domain: str | None = None
    source: str | None = None
    tenant: str | None = None
    campaign: str | None = None
    option: str | None = None
    provider: str | None = None
    day: str | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision in force.

    Attributes:
        rule_hash: Identity of the rule and action that made it.
        rule: The section and the patterns of the rule, for people.
        place: File and line of the rule.
        value: What an override sets; for a warm-up, how many days are held, the day named first.
        first_record_at, last_record_at: Times of the records that made and renewed it.
        first_record_id, last_record_id: Their ids.
        count: How many records made or renewed it.
        site_domain: A domain whose mail goes to the site of the scope, for readers of the overlay,
            which names sites by their domains.
    """

    kind: DecisionKind
    scope: DecisionScope
    rule_hash: str
    reason: str
    expires_at: float
    rule: str = ""
    place: str = ""
    value: Any = None
    first_record_at: float = 0.0
    last_record_at: float = 0.0
    first_record_id: str = ""
    last_record_id: str = ""
    count: int = 1
    site_domain: str = ""

    @property
    def key(self) -> str:
        """Return the identity of the decision: what it acts on, and who made it."""
        # As Python writes the values: no tenant's name can look like an absent one, or like two.
        text = repr((self.kind.value, self.rule_hash, *msgspec.structs.astuple(self.scope)))
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def renew(known: Decision, repeat: Decision) -> Decision:
    """Return a decision that was made again: the newer value, and never an earlier end.

    Args:
        known: The decision in force.
        repeat: The same decision, made by another record, maybe by an older one.
    """
    # Records of the same instant are ordered by their ids, not by their arrival: two daemons that
    # saw them the other way round hold the same.
    first = min(known, repeat, key=lambda one: (one.first_record_at, one.first_record_id))
    last = max(repeat, known, key=lambda one: (one.last_record_at, one.last_record_id))
    return msgspec.structs.replace(
        last,
        expires_at=max(known.expires_at, repeat.expires_at),
        first_record_at=first.first_record_at,
        first_record_id=first.first_record_id,
        count=known.count + repeat.count,
    )


def format_instant(instant_at: float) -> str:
    """Return an instant as RFC 3339 in UTC, in whole seconds.

    What lies outside the years that the format knows is shown as its first or last second.
    """
    instant = datetime.fromtimestamp(min(max(instant_at, _FIRST_AT), _LAST_AT), UTC)
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")


def parse_instant(text: str) -> float:
    """Return the seconds since the Unix epoch of an RFC 3339 text.

    Raises:
        ValueError: It is none, or has no zone.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"an instant needs a zone, as in 2030-01-31T09:00:00Z, not {text!r:.60}")
    return instant.timestamp()


def frame_of(decision: Decision) -> dict[str, Any]:
    """Return the frame of a decision as subscribers know it."""
    scope = decision.scope
    content: dict[str, Any] = {
        "rule_hash": decision.rule_hash,
        "reason": decision.reason,
        "expires": format_instant(decision.expires_at),
    }
    match decision.kind:
        case DecisionKind.SUSPEND_READY:
            content |= {"site_name": scope.ready_queue, "source": scope.source}
        case DecisionKind.SUSPEND_SCHEDULED | DecisionKind.BOUNCE:
            content |= {
                "tenant": scope.tenant,
                "domain": scope.domain,
                "campaign": scope.campaign,
            }
        case DecisionKind.OVERRIDE:
            content |= {
                "site_name": scope.site_name,
                "domain": scope.domain,
                "source": scope.source,
                "option": scope.option,
                "value": decision.value,
            }
        case DecisionKind.WARMUP_HOLD:
            content |= {
                "source": scope.source,
                "provider": scope.provider,
                "day": scope.day,
                "value": decision.value,
            }
    return {decision.kind.value: content}


def parse_frame(frame: Any) -> Decision | None:
    """Return the decision of a frame, None for a frame of a kind this reader does not know.

    Raises:
        ValueError: It is no frame, or lacks what its kind needs.
    """
    if not isinstance(frame, dict) or len(frame) != 1:
        raise ValueError("a frame is an object with one key")
    ((name, content),) = frame.items()
    if name not in {kind.value for kind in DecisionKind}:
        return None
    if not isinstance(content, dict):
        raise ValueError(f"{name}: an object is expected")  # noqa: TRY004 - one class for bad frames
    kind = DecisionKind(name)
    try:
        scope = _scope_of(kind, content)
        return Decision(
            kind=kind,
            scope=scope,
            rule_hash=_text(content, "rule_hash") or "",
            reason=_text(content, "reason") or "",
            expires_at=parse_instant(_text(content, "expires") or ""),
            value=content.get("value"),
        )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _scope_of(kind: DecisionKind, content: dict[str, Any]) -> DecisionScope:
    match kind:
        case DecisionKind.SUSPEND_READY:
            name = _text(content, "site_name")
            if not name:
                raise ValueError("site_name is missing")
            return DecisionScope(ready_queue=name, source=_text(content, "source"))
        case DecisionKind.OVERRIDE:
            option = _text(content, "option")
            if not option:
                raise ValueError("option is missing")
            return DecisionScope(
                site_name=_text(content, "site_name"),
                domain=_text(content, "domain"),
                source=_text(content, "source"),
                option=option,
            )
        case DecisionKind.WARMUP_HOLD:
            source, day = _text(content, "source"), _text(content, "day")
            if not source or not day:
                raise ValueError("source or day is missing")
            return DecisionScope(source=source, provider=_text(content, "provider"), day=day)
    domain = _text(content, "domain")
    if not domain:
        raise ValueError("domain is missing")
    return DecisionScope(
        domain=domain, tenant=_text(content, "tenant"), campaign=_text(content, "campaign")
    )


def _text(content: dict[str, Any], name: str) -> str | None:
    value = content.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is text, not {value!r:.60}")
    return value
