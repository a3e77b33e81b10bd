"""Plain tables written as TOML, for shaping files that tests make up."""

from __future__ import annotations

import json
from typing import Any


def to_toml(values: dict[str, Any]) -> str:
    """Return tables as TOML: a header for each table and list of tables, the rest inline."""
    lines: list[str] = []
    _table(values, "", lines)
    return "\n".join(lines) + "\n"


def _table(table: dict[str, Any], header: str, lines: list[str]) -> None:
    later = []
    for key, value in table.items():
        name = f"{header}.{_text(key)}" if header else _text(key)
        if isinstance(value, dict) and header.count(".") < 3 and not key.startswith("additional"):
            later.append((f"[{name}]", name, value))
        elif key == "automation":
            later += [(f"[[{name}]]", name, one) for one in value]
        else:
            lines.append(f"{_text(key)} = {inline(value)}")
    for title, name, value in later:
        lines.append(title)
        if title.startswith("[["):
            lines += [f"{_text(key)} = {inline(inner)}" for key, inner in value.items()]
        else:
            _table(value, name, lines)


def inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)} = {inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(inline(one) for one in value) + "]"
    return _text(value)


def _text(value: Any) -> str:
    """Return text, numbers and truth values: TOML writes them as JSON does, nearly."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
