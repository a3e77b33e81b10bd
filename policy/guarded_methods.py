"""Methods of builtin types that make much out of little, with a bound.

Place in flow: ``guards.attribute`` looks here by type and name; everything else about the
builtin types is used as it is.
"""

from __future__ import annotations

import datetime
import string
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from policy.budget import LARGE_ITEMS, MAX_ITEMS, SMALL_ITEMS
from policy.errors import ConfinementError, LimitExceededError
from policy.guarded_types import int_from_bytes
from policy.sandbox_names import check_format_spec

if TYPE_CHECKING:
    from policy.guards import Guards

MAX_SORTED_ITEMS = 200_000
NS_PER_SORTED_ITEM = 200
# Codecs that take linear time, and the most one character becomes in bytes.
_FAST_CODECS = {"utf8": 4, "ascii": 1, "latin1": 1, "iso88591": 1, "utf16": 4, "utf32": 4}
MAX_CODED_CHARACTERS = 4_096
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
    methods[deque, "extend"] = lambda items, more: items.extend(guards.bounded(more))
    methods[deque, "extendleft"] = lambda items, more: items.extendleft(guards.bounded(more))
    methods[str, "encode"] = _coded(guards, str.encode)
    methods[bytes, "decode"] = _coded(guards, bytes.decode)
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

        def part(text: Any, sep: Any = None, maxsplit: int = -1) -> Any:
            if len(text) < LARGE_ITEMS:
                return method(text, sep, maxsplit)
            budget.account_text(len(text))
            found = method(text, sep, MAX_ITEMS if maxsplit < 0 else min(maxsplit, MAX_ITEMS))
            budget.account_items(len(found))
            return found

        return part

    def splitlines(text: Any, keepends: bool = False) -> Any:
        if len(text) >= LARGE_ITEMS:
            budget.account_text(len(text))
            ends = _LINE_ENDS if kind is str else (b"\n", b"\r")
            budget.account_items(sum(text.count(end) for end in ends))
        return real.splitlines(text, keepends)

    methods: dict[str, Method] = {"join": join, "replace": replace, "expandtabs": expandtabs}
    methods.update({name: padded(name) for name in ("ljust", "rjust", "center", "zfill")})
    methods.update({name: parted(name) for name in ("split", "rsplit")})
    methods["splitlines"] = splitlines
    return {(kind, name): method for name, method in methods.items()}


_LINE_ENDS = ("\n", "\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")


def _translate(guards: Guards, text: str, table: Any) -> str:
    # What the table gives is asked for once for each character there is, and measured before
    # the text is made: a table may be an object of the script.
    plain: dict[int, Any] = {}
    size = 0
    for letter in set(text):
        guards.budget.tick()
        try:
            value = table[ord(letter)]
        except LookupError:
            continue
        plain[ord(letter)] = value
        if isinstance(value, str) and len(value) > 1:
            size += len(value) * text.count(letter)
    guards.budget.account_text(len(text) + size)
    return text.translate(plain)


def _coded(guards: Guards, method: Callable[..., Any]) -> Method:
    def code(text: Any, encoding: str = "utf-8", errors: str = "strict") -> Any:
        if len(text) >= SMALL_ITEMS:
            factor = _FAST_CODECS.get(encoding.lower().replace("-", "").replace("_", ""))
            if factor is None and len(text) > MAX_CODED_CHARACTERS:
                raise LimitExceededError(
                    f"the codec {encoding[:40]!r} takes at most {MAX_CODED_CHARACTERS} characters"
                )
            wide = factor is None or errors not in {"strict", "ignore", "replace"}
            guards.budget.account_text(len(text) * (10 if wide and not text.isascii() else 1))
        return method(text, encoding, errors)

    return code


def _sort(guards: Guards, items: list[Any], options: dict[str, Any]) -> None:
    check_sortable(guards, items)
    items.sort(**options)


def check_sortable(guards: Guards, items: list[Any]) -> None:
    """Refuse to sort what would take longer than a call may."""
    count = len(items)
    if count > MAX_SORTED_ITEMS:
        raise LimitExceededError(
            f"sorting {count} items is more than the {MAX_SORTED_ITEMS} allowed"
        )
    if count < SMALL_ITEMS:
        return
    guards.budget.account_items(count)
    compared = count.bit_length() * count
    length = 0
    if isinstance(items[0], (str, bytes)):
        # Each comparison may go through the whole of both.
        length = sum(len(item) for item in items if isinstance(item, (str, bytes))) // count
    guards.budget.afford(count * NS_PER_SORTED_ITEM + compared * length // 16)


def _to_bytes(
    number: int, length: int = 1, byteorder: Any = "big", *, signed: bool = False
) -> bytes:
    if length > MAX_INT_BYTES:
        raise LimitExceededError(f"{length} bytes of an integer are more than {MAX_INT_BYTES}")
    return int(number).to_bytes(length, byteorder, signed=signed)


def _check_time_format(format: Any) -> None:
    if len(format) > MAX_TIME_FORMAT or check_format_spec(format[:100]):
        raise LimitExceededError("this time format is too long or too wide")


def _strftime(moment: Any, format: str) -> str:
    _check_time_format(format)
    text: str = moment.strftime(format)
    return text


def _strptime(text: str, format: str) -> datetime.datetime:
    _check_time_format(format)
    if len(text) > MAX_TIME_FORMAT:
        raise LimitExceededError("this is too long for a time")
    return datetime.datetime.strptime(text, format)  # noqa: DTZ007 - the script's own choice


#: Guarded class methods: found on the type and on its objects, and not given either.
CLASS_METHODS: dict[tuple[type, str], Method] = {
    (int, "from_bytes"): int_from_bytes,
    (datetime.datetime, "strptime"): _strptime,
}


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
