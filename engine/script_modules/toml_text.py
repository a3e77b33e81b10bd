"""TOML text of plain values.

Place in flow: ``serialization`` writes with it; the standard library only reads TOML.

Invariants:
    * What it writes, ``tomllib`` reads back as the same values.
    * In a table plain values come before tables, as TOML wants it; else the order stays.

Standard: TOML 1.0.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_INT_MAX = 1 << 63


def format_toml(value: Any, *, is_pretty: bool = False) -> str:
    """Return a table as TOML.

    Args:
        value: A dict with text as keys.
        is_pretty: Whether lists of several values get a line for each.

    Raises:
        TypeError: It is no table, or holds what TOML does not know, such as None.
    """
    if not isinstance(value, Mapping):
        raise TypeError("TOML is a table: wants a dict")
    lines: list[str] = []
    _write_table(value, (), lines, is_pretty=is_pretty)
    return "\n".join(lines).lstrip("\n") + "\n" if lines else ""


def _write_table(
    table: Mapping[str, Any], path: tuple[str, ...], lines: list[str], *, is_pretty: bool
) -> None:
    inner: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = _key(key)
        if isinstance(value, Mapping) or _is_table_list(value):
            inner.append((name, value))
        else:
            lines.append(f"{name} = {_value(value, is_pretty=is_pretty)}")
    for name, value in inner:
        here = (*path, name)
        if isinstance(value, Mapping):
            lines += ["", f"[{'.'.join(here)}]"]
            _write_table(value, here, lines, is_pretty=is_pretty)
            continue
        for each in value:
            lines += ["", f"[[{'.'.join(here)}]]"]
            _write_table(each, here, lines, is_pretty=is_pretty)


def _is_table_list(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(each, Mapping) for each in value)
    )


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key of TOML is text, not {type(key).__name__[:100]}")
    return key if _BARE_KEY.match(key) else _text(key)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any, *, is_pretty: bool = False) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            if not -_INT_MAX <= value < _INT_MAX:
                raise ValueError("an integer of TOML has 64 bits")
            return str(value)
        case float():
            return _float(value)
        case str():
            return _text(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case Mapping():
            inner = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple():
            items = [_value(item) for item in value]
            if is_pretty and len(items) > 1:
                return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
            return f"[{', '.join(items)}]"
    raise TypeError(f"TOML has no {type(value).__name__[:100]}")


def _float(value: float) -> str:
    if math.isfinite(value):
        text = repr(value)
        return text if "." in text or "e" in text else f"{text}.0"
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
