"""The builtins that scripts have.

Place in flow: ``script_loader`` puts them under ``__builtins__`` of each script of an epoch.

Invariants:
    * Types stay the real types, so that ``isinstance``, annotations and class patterns work;
      for ``int`` and ``bytes``, which make much of little, ``guarded_types`` has others.
    * What can iterate for ever or for very long counts its items.
"""

from __future__ import annotations

import builtins
import typing
from collections.abc import Callable, Iterator
from typing import Any

from policy.budget import LARGE_ITEMS, MAX_ITEMS
from policy.errors import ConfinementError, LimitExceededError
from policy.guarded_methods import check_sortable
from policy.guards import Guards, is_script_class

_PLAIN = [
    "None",
    "False",
    "True",
    "Ellipsis",
    "NotImplemented",
    "__debug__",
    "abs",
    "all",
    "any",
    "bin",
    "bool",
    "callable",
    "chr",
    "classmethod",
    "complex",
    "dict",
    "divmod",
    "enumerate",
    "float",
    "frozenset",
    "hex",
    "isinstance",
    "issubclass",
    "len",
    "list",
    "next",
    "object",
    "oct",
    "ord",
    "property",
    "reversed",
    "set",
    "staticmethod",
    "str",
    "super",
    "tuple",
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BaseException",
    "BrokenPipeError",
    "EOFError",
    "Exception",
    "FloatingPointError",
    "ImportError",
    "IndexError",
    "KeyError",
    "LookupError",
    "MemoryError",
    "NameError",
    "NotImplementedError",
    "OSError",
    "OverflowError",
    "RecursionError",
    "RuntimeError",
    "StopIteration",
    "StopAsyncIteration",
    "TimeoutError",
    "TypeError",
    "UnboundLocalError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UnicodeError",
    "ValueError",
    "Warning",
    "UserWarning",
    "DeprecationWarning",
    "ZeroDivisionError",
    "ConnectionError",
    "ConnectionAbortedError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    "EnvironmentError",
    "IOError",
    "RuntimeWarning",
    "PermissionError",
    "FileNotFoundError",
    "ModuleNotFoundError",
]
_GUARDED = (
    "ascii bytes delattr filter format getattr hasattr hash int iter map max min pow print range "
    "repr round setattr sorted sum type zip"
)

AVAILABLE = frozenset(_PLAIN) | frozenset(_GUARDED.split())

MAX_PRINTED_CHARACTERS = 4_096
MAX_ROUNDED_DIGITS = 400
_DATA_TYPES = frozenset(
    {bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, type(None)}
)


def build_builtins(
    guards: Guards, write_line: Callable[[str], None], import_module: Callable[..., Any]
) -> dict[str, Any]:
    """Return the ``__builtins__`` of an epoch's scripts."""
    names: dict[str, Any] = {name: getattr(builtins, name) for name in _PLAIN}
    names.update(
        {
            "__build_class__": _build_class,
            "__import__": import_module,
            "ascii": _bind(_shown, guards, builtins.ascii),
            "bytes": guards.types[builtins.bytes],
            "delattr": guards.delattr,
            "filter": lambda function, items: filter(function, guards.counted(items)),
            "format": guards.format,
            "getattr": guards.getattr,
            "hasattr": guards.hasattr,
            "hash": _bind(_shown, guards, builtins.hash),
            "int": guards.types[builtins.int],
            "iter": _bind(_iter, guards),
            "map": _bind(_map, guards),
            "max": _bind(_extreme, guards, builtins.max),
            "min": _bind(_extreme, guards, builtins.min),
            "pow": guards.pow,
            "print": _bind(_print, guards, write_line),
            "range": _bind(_range, guards),
            "repr": _bind(_shown, guards, builtins.repr),
            "round": _round,
            "setattr": guards.setattr,
            "sorted": _bind(_sorted, guards),
            "sum": _bind(_sum, guards),
            "type": _bind(_type, guards),
            "zip": lambda *items, strict=False: guards.counted(zip(*items, strict=strict)),
        }
    )
    return names


