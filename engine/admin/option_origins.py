"""Where each option of an egress path comes from.

Place in flow: ``engine.admin.shaping_explain`` hands in a path and what shaping says of it; plain
functions of both, and of what the automation decided.

Invariants:
    * Secrets are hidden, also those that were overridden.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.admin.decision_book import DecisionBook
from engine.admin.noted_decisions import SeenDecision, Subject
from engine.admin.shown_text import shown_text, shown_value
from engine.base.shaping_source import shown_source
from engine.control.shaping_overrides import ShapingOverrides
from engine.model.decision import format_instant
from engine.model.egress import EgressPath, make_egress_path, to_json
from engine.model.egress_options import PATH_NOT_IN_FORCE, PATH_OPTIONS
from engine.model.shaping_option import MERGED_OPTIONS
from engine.model.shaping_provider import normal_section_name
from engine.model.shaping_section import Setting, SettingKey
from engine.model.shaping_trace import PathTrace, Said

#: Of what an option overrode, so many values, the latest.
OVERRODE_MAX = 20
#: Of a table, so many entries.
ENTRIES_MAX = 200
_EXPIRES = re.compile(r"#\s*expires\s+(\S+)\s*\Z")
_HIDDEN = "(hidden)"


class Origin(enum.StrEnum):
    """What gave a value."""

    DEFAULT = "default"
    SHAPING = "shaping"
    WARMUP = "warmup"
    AUTOMATION = "automation"
    SCRIPT = "script"


class OptionDecision(msgspec.Struct, frozen=True, kw_only=True):
    """The decision of the automation that set a value.

    Attributes:
        origin: The URL of the daemon that decided.
        reason: Why, as the daemon says.
        id: Its identity, as among the decisions; None where only the overlay tells of it.
        rule: The rule that made it, by its section or else its hash; None where not known.
        expires: When it ends, RFC 3339; None where not known.
    """

    origin: str
    reason: str
    id: str | None = None
    rule: str | None = None
    expires: str | None = None


class ValueSet(msgspec.Struct, frozen=True, kw_only=True):
    """A value that something later overrode.

    Attributes:
        value: As written.
        origin: What gave it.
        section: The section of the file.
        file: The file.
        line: The line.
    """

    value: Any
    origin: Origin
    section: str
    file: str
    line: int | None


class OptionExplained(msgspec.Struct, frozen=True, kw_only=True):
    """One option of a path.

    Attributes:
        name: The option.
        entry: The name of the limit, where the option is a table of limits.
        value: What holds; null where the script took away what shaping gives.
        origin: What gave it. Of an option that has its default nobody can tell whether the script
            said so.
        in_force: Whether the option has an effect at all.
        section: The section of the file, where a file gave it.
        file: The file; of the script the handler that answers.
        line: The line.
        decision: The decision that gave it, where the automation did.
        overrode: What was given for it before, the latest first.
    """

    name: str
    entry: str | None
    value: Any
    origin: Origin
    in_force: bool
    section: str | None
    file: str | None
    line: int | None
    decision: OptionDecision | None
    overrode: list[ValueSet]


@dataclass(frozen=True, slots=True)
class PathAsked:
    """Which path.

    Attributes:
        domain: The routing domain.
        source: The egress source.
        site_name: The site.
    """

    domain: str
    source: str
    site_name: str


@dataclass(frozen=True, slots=True)
class Setters:
    """Who may have set an option besides the files.

    Attributes:
        script: File and line of the handler that answers; None where no script does.
        overrides: The overlay of the automation.
        book: What the automation decided.
    """

    script: tuple[str, int] | None
    overrides: ShapingOverrides
    book: DecisionBook


def explain_options(
    path: EgressPath, trace: PathTrace | None, asked: PathAsked, setters: Setters
) -> list[OptionExplained]:
    """Return the options of a path, each with what gave it.

    Args:
        path: As the policy gives it.
        trace: What shaping says of it; None where the script does not use it.
        asked: Which path it is.
        setters: Who else may have set something.
    """
    shaped = make_egress_path(**(trace.options() if trace is not None else {}))
    shown = to_json(path)
    found: list[OptionExplained] = []
    for key in _keys(path, shaped):
        chain = trace.said.get(key, []) if trace is not None else []
        value = _part(shown, key)
        if value is None and not chain:
            continue
        is_shaped = _held(path, key) == _held(shaped, key)
        if is_shaped:
            found.append(_as_given(key, value, chain, asked, setters))
        else:
            found.append(_as_script_set(key, value, chain, setters))
    return found


def _keys(path: EgressPath, shaped: EgressPath) -> Iterator[SettingKey]:
    """Yield the options, those that are tables entry by entry."""
    for name in PATH_OPTIONS:
        if name not in MERGED_OPTIONS:
            yield (name,)
            continue
        entries = dict.fromkeys([*getattr(path, name), *getattr(shaped, name)])
        yield from ((name, entry) for entry in list(entries)[:ENTRIES_MAX])


def _held(path: EgressPath, key: SettingKey) -> Any:
    held = getattr(path, PATH_OPTIONS[key[0]].field or key[0])
    return held if len(key) == 1 else held.get(key[1])


def _part(shown: Mapping[str, Any], key: SettingKey) -> Any:
    value = shown.get(key[0])
    return value if len(key) == 1 or value is None else value.get(key[1])


def _as_given(
    key: SettingKey, value: Any, chain: list[Said], asked: PathAsked, setters: Setters
) -> OptionExplained:
    """Return an option that has the value which files give it, or its default."""
    if not chain:
        return _option(key, value, Origin.DEFAULT, None, None, None, [])
    said = chain[-1]
    setting, origin = said.setting, _origin_of(said, setters)
    decision = None
    if origin is Origin.AUTOMATION:
        decision = decision_of(key[0], setting, asked, setters)
    place = setting.place.file, setting.place.line
    overrode = _overridden(key, chain[:-1], setters)
    return _option(key, value, origin, setting.section, place, decision, overrode)


def _as_script_set(
    key: SettingKey, value: Any, chain: list[Said], setters: Setters
) -> OptionExplained:
    overrode = _overridden(key, chain, setters)
    return _option(key, value, Origin.SCRIPT, None, setters.script, None, overrode)


def _option(
    key: SettingKey,
    value: Any,
    origin: Origin,
    section: str | None,
    place: tuple[str, int | None] | None,
    decision: OptionDecision | None,
    overrode: list[ValueSet],
) -> OptionExplained:
    file, line = place or (None, None)
    return OptionExplained(
        name=key[0],
        entry=shown_text(key[1]) if len(key) > 1 else None,
        value=shown_value(value),
        origin=origin,
        in_force=key[0] not in PATH_NOT_IN_FORCE,
        section=section and shown_text(section),
        file=file and shown_text(file),
        line=line,
        decision=decision,
        overrode=overrode,
    )


def _overridden(key: SettingKey, chain: list[Said], setters: Setters) -> list[ValueSet]:
    is_secret = PATH_OPTIONS[key[0]].is_secret
    return [
        ValueSet(
            value=_HIDDEN if is_secret else shown_value(said.setting.value),
            origin=_origin_of(said, setters),
            section=shown_text(said.setting.section),
            file=shown_text(said.setting.place.file),
            line=said.setting.place.line,
        )
        for said in chain[: -OVERRODE_MAX - 1 : -1]
    ]


def _origin_of(said: Said, setters: Setters) -> Origin:
    if said.kind == "warmup":
        return Origin.WARMUP
    overlay = {layer.name for layer in setters.overrides.layers}
    return Origin.AUTOMATION if said.setting.place.file in overlay else Origin.SHAPING


# -- decisions ----------------------------------------------------------------------------------


def decision_of(
    option: str, setting: Setting, asked: PathAsked, setters: Setters
) -> OptionDecision | None:
    """Return the decision behind a value of the overlay; what the overlay says where none is known.

    Of several decisions about an option the daemon lays the one that ends last over the others.
    """
    overrides = setters.overrides
    names = dict.fromkeys((asked.site_name, asked.domain, normal_section_name(asked.domain)))
    found: list[SeenDecision] = []
    for name in names:
        about = setters.book.noted.about(Subject(option, asked.source, name))
        found += [one for one in about if one.origin == overrides.origin]
    chosen = max(
        found,
        key=lambda one: (one.decision.value == setting.value, one.decision.expires_at),
        default=None,
    )
    origin = shown_text(shown_source(overrides.origin))
    if chosen is None:
        reason, expires = note_in_overlay(overrides.text, setting.place.line)
        return OptionDecision(origin=origin, reason=shown_text(reason), expires=expires)
    decision = chosen.decision
    return OptionDecision(
        origin=origin,
        reason=shown_text(decision.reason),
        id=decision.key,
        rule=shown_text(decision.rule or decision.rule_hash),
        expires=format_instant(decision.expires_at),
    )


def note_in_overlay(text: bytes, line: int | None) -> tuple[str, str | None]:
    """Return reason and end that stand above a line of an overlay, as daemons write them.

    Args:
        text: The overlay.
        line: The line of the option, from 1.
    """
    if line is None or line < 3:
        return "", None
    above = text.split(b"\n", line)[line - 3 : line - 1]
    lines = [one.decode("utf-8", "replace").strip() for one in above]
    if len(lines) < 2:
        return "", None
    reason, expires = lines
    found = _EXPIRES.match(expires)
    if found is None or not reason.startswith("#"):
        return "", None
    return reason.removeprefix("#").strip(), shown_text(found[1])
