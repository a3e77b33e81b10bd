"""Why a path is as it is: each option of a domain and source, with where its value comes from.

Place in flow: ``tsa.dry_run`` hands in what the files say, what the DNS said, and what a running
TSA has decided; ``tsa.explain_report`` shows what comes out.

Invariants:
    * Decisions are laid over the files as nodes do it: as the overlay that the TSA publishes. A
      value of the overlay is traced back to the decision that set it.
    * Secrets are hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec

from engine.base.shaping_source import parse_shaping
from engine.model.decision import Decision, DecisionKind, DecisionScope, parse_instant
from engine.model.egress import make_egress_path, to_json
from engine.model.egress_options import PATH_OPTIONS
from engine.model.shaping import Shaping
from engine.model.shaping_section import Setting, ShapingLayer
from engine.model.site_name import ready_queue_name
from tsa.errors import ConfigurationError
from tsa.publication import OVERLAY_KINDS, format_overlay

#: The name under which the overlay of a TSA is a layer.
OVERLAY = "decisions of the TSA"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained.

    Attributes:
        site: The site that takes the domain's mail; empty if it is not known.
        mx_hosts: The names of its MX hosts; None if they are not known.
        on: The date for warm-ups, in UTC.
    """

    domain: str
    source: str
    site: str
    mx_hosts: tuple[str, ...] | None
    on: date


@dataclass(frozen=True, slots=True)
class OptionLine:
    """One option of the path.

    Attributes:
        value: As written; hidden if it is a secret.
        origin: ``file:line``, or the rule of the decision that set it, or ``default``.
        section: The section of the file; empty for a default.
        decision: The decision that set it, if one did.
    """

    name: str
    value: Any
    origin: str
    section: str = ""
    decision: Decision | None = None


@dataclass(slots=True)
class Explanation:
    """Everything there is to say about a path.

    Attributes:
        providers: Those the domain belongs to.
        lines: The options.
        warmups: Where the schedules of the source stand.
        holding: Decisions that hold or bounce such mail.
    """

    subject: Subject
    providers: list[str]
    lines: list[OptionLine]
    warmups: list[str] = field(default_factory=list)
    holding: list[Decision] = field(default_factory=list)


def read_decisions(raw: bytes) -> list[Decision]:
    """Return the decisions that ``/decisions`` of a TSA shows.

    Raises:
        ConfigurationError: It is no such document.
    """
    try:
        return [
            Decision(
                kind=one.kind,
                scope=one.scope,
                rule_hash=one.rule_hash,
                reason=one.reason,
                expires_at=parse_instant(one.expires),
                rule=one.rule,
                place=one.place,
                value=one.value,
                count=one.count,
                site_domain=one.site_domain,
            )
            for one in _decoder.decode(raw)
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise ConfigurationError(f"this is no list of decisions: {error}") from error


class _ShownDecision(msgspec.Struct):
    kind: DecisionKind
    scope: DecisionScope
    rule_hash: str
    reason: str
    expires: str
    rule: str = ""
    place: str = ""
    value: Any = None
    count: int = 1
    site_domain: str = ""


_decoder = msgspec.json.Decoder(list[_ShownDecision])


def overlay_of(decisions: Iterable[Decision]) -> ShapingLayer:
    """Return the layer that a TSA with these decisions in force publishes."""
    chosen = sorted(
        (one for one in decisions if one.kind in OVERLAY_KINDS), key=lambda one: one.expires_at
    )
    return parse_shaping(format_overlay(chosen).encode(), OVERLAY, is_remote=True)


def explain(
    shaping: Shaping,
    subject: Subject,
    decisions: Sequence[Decision] = (),
    *,
    with_defaults: bool = False,
) -> Explanation:
    """Return why a path is as it is.

    Args:
        shaping: The files, with ``overlay_of`` the decisions as their last layer.
        subject: Which path.
        decisions: Those in force.
        with_defaults: Whether to name also the options that nobody sets.
    """
    path = shaping.resolve(
        subject.domain, subject.source, subject.site, subject.mx_hosts, on=subject.on
    )
    providers = shaping.providers_of(subject.domain, subject.mx_hosts)
    lines = [_line(key, path.settings[key], subject, decisions) for key in sorted(path.settings)]
    if with_defaults:
        named = {key[0] for key in path.settings}
        held = to_json(make_egress_path(**path.options()))
        lines += [
            OptionLine(name, value, "default") for name, value in held.items() if name not in named
        ]
    days = shaping.warmups.days(subject.source, providers, subject.on)
    warmups = [
        f"{day.section}: day {day.number}, the step of day {day.step.day} ({day.step.place})"
        + (f"; {day.held} days held" if day.held else "")
        + ("" if day.step.caps else "; it has ended")
        for day in days
    ]
    holding = [one for one in decisions if _holds(one, subject)]
    return Explanation(subject, providers, lines, warmups, holding)


def _line(
    key: tuple[str, ...], setting: Setting, subject: Subject, decisions: Sequence[Decision]
) -> OptionLine:
    option = PATH_OPTIONS.get(key[0])
    is_secret = option is not None and option.is_secret
    value = "(hidden)" if is_secret else setting.value
    decision = None
    if setting.place.file == OVERLAY:
        decision = _author_of(key[0], setting, subject, decisions)
    origin = str(setting.place)
    if decision is not None:
        origin = f"decision by {decision.place or decision.rule_hash}"
    return OptionLine(
        "".join((key[0], *(f'["{one}"]' for one in key[1:]))),
        value,
        origin,
        setting.section,
        decision,
    )


def _author_of(
    option: str, setting: Setting, subject: Subject, decisions: Sequence[Decision]
) -> Decision | None:
    """Return the decision behind a value of the overlay: of several, the last to expire."""
    domain = setting.key[0] if setting.key else subject.domain
    found = [
        one
        for one in decisions
        if one.kind is DecisionKind.OVERRIDE
        and one.scope.option == option
        and (one.scope.source or "unspecified") == subject.source
        and (one.scope.domain or one.site_domain) == domain
    ]
    return max(found, key=lambda one: one.expires_at, default=None)


def _holds(decision: Decision, subject: Subject) -> bool:
    scope = decision.scope
    match decision.kind:
        case DecisionKind.SUSPEND_READY:
            name = ready_queue_name(subject.source, subject.site, "")
            return bool(subject.site) and (scope.ready_queue or "").startswith(name)
        case DecisionKind.SUSPEND_SCHEDULED | DecisionKind.BOUNCE:
            return scope.domain == subject.domain
    return False