def _bind(function: Callable[..., Any], *bound: Any) -> Callable[..., Any]:
    # A closure: a ``partial`` would show what is bound under a public name.
    return lambda *args, **kwargs: function(*bound, *args, **kwargs)


def _build_class(body: Any, name: str, /, *bases: Any, **keywords: Any) -> Any:
    if keywords and not (typing.TypedDict in bases and keywords.keys() == {"total"}):
        raise ConfinementError("keyword arguments of a class are not available")
    for base in bases:
        if not _may_be_base(base):
            raise ConfinementError(
                f"{getattr(base, '__name__', base)} cannot be a base of a script's class"
            )
    made = builtins.__build_class__(body, name, *bases, **keywords)
    made.__script_class__ = True
    return made


def _may_be_base(base: Any) -> bool:
    if base in (typing.NamedTuple, typing.TypedDict, typing.Protocol, typing.Generic, object):
        return True
    if isinstance(base, type):
        return is_script_class(base) or (
            issubclass(base, Exception) and base.__module__ == "builtins"
        )
    return getattr(base, "__origin__", None) in (typing.Generic, typing.Protocol)


def _iter(guards: Guards, source: Any, *sentinel: Any) -> Iterator[Any]:
    if sentinel:
        return guards.counted(iter(source, *sentinel))
    return iter(source)


def _map(guards: Guards, function: Any, *items: Any) -> Iterator[Any]:
    if function is str:
        function = _bind(_shown, guards, str)
    return guards.counted(map(function, *items))


def _extreme(guards: Guards, find: Callable[..., Any], *items: Any, **options: Any) -> Any:
    # A key function may add to what is gone through.
    if len(items) == 1 and "key" in options:
        items = (guards.counted(items[0]),)
    return find(*items, **options)


def _range(guards: Guards, *bounds: int) -> range:
    made = range(*bounds)
    count = (made.stop - made.start) // made.step
    if count > MAX_ITEMS:
        raise LimitExceededError(f"a range of {count} items is more than the {MAX_ITEMS} allowed")
    if count >= LARGE_ITEMS:
        # What takes it in whole, such as ``dict.fromkeys``, takes long.
        guards.budget.account(count)
    return made


def _shown(guards: Guards, show: Callable[..., Any], *value: Any, **options: Any) -> Any:
    for each in value[:1]:
        guards.shown_size(each)
    return show(*value, **options)


def _round(number: Any, ndigits: int | None = None) -> Any:
    if ndigits is not None and abs(ndigits) > MAX_ROUNDED_DIGITS:
        raise LimitExceededError(f"rounding to {ndigits} digits is not allowed")
    return round(number, ndigits)


def _sorted(guards: Guards, items: Any, *, key: Any = None, reverse: bool = False) -> list[Any]:
    found: list[Any] = list(items)
    check_sortable(guards, found)
    found.sort(key=key, reverse=reverse)
    return found


def _sum(guards: Guards, items: Any, start: Any = 0) -> Any:
    if isinstance(start, (int, float)):
        return sum(items, start)
    if isinstance(start, (str, bytes)):
        raise TypeError("sum() cannot sum strings; use join")
    added, total = guards.operators()["@added"], start
    for item in guards.counted(items):
        guards.budget.account_items(len(total) if hasattr(total, "__len__") else 1)
        total = total + added(item)
    return total


def _type(guards: Guards, value: Any, *rest: Any) -> Any:
    kind = type(value)
    if rest or not (kind in _DATA_TYPES or is_script_class(kind) or issubclass(kind, Exception)):
        raise ConfinementError("type() is available for plain values and a script's own objects")
    return guards.types.get(kind, kind)


def _print(
    guards: Guards,
    write_line: Callable[[str], None],
    *values: Any,
    sep: str | None = None,
    end: str | None = None,
    flush: bool = False,
) -> None:
    del end, flush  # one line each, written at once
    for value in values:
        guards.shown_size(value)
    separator = " " if sep is None else sep
    write_line(guards.methods[str, "join"](separator, map(str, values))[:MAX_PRINTED_CHARACTERS])
