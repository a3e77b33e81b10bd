"""Header fields chosen by name and turned into metadata.

Place in flow: ``msg.import_headers`` of scripts.

Invariants:
    * The first rule that matches a field has it; the others do not see it.
    * A rule that matches no field makes no value.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RULES_MAX = 1_000
_OPTIONS = ("name", "match", "transform", "target", "remove")
_MATCHES = ("first", "last", "all")


def _words(name: str) -> list[str]:
    return [word for word in name.replace("_", "-").split("-") if word]


_TRANSFORMS: dict[str, Callable[[str], str]] = {
    "snake_case": lambda name: name.lower().replace("-", "_"),
    "kebab_case": lambda name: name.lower().replace("_", "-"),
    "camel_case": lambda name: (
        _words(name)[0].lower() + "".join(word.capitalize() for word in _words(name)[1:])
        if _words(name)
        else name
    ),
    "pascal_case": lambda name: "".join(word.capitalize() for word in _words(name)) or name,
}


@dataclass(frozen=True, slots=True)
class ImportRule:
    """One choice of fields."""

    name: str
    is_prefix: bool
    match: str
    transform: str
    target: str | None
    remove: bool

    def takes(self, name: str) -> bool:
        """Return whether a field's name, in lower case, is chosen."""
        return name.startswith(self.name) if self.is_prefix else name == self.name

    def key_of(self, name: str) -> str:
        """Return the name of the metadata value of a field."""
        return self.target if self.target is not None else _TRANSFORMS[self.transform](name)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to: metadata values, and names (in lower case) of fields to remove."""

    values: dict[str, Any]
    removed: set[str]


def make_rules(specs: Any) -> list[ImportRule]:
    """Return the rules that a script gives, as dicts.

    Raises:
        ValueError: One is wrong; the text says which.
        TypeError: They are no list of dicts.
    """
    if isinstance(specs, Mapping):
        specs = [specs]
    if not isinstance(specs, Sequence) or isinstance(specs, str | bytes):
        raise TypeError("wants a list of dicts, each with a name")
    if len(specs) > RULES_MAX:
        raise ValueError(f"more than {RULES_MAX} rules")
    return [_make_rule(number, spec) for number, spec in enumerate(specs)]


def _make_rule(number: int, spec: Any) -> ImportRule:
    where = f"specs[{number}]"
    if not isinstance(spec, Mapping):
        raise TypeError(f"{where}: wants a dict")
    for option in spec:
        if option not in _OPTIONS:
            close = difflib.get_close_matches(str(option), _OPTIONS, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"{where}: there is no option {str(option)[:100]!r}{hint}")
    name = spec.get("name")
    if not isinstance(name, str) or not name.rstrip("*") or "*" in name[:-1]:
        raise ValueError(f"{where}: name: wants a header name; one * may end it")
    is_prefix = name.endswith("*")
    match = _choice(where, "match", spec.get("match", "last"), _MATCHES)
    transform = _choice(where, "transform", spec.get("transform", "snake_case"), _TRANSFORMS)
    target, remove = spec.get("target"), spec.get("remove", False)
    if target is not None and (not isinstance(target, str) or not target or is_prefix):
        raise ValueError(f"{where}: target: wants a name, and a header name without *")
    if not isinstance(remove, bool):
        raise ValueError(f"{where}: remove: wants True or False")  # noqa: TRY004 - one class
    return ImportRule(name.rstrip("*").lower(), is_prefix, match, transform, target, remove)


def _choice(where: str, option: str, value: Any, choices: Iterable[str]) -> str:
    if not isinstance(value, str) or value not in tuple(choices):
        raise ValueError(f"{where}: {option}: wants one of {', '.join(choices)}, not {value!r}")
    return value


def import_fields(rules: list[ImportRule], fields: Iterable[tuple[str, str]]) -> Imported:
    """Return the metadata that these fields (name and decoded value) make."""
    found = Imported({}, set())
    for name, value in fields:
        lower = name.lower()
        rule = next((rule for rule in rules if rule.takes(lower)), None)
        if rule is None:
            continue
        if rule.remove:
            found.removed.add(lower)
        key = rule.key_of(name)
        if rule.match == "all":
            held = found.values.setdefault(key, [])
            if isinstance(held, list):
                held.append(value)
        elif rule.match == "last":
            found.values[key] = value
        else:
            found.values.setdefault(key, value)
    return found
