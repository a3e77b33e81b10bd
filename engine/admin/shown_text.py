"""Texts of scripts, files and peers, as answers carry them.

Place in flow: used by the operations of ``engine.admin`` that show what was written elsewhere.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: Of a text this many characters.
TEXT_MAX = 2000


def shown_text(text: str) -> str:
    """Return a text cut to what an answer carries, without what no UTF-8 can hold."""
    return text[:TEXT_MAX].encode("utf-8", "replace").decode()


def shown_value(value: Any) -> Any:
    """Return a value as it is, or the beginning of its text where it is none that JSON has."""
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError):
        return shown_text(str(value))
    return value if len(encoded) <= TEXT_MAX else shown_text(encoded.decode())
