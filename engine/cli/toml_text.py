"""Configuration as an operator would write it: options of an answer as TOML.

Place in flow: verbs that show a path or a queue.

Standard: TOML 1.0, as far as options need it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def format_toml(options: Mapping[str, Any]) -> str:
    """Return options by their names, tables after all others; what is null is left out."""
    return "".join(f"{line}\n" for line in _lines(options, ""))


def _lines(options: Mapping[str, Any], prefix: str) -> Iterator[str]:
    known = {name: value for name, value in sorted(options.items()) if value is not None}
    for name, value in known.items():
        if not isinstance(value, Mapping):
            yield f"{_key(name)} = {_value(value)}"
    for name, value in known.items():
        if isinstance(value, Mapping) and value:
            path = f"{prefix}{_key(name)}"
            yield ""
            yield f"[{path}]"
            yield from _lines(value, f"{path}.")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        pairs = (f"{_key(name)} = {_value(one)}" for name, one in value.items() if one is not None)
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    return json.dumps(value)


def _text(text: str) -> str:
    # A string of JSON is one of TOML, but for DEL, and for halves of pairs, which are no text.
    return json.dumps(text).replace("\x7f", "\\u007f")
