"""Methods of builtin types that make much out of little, with a bound.

Place in flow: ``guards.attribute`` looks here by type and name; everything else about the
builtin types is used as it is.
"""

from __future__ import annotations

import datetime
import string
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from policy.errors import ConfinementError, LimitExceededError
from policy.sandbox_names import check_format_spec

if TYPE_CHECKING:
    from policy.guards import Guards

MAX_SORTED_ITEMS = 200_000
MAX_INT_BYTES = 65_536
MAX_TIME_FORMAT = 500

Method = Callable[..., Any]


def build_methods(guards: Guards) -> dict[tuple[type, str], Method]:
    """Return the guarded methods by type and name; each takes its object first."""
    methods: dict[tuple[type, str], Method] = {}
    for text in (str, bytes, bytearray):
        methods.update(_text_methods(guards, text))
    methods[str, "format"] = lambda text, *args, **kwargs: _format(guards, text, args, kwargs)
    methods[str, "format_map"] = lambda text, values: _format(guards, text, (), values)
    methods[str, "translate"] = lambda text, table: _translate(guards, text, table)
    methods[list, "extend"] = lambda items, more: items.extend(guards.bounded(more))
    methods[list, "sort"] = lambda items, **options: _sort(guards, items, options)
    methods[int, "to_bytes"] = _to_bytes
    methods[Counter, "elements"] = lambda counter: guards.counted(counter.elements())
    for moment in (datetime.date, datetime.time):
        methods[moment, "strftime"] = _strftime
    return methods


def _text_methods(guards: Guards, kind: type) -> dict[tuple[type, str], Method]:
    budget = guards.budget
    real: Any = kind

    def join(separator: Any, parts: Any) -> Any:
        parts = guards.bounded(parts)
        # ``bounded`` made a collection of it; a part without a length fails in ``join``.
        if all(isinstance(part, real) for part in parts):
            budget.account_text(sum(map(len, parts)) + len(separator) * len(parts))
        return real.join(separator, parts)

    def replace(text: Any, old: Any, new: Any, count: int = -1) -> Any:
        times = text.count(old) if count < 0 else min(count, text.count(old))
        budget.account_text(len(text) + times * max(0, len(new) - len(old)))
        return real.replace(text, old, new, count)

    def padded(name: str) -> Method:
        method = getattr(real, name)

        def pad(text: Any, width: int, *fill: Any) -> Any:
            budget.account_text(max(len(text), width))
            return method(text, width, *fill)

        return pad

    def expandtabs(text: Any, tabsize: int = 8) -> Any:
        tab = "\t" if kind is str else b"\t"
        budget.account_text(len(text) + text.count(tab) * max(0, tabsize))
        return real.expandtabs(text, tabsize)

    def parted(name: str) -> Method:
        method = getattr(real, name)

        def part(text: Any, *args: Any, **kwargs: Any) -> Any:
            budget.account_text(len(text))
            return method(text, *args, **kwargs)

        return part

    methods: dict[str, Method] = {"join": join, "replace": replace, "expandtabs": expandtabs}
    methods.update({name: padded(name) for name in ("ljust", "rjust", "center", "zfill")})
    methods.update({name: parted(name) for name in ("split", "rsplit", "splitlines")})
    return {(kind, name): method for name, method in methods.items()}


def _translate(guards: Guards, text: str, table: Any) -> str:
    values = table.values() if isinstance(table, Mapping) else ()
    widest = max((len(value) for value in values if isinstance(value, str)), default=1)
    guards.budget.account_text(len(text) * max(1, widest))
    return text.translate(table)


def _sort(guards: Guards, items: list[Any], options: dict[str, Any]) -> None:
    check_sortable(guards, len(items))
    items.sort(**options)


def check_sortable(guards: Guards, count: int) -> None:
    """Refuse to sort what would take longer than a call may."""
    if count > MAX_SORTED_ITEMS:
        raise LimitExceededError(
            f"sorting {count} items is more than the {MAX_SORTED_ITEMS} allowed"
        )
    guards.budget.account_items(count)


def _to_bytes(
    number: int, length: int = 1, byteorder: Any = "big", *, signed: bool = False
) -> bytes:
    if length > MAX_INT_BYTES:
        raise LimitExceededError(f"{length} bytes of an integer are more than {MAX_INT_BYTES}")
    return int(number).to_bytes(length, byteorder, signed=signed)


def _strftime(moment: Any, format: str) -> str:
    if len(format) > MAX_TIME_FORMAT or check_format_spec(format[:100]):
        raise LimitExceededError("this time format is too long or too wide")
    text: str = moment.strftime(format)
    return text


class _Formatter(string.Formatter):
    """``str.format`` without attributes and with bounded widths."""

    def __init__(self, guards: Guards) -> None:
        self._guards = guards

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        """Return a field; attributes are refused, indexes are allowed."""
        if "." in field_name:
            raise ConfinementError("attributes are not available in str.format; use an f-string")
        return super().get_field(field_name, args, kwargs)

    def format_field(self, value: Any, format_spec: str) -> str:
        """Return a formatted field within bounds."""
        return self._guards.sized(self._guards.format(value, format_spec))

    def convert_field(self, value: Any, conversion: Any) -> Any:
        """Return a converted field within bounds."""
        self._guards.shown_size(value)
        return super().convert_field(value, conversion)


def _format(guards: Guards, text: str, args: Any, kwargs: Any) -> str:
    return guards.sized(_Formatter(guards).vformat(text, args, kwargs))
