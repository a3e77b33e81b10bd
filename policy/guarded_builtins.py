"""The builtins that scripts have.

Place in flow: ``script_loader`` puts them under ``__builtins__`` of each script of an epoch.

Invariants:
    * Types stay the real types, so that ``isinstance``, annotations and class patterns
      work; ``bytes`` alone is a proxy class, because ``bytes(n)`` takes n bytes.
    * What can iterate for ever or for very long counts its items.
"""

from __future__ import annotations

import builtins
import typing
from collections.abc import Callable, Iterator
from typing import Any

from policy.budget import MAX_ITEMS
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
    "ascii",
    "bin",
    "bool",
    "callable",
    "chr",
    "classmethod",
    "complex",
    "dict",
    "divmod",
    "enumerate",
    "filter",
    "float",
    "frozenset",
    "hex",
    "int",
    "isinstance",
    "issubclass",
    "len",
    "list",
    "max",
    "min",
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
    "zip",
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BaseException",
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
    "PermissionError",
    "FileNotFoundError",
    "ModuleNotFoundError",
]
_GUARDED = (
    "bytes delattr format getattr hasattr iter map pow print range repr round setattr sorted "
    "sum type"
)

AVAILABLE = frozenset(_PLAIN) | frozenset(_GUARDED.split())

MAX_PRINTED_CHARACTERS = 4_096
MAX_ROUNDED_DIGITS = 400
_DATA_TYPES = frozenset(
    {bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, type(None)}
)


class _BytesType(type):
    """Makes ``bytes`` of scripts answer ``isinstance`` as the real one does."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, builtins.bytes)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, builtins.bytes)

    def __call__(cls, source: Any = b"", *args: Any) -> bytes:
        if isinstance(source, int):
            if source > MAX_ITEMS:
                raise LimitExceededError(f"{source} bytes are more than the {MAX_ITEMS} allowed")
            return builtins.bytes(source)
        return builtins.bytes(source, *args)

    def __or__(cls, other: Any) -> Any:
        return builtins.bytes | other

    def __ror__(cls, other: Any) -> Any:
        return other | builtins.bytes

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is builtins.bytes

    def __hash__(cls) -> int:
        return hash(builtins.bytes)


class GuardedBytes(metaclass=_BytesType):
    """The ``bytes`` of scripts."""

    fromhex = staticmethod(builtins.bytes.fromhex)
    decode = staticmethod(builtins.bytes.decode)
    maketrans = staticmethod(builtins.bytes.maketrans)


GuardedBytes.__name__ = "bytes"


def build_builtins(
    guards: Guards, write_line: Callable[[str], None], import_module: Callable[..., Any]
) -> dict[str, Any]:
    """Return the ``__builtins__`` of an epoch's scripts."""
    names: dict[str, Any] = {name: getattr(builtins, name) for name in _PLAIN}
    names.update(
        {
            "__build_class__": _build_class,
            "__import__": import_module,
            "bytes": GuardedBytes,
            "delattr": guards.delattr,
            "format": guards.format,
            "getattr": guards.getattr,
            "hasattr": guards.hasattr,
            "iter": _bind(_iter, guards),
            "map": lambda function, *items: guards.counted(map(function, *items)),
            "pow": guards.pow,
            "print": _bind(_print, guards, write_line),
            "range": _range,
            "repr": _bind(_repr, guards),
            "round": _round,
            "setattr": guards.setattr,
            "sorted": _bind(_sorted, guards),
            "sum": _bind(_sum, guards),
            "type": _type,
        }
    )
    return names


def _bind(function: Callable[..., Any], *bound: Any) -> Callable[..., Any]:
    # A closure: a ``partial`` would show what is bound under a public name.
    return lambda *args, **kwargs: function(*bound, *args, **kwargs)


def _build_class(body: Any, name: str, /, *bases: Any, **keywords: Any) -> Any:
    if keywords:
        raise ConfinementError("keyword arguments of a class are not available")
    for base in bases:
        if not _may_be_base(base):
            raise ConfinementError(
                f"{getattr(base, '__name__', base)} cannot be a base of a script's class"
            )
    made = builtins.__build_class__(body, name, *bases)
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


def _range(*bounds: int) -> range:
    made = range(*bounds)
    count = (made.stop - made.start) // made.step
    if count > MAX_ITEMS:
        raise LimitExceededError(f"a range of {count} items is more than the {MAX_ITEMS} allowed")
    return made


def _repr(guards: Guards, value: Any) -> str:
    guards.shown_size(value)
    return repr(value)


def _round(number: Any, ndigits: int | None = None) -> Any:
    if ndigits is not None and abs(ndigits) > MAX_ROUNDED_DIGITS:
        raise LimitExceededError(f"rounding to {ndigits} digits is not allowed")
    return round(number, ndigits)


def _sorted(guards: Guards, items: Any, *, key: Any = None, reverse: bool = False) -> list[Any]:
    found: list[Any] = list(items)
    check_sortable(guards, len(found))
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


def _type(value: Any, *rest: Any) -> Any:
    kind = type(value)
    if rest or not (kind in _DATA_TYPES or is_script_class(kind) or issubclass(kind, Exception)):
        raise ConfinementError("type() is available for plain values and a script's own objects")
    return GuardedBytes if kind is builtins.bytes else kind


def _print(guards: Guards, write_line: Callable[[str], None], *values: Any, **options: Any) -> None:
    for value in values:
        guards.shown_size(value)
    separator = options.get("sep")
    text = (" " if separator is None else str(separator)).join(map(str, values))
    write_line(text[:MAX_PRINTED_CHARACTERS])
