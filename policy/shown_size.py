"""How large a value would be as text, found without making the text.

Place in flow: ``guards`` asks before anything is shown, formatted or made JSON of.

Invariants:
    * Shared parts count each time they would be shown: nested sharing grows exponentially.
    * Never calls code of a script.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import ChainMap, deque
from collections.abc import Callable, Iterable
from types import MappingProxyType, MemberDescriptorType
from typing import Any

from policy.budget import LARGE_ITEMS, MAX_TEXT_BYTES, Budget
from policy.errors import LimitExceededError

MAX_SHOWN_NODES = 100_000
_OTHER_BYTES = 24


def _mapped(value: Any) -> Iterable[Any]:
    return [*dict.keys(value), *dict.values(value)]


_PARTS: dict[type, Callable[[Any], Iterable[Any]]] = {
    list: list.__iter__,
    tuple: tuple.__iter__,
    set: set.__iter__,
    frozenset: frozenset.__iter__,
    deque: deque.__iter__,
    dict: _mapped,
    type({}.keys()): iter,
    type({}.values()): iter,
    type({}.items()): iter,
    MappingProxyType: lambda value: [*value.keys(), *value.values()],
    ChainMap: lambda value: value.maps,
    functools.partial: lambda value: [value.args, value.keywords],
    BaseException: BaseException.args.__get__,  # type: ignore[attr-defined]
}


def measure(value: Any, budget: Budget) -> int:
    """Return about how many characters a value takes as text.

    Raises:
        LimitExceededError: it has too many parts, as nested sharing makes quickly.
    """
    size = nodes = 0
    stack = [value]
    while stack:
        item = stack.pop()
        nodes += 1
        if isinstance(item, (str, bytes)):
            size += len(item)
        elif isinstance(item, int):
            size += item.bit_length() // 3
        else:
            parts = _parts_of(item)
            size += _OTHER_BYTES
            stack.extend(parts)
        if nodes + len(stack) > MAX_SHOWN_NODES or size > MAX_TEXT_BYTES:
            raise LimitExceededError("a value is too large, or too deep, to be shown as text")
        if nodes % LARGE_ITEMS == 0:
            budget.check()
    return size


def _parts_of(item: Any) -> Iterable[Any]:
    kind = type(item)
    parts = _PARTS.get(kind)
    if parts is None:
        parts = next((_PARTS[base] for base in kind.__mro__ if base in _PARTS), None)
    if parts is not None:
        return parts(item)
    fields = kind.__dict__.get(dataclasses._FIELDS)  # type: ignore[attr-defined]
    if fields:
        held = getattr(item, "__dict__", {})
        return [held[name] if name in held else _slot(kind, item, name) for name in fields]
    return ()


def _slot(kind: type, item: Any, name: str) -> Any:
    member = kind.__dict__.get(name)
    if not isinstance(member, MemberDescriptorType):
        return None
    try:
        return member.__get__(item, kind)
    except AttributeError:
        return None
