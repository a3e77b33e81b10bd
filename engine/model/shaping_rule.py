"""An automation rule: what replies it looks for, when it acts, what it does, for how long.

Place in flow: ``engine.model.shaping_section`` reads rules from files; the TSA, and the node that
sends it records, match replies against them.

    [[provider."big".automation]]
    regex = ["[[]TSS04[]]", "temporarily deferred"]
    trigger = { Threshold = "10/hour" }
    action = "Suspend"
    duration = "2 hours"

Invariants:
    * A rule with anything wrong in it is no rule at all: half of one could do harm.
    * ``digest`` depends on what the rule does, never on where it stands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.model.duration import parse_duration
from engine.model.keyword_options import closest, flag
from engine.model.shaping_action import ActionKind, ShapingAction, parse_action
from engine.model.shaping_finding import FileView, KeyPath, Place
from engine.model.shaping_pattern import ReplyPattern, pattern_note
from engine.model.shaping_trigger import (
    Immediate,
    Proportion,
    Trigger,
    has_idle_parts,
    parse_trigger,
)

RULE_KEYS = ("regex", "action", "trigger", "duration", "match_internal", "enabled")


@dataclass(frozen=True, slots=True)
class ShapingRule:
    """One rule.

    Attributes:
        patterns: Any of them is enough; none at all looks at every reply (proportions only).
        duration_s: How long what it does lasts, from the time of the record.
        match_internal: Whether it also looks at what the node itself said.
        is_enabled: Whether it counts; one that is switched off is checked all the same.
        place: Where it stands.
        section: The section it stands in, such as ``provider.big``.
    """

    patterns: tuple[ReplyPattern, ...]
    actions: tuple[ShapingAction, ...]
    trigger: Trigger
    duration_s: float
    match_internal: bool
    is_enabled: bool
    place: Place
    section: str

    def matches(self, line: str) -> bool:
        """Return whether a reply, as one line with its codes, is one the rule looks for."""
        return not self.patterns or any(pattern.matches(line) for pattern in self.patterns)

    @property
    def pauses_warmup(self) -> bool:
        """Return whether one of its actions holds the day of a warm-up."""
        return any(action.kind is ActionKind.PAUSE_WARMUP for action in self.actions)

    def to_value(self) -> dict[str, Any]:
        """Return the rule as operators write it, in one canonical way."""
        return {
            "regex": [pattern.text for pattern in self.patterns],
            "action": [action.to_value() for action in self.actions],
            "trigger": self.trigger.to_value(),
            "duration": self.duration_s,
            "match_internal": self.match_internal,
            "enabled": self.is_enabled,
        }


@dataclass(frozen=True, slots=True)
class ScopedRule:
    """A rule where it applies.

    Attributes:
        rule: The rule.
        is_rollup: Whether it acts on the whole site: rules of ``default`` and of sites do, and
            those of providers that are known by their hosts; others act on the domain.
        digest: The identity of the rule in this scope.
        provider: The provider whose section it stands in, if it does.
    """

    rule: ShapingRule
    is_rollup: bool
    digest: str
    provider: str | None = None


def scope_rule(rule: ShapingRule, *, is_rollup: bool, provider: str | None = None) -> ScopedRule:
    """Return a rule in its scope."""
    value = rule.to_value() | {"is_rollup": is_rollup, "provider": provider}
    # Switching a rule off and on again must not forget what it counted.
    del value["enabled"]
    text = json.dumps(value, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return ScopedRule(rule, is_rollup, digest, provider)


def parse_rule(value: Any, view: FileView, path: KeyPath, section: str) -> ShapingRule | None:
    """Return a rule as a file holds it, None if anything is wrong with it.

    Args:
        value: The table.
        view: The file; what is wrong is noted there.
        path: Where the table stands.
        section: The section it stands in.
    """
    if not isinstance(value, Mapping):
        view.error(f"a table is expected, not {value!r:.80}", *path)
        return None
    reader = _RuleReader(value, view, path)
    for key in value:
        if key not in RULE_KEYS:
            reader.error(f"unknown key of a rule{closest(key, RULE_KEYS)}", key)
    trigger = reader.read("trigger", parse_trigger, Immediate())
    patterns = reader.read_all("regex", ReplyPattern, can_miss=isinstance(trigger, Proportion))
    actions = reader.read_all("action", parse_action)
    duration_s = reader.read("duration", parse_duration, None)
    match_internal = reader.read("match_internal", flag, False)
    is_enabled = reader.read("enabled", flag, True)
    if reader.is_wrong:
        return None
    _note_oddities(value, patterns, actions, view, path)
    return ShapingRule(
        tuple(patterns),
        tuple(actions),
        trigger,
        duration_s,
        match_internal,
        is_enabled,
        view.place(*path),
        section,
    )


def _note_oddities(
    table: Mapping[str, Any],
    patterns: Sequence[ReplyPattern],
    actions: Sequence[ShapingAction],
    view: FileView,
    path: KeyPath,
) -> None:
    """Note what in a rule has no effect, though nothing is wrong with it."""
    if parse_duration(table["duration"]) == 0:
        view.warn("the rule has no effect: its duration is zero", *path, "duration")
    if has_idle_parts(table.get("trigger")):
        view.warn("a threshold is N/period: the rest has no effect", *path, "trigger")
    for index, pattern in enumerate(patterns):
        note = pattern_note(pattern.text)
        if note is not None:
            where = ("regex", index) if isinstance(table["regex"], list) else ("regex",)
            view.warn(f"{pattern.text!r:.80} {note}", *path, *where)
    for action in actions:
        for note in action.notes:
            view.warn(f"{_option_of(action)} {note}", *path, "action")


def _option_of(action: ShapingAction) -> str:
    return action.name or (action.adjustment.name if action.adjustment is not None else "")


class _RuleReader:
    """Reads the keys of one rule; remembers whether any was wrong."""

    def __init__(self, table: Mapping[str, Any], view: FileView, path: KeyPath) -> None:
        self._table, self._view, self._path = table, view, path
        self.is_wrong = False

    def error(self, text: str, *path: str | int) -> None:
        self.is_wrong = True
        self._view.error(text, *self._path, *path)

    def read(self, key: str, convert: Callable[[Any], Any], default: Any) -> Any:
        """Return the value of a key; with None for a default, it must be there."""
        value = self._table.get(key)
        if value is None:
            if default is None:
                self.error(f"a rule needs {key}", key)
            return default
        return self._convert(convert, value, key)

    def read_all(
        self, key: str, convert: Callable[[Any], Any], *, can_miss: bool = False
    ) -> Sequence[Any]:
        """Return the values of a key that holds one value or a list of them."""
        value = self._table.get(key)
        if value is None and can_miss:
            return ()
        if value is None or value == []:
            self.error(f"a rule needs {key}", key)
            return ()
        if not isinstance(value, list):
            return (self._convert(convert, value, key),)
        return [self._convert(convert, one, key, index) for index, one in enumerate(value)]

    def _convert(self, convert: Callable[[Any], Any], value: Any, *path: str | int) -> Any:
        try:
            return convert(value)
        except (ValueError, OverflowError) as error:
            self.error(str(error), *path)
            return None
