"""``mta.regex_set_map``: values by regular expression, all looked for at once.

Place in flow: exposed by ``all_modules``; matching is that of RE2, in time linear in the text.

Invariants:
    * Of several patterns that match the first one given wins, in the order of the dict.
    * An unanchored search, case-sensitive unless the pattern says ``(?i)``.

Failure: where the automaton of all patterns outgrows its memory, each is tried alone; a last
pattern that always matches tells that case from "no match".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import re2

from engine.script_modules.plain_value import copy_plain, thaw
from engine.script_modules.script_call import caller_budget
from policy.budget import Budget
from policy.errors import LimitExceededError
from policy.script_api import ScriptNamespace

PATTERNS_MAX = 10_000
PATTERN_CHARACTERS_MAX = 10_000
TEXT_CHARACTERS_MAX = 256 * 1024
AUTOMATON_BYTES = 64 << 20
NS_PER_PATTERN_CHARACTER = 3_000
NS_PER_CHARACTER = 150


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = AUTOMATON_BYTES
    return options


class RegexSetMap:
    """Values by pattern; never changes."""

    __slots__ = ("_is_kept", "_patterns", "_set", "_size_bytes", "_values")

    def __init__(self, patterns: Mapping[str, Any]) -> None:
        if not isinstance(patterns, Mapping):
            raise TypeError("wants a dict from patterns to values")
        if len(patterns) > PATTERNS_MAX:
            raise LimitExceededError(f"a set holds at most {PATTERNS_MAX} patterns")
        self._is_kept = False
        self._values: list[Any] = list(patterns.values())
        self._patterns: list[str] = list(patterns)
        self._size_bytes = 0
        budget = caller_budget()
        # None where it would not fit.
        self._set: Any = re2.Set.SearchSet(_options())
        for pattern in self._patterns:
            self._add(pattern, budget)
        self._set.Add("")
        budget.afford(self._size_bytes * NS_PER_PATTERN_CHARACTER // 4)
        try:
            self._set.Compile()
        except re2.error:
            self._set = None

    def _add(self, pattern: Any, budget: Budget) -> None:
        if not isinstance(pattern, str):
            raise TypeError("a pattern is text")
        if len(pattern) > PATTERN_CHARACTERS_MAX:
            raise LimitExceededError("a pattern of more than 10000 characters is not allowed")
        budget.check()
        try:
            # Alone first: the set says of a bad pattern only that it is bad.
            re2.compile(pattern, _options())
            self._set.Add(pattern)
        except re2.error as error:
            reason = error.args[0] if error.args else ""
            text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise ValueError(f"the pattern {pattern[:100]!r} is not available: {text}") from None
        self._size_bytes += len(pattern)

    def _find(self, text: Any) -> int | None:
        if not isinstance(text, str):
            raise TypeError(f"wants text, not {type(text).__name__[:100]}")
        if len(text) > TEXT_CHARACTERS_MAX:
            raise LimitExceededError(f"a text of more than {TEXT_CHARACTERS_MAX} is too long")
        budget = caller_budget()
        budget.afford(len(text) * NS_PER_CHARACTER)
        found = self._set.Match(text) if self._set is not None else ()
        always = len(self._patterns)
        if always in found:
            first = min(found)
            return None if first == always else first
        return self._find_alone(text, budget)

    def _find_alone(self, text: str, budget: Budget) -> int | None:
        for index, pattern in enumerate(self._patterns):
            budget.check()
            if re2.search(pattern, text, _options()) is not None:
                return index
        return None

    def _give(self, index: int) -> Any:
        value = self._values[index]
        return thaw(value, caller_budget()) if self._is_kept else value

    def __getitem__(self, text: str) -> Any:
        index = self._find(text)
        if index is None:
            raise KeyError(text[:100])
        return self._give(index)

    def get(self, text: str, default: Any = None) -> Any:
        """Return the value of the first pattern that matches, or the default."""
        index = self._find(text)
        return default if index is None else self._give(index)

    def __contains__(self, text: Any) -> bool:
        return self._find(text) is not None

    def __len__(self) -> int:
        return len(self._patterns)

    def __repr__(self) -> str:
        return f"<set of {len(self._patterns)} regular expressions>"

    def _kept(self, budget: Budget) -> tuple[RegexSetMap, int]:
        """Return a copy that never changes, for ``plain_value``."""
        if self._is_kept:
            return self, self._size_bytes
        made = object.__new__(RegexSetMap)
        made._patterns, made._set, made._is_kept = self._patterns, self._set, True
        made._values = [copy_plain(value, budget) for value in self._values]
        # An automaton takes many times its patterns.
        values_bytes = sum(kept.size_bytes for kept in made._values)
        made._size_bytes = self._size_bytes * 20 + values_bytes
        return made, made._size_bytes


def new(patterns: Mapping[str, Any]) -> RegexSetMap:
    """Return a map from regular expressions to values."""
    return RegexSetMap(patterns)


def expose_regex_set_map(namespace: ScriptNamespace) -> None:
    """Make ``mta.regex_set_map`` importable by scripts."""
    namespace.expose("new", new, module="mta.regex_set_map")
