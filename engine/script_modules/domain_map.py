"""``mta.domain_map``: values by domain, with wildcards.

Place in flow: exposed by ``all_modules``.

Invariants:
    * The most specific key wins: the domain itself, then ``*.`` with the longest suffix, then
      ``*``. A key that only shares a suffix never hides a shorter wildcard.
    * Domains are compared without case and final dot, in A-labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from engine.model.address import normal_domain
from engine.script_modules.plain_value import copy_plain, thaw
from engine.script_modules.script_call import caller_budget
from policy.budget import MAX_ITEMS, Budget
from policy.errors import LimitExceededError
from policy.script_api import ScriptNamespace

DOMAIN_MAX = 255
#: What no domain holds, and a list that was read wrongly does.
_STRANGE = re.compile(r"[*\s@/,;]|\.\.")


def normal_key(text: Any) -> str:
    """Return a key as it is compared.

    Raises:
        TypeError: It is no text.
        ValueError: It is no domain, or has a ``*`` that is not its first label.
    """
    if not isinstance(text, str):
        raise TypeError(f"a domain is text, not {type(text).__name__[:100]}")
    if text == "*":
        return text
    wildcard = text.startswith("*.")
    name = _normal(text[2:] if wildcard else text)
    if not name or _STRANGE.search(name) or name.startswith("."):
        raise ValueError(f"not a domain: {text[:100]!r} (a * stands alone in front, as in *.x)")
    return f"*.{name}" if wildcard else name


def _normal(text: str) -> str:
    if len(text) > DOMAIN_MAX:
        return ""
    name = text if text.startswith("[") else text.removesuffix(".")
    return name.lower() if name.isascii() else normal_domain(name)


class DomainMap:
    """Values by domain."""

    __slots__ = ("_is_kept", "_values")

    def __init__(self, seed: Mapping[str, Any] | None = None) -> None:
        self._values: dict[str, Any] = {}
        self._is_kept = False
        budget = caller_budget()
        if not isinstance(seed, Mapping | None):
            raise TypeError("wants a dict from domains to values")
        for key, value in (seed or {}).items():
            budget.tick()
            self._set(key, value)

    def _set(self, key: Any, value: Any) -> None:
        if self._is_kept:
            raise TypeError("this map is kept by memoize and cannot be changed")
        if len(self._values) >= MAX_ITEMS:
            raise LimitExceededError(f"a map holds at most {MAX_ITEMS} domains")
        self._values[normal_key(key)] = value

    def __setitem__(self, key: str, value: Any) -> None:
        caller_budget().tick()
        self._set(key, value)

    def __delitem__(self, key: str) -> None:
        if self._is_kept:
            raise TypeError("this map is kept by memoize and cannot be changed")
        del self._values[normal_key(key)]

    def _find(self, domain: Any) -> str | None:
        if not isinstance(domain, str):
            raise TypeError(f"a domain is text, not {type(domain).__name__[:100]}")
        try:
            name = _normal(domain)
        except ValueError:
            name = ""
        if "*" in name:
            return None
        values = self._values
        if name and name in values:
            return name
        suffix = "" if name.startswith("[") else name
        while "." in suffix:
            suffix = suffix.partition(".")[2]
            if f"*.{suffix}" in values:
                return f"*.{suffix}"
        return "*" if name and "*" in values else None

    def _give(self, key: str) -> Any:
        value = self._values[key]
        return thaw(value, caller_budget()) if self._is_kept else value

    def __getitem__(self, domain: str) -> Any:
        key = self._find(domain)
        if key is None:
            raise KeyError(domain[:100])
        return self._give(key)

    def get(self, domain: str, default: Any = None) -> Any:
        """Return the value for a domain, or the default."""
        key = self._find(domain)
        return default if key is None else self._give(key)

    def __contains__(self, domain: Any) -> bool:
        return self._find(domain) is not None

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        caller_budget().account_items(len(self._values))
        return iter(tuple(self._values))

    def __repr__(self) -> str:
        return f"<domain map of {len(self._values)}>"

    def _kept(self, budget: Budget) -> tuple[DomainMap, int]:
        """Return a copy that never changes, for ``plain_value``."""
        if self._is_kept:
            return self, sum(kept.size_bytes for kept in self._values.values())
        made = DomainMap()
        made._values = {key: copy_plain(value, budget) for key, value in self._values.items()}
        made._is_kept = True
        size_bytes = sum(kept.size_bytes + len(key) for key, kept in made._values.items())
        return made, size_bytes


def new(seed: Mapping[str, Any] | None = None) -> DomainMap:
    """Return a map from domains to values."""
    return DomainMap(seed)


def expose_domain_map(namespace: ScriptNamespace) -> None:
    """Make ``mta.domain_map`` importable by scripts."""
    namespace.expose("new", new, module="mta.domain_map")
