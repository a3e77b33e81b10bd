"""``helpers.policy_utils``: small things that policies of the field are written with.

Place in flow: scripts call these anywhere.

Invariants:
    * Every walk through a value of a script is bounded in depth, and counted in its budget.
    * A file comes from the folder of the policy; read while the script loads, it is watched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import re2

from engine.base.data_file import DataFileError, parse_data_file
from engine.helpers.helper_file import find_file, read_watched
from engine.script_metadata import plain_copy
from engine.script_modules.plain_value import copy_plain
from engine.script_modules.script_call import caller_budget, caller_epoch
from policy.errors import ConfinementError, PolicyError
from policy.script_api import ScriptNamespace

NAME = "policy_utils"
DEPTH_MAX = 32
PATTERN_MAX = 4096
PORT_MAX = 65535


def load_json_or_toml_file(path: Any) -> dict[str, Any]:
    """Return the content of a file, by its suffix; a table is returned as it is.

    Args:
        path: Relative to the folder of the policy, or a table.
    """
    if isinstance(path, Mapping):
        return _copy(path)  # type: ignore[no-any-return]
    epoch = caller_epoch()
    if epoch is None or not epoch.native.is_open:
        raise PolicyError("files are loaded at the top of the script, outside of handlers")
    if not isinstance(path, str):
        raise TypeError(f"the name of a file is expected, not {type(path).__name__[:100]}")
    found = find_file(epoch, path)
    if not found.resolve().is_relative_to(epoch.native.folder):
        raise ConfinementError(f"{path[:200]!r} lies outside the folder of the policy")
    content = read_watched(epoch, found, path)
    caller_budget().account_text(len(content))
    try:
        is_json = found.suffix.lower() == ".json"
        return parse_data_file(content, path, is_json=is_json).values
    except DataFileError as error:
        raise ValueError(str(error)) from None


def merge_into(src: Mapping[str, Any], dst: dict[str, Any]) -> dict[str, Any]:
    """Copy the keys of one table into another, and return that."""
    _check_tables(src, dst)
    caller_budget().account_items(len(src))
    dst.update(src)
    return dst


def recursive_merge_into(src: Mapping[str, Any], dst: dict[str, Any]) -> dict[str, Any]:
    """Copy the keys of one table into another, tables in tables too, and return that."""
    _check_tables(src, dst)
    _merge(_copy(src), dst, 0, caller_budget().tick)
    return dst


def _merge(
    src: dict[str, Any], dst: dict[str, Any], depth: int, tick: Callable[[], object]
) -> None:
    if depth > DEPTH_MAX:
        raise ValueError("tables nested too deeply")
    for key, value in src.items():
        tick()
        held = dst.get(key)
        if type(value) is dict and type(held) is dict:
            _merge(value, held, depth + 1, tick)
        else:
            dst[key] = value


def _check_tables(src: Any, dst: Any) -> None:
    if not isinstance(src, Mapping) or type(dst) is not dict:
        raise TypeError("two tables are expected")


def _copy(value: Any) -> Any:
    return copy_plain(dict(value) if isinstance(value, Mapping) else value, caller_budget()).value


def split_ip_port(text: str) -> tuple[str, int]:
    """Return address and port of "ip:port" or "[ipv6]:port"."""
    if not isinstance(text, str):
        raise TypeError(f"text is expected, not {type(text).__name__[:100]}")
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if is_bracketed else host
    is_port = port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= PORT_MAX
    if not colon or not bare or not is_port or (":" in bare and not is_bracketed):
        raise ValueError(f"'ip:port' or '[ipv6]:port' is expected, not {text[:100]!r}")
    return bare, int(port)


def starts_with(text: str, prefix: str) -> bool:
    """Return whether a text begins with another."""
    return text.startswith(prefix)


def ends_with(text: str, suffix: str) -> bool:
    """Return whether a text ends with another."""
    return text.endswith(suffix)


def table_contains(table: Any, value: Any) -> bool:
    """Return whether a value is among those of a list or table."""
    items = list(table.values()) if isinstance(table, Mapping) else list(table)
    caller_budget().account_items(len(items))
    return value in items


def table_keys(table: Mapping[str, Any]) -> list[Any]:
    """Return the keys of a table."""
    caller_budget().account_items(len(table))
    return list(table)


def table_is_empty(table: Any) -> bool:
    """Return whether a list or table holds nothing."""
    return len(table) == 0


def equals(left: Any, right: Any) -> bool:
    """Return whether two plain values are equal, inside too."""
    return bool(_copy(left) == _copy(right))


def assert_eq(left: Any, right: Any, message: str = "") -> None:
    """Fail unless two plain values are equal."""
    if not equals(left, right):
        raise AssertionError(f"{_short(left)} is not {_short(right)}. {message[:500]}".rstrip(" ."))


def assert_ne(left: Any, right: Any, message: str = "") -> None:
    """Fail if two plain values are equal."""
    if equals(left, right):
        raise AssertionError(f"both are {_short(left)}. {message[:500]}".rstrip(" ."))


def assert_matches(text: str, pattern: str, message: str = "") -> None:
    """Fail unless a pattern (of RE2) is found in a text."""
    if not isinstance(text, str) or not isinstance(pattern, str) or len(pattern) > PATTERN_MAX:
        raise TypeError("a text and a pattern are expected")
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"not a pattern: {error}") from None
    if compiled.search(text) is None:
        shown = f"{_short(text)} does not match {_short(pattern)}"
        raise AssertionError(f"{shown}. {message[:500]}".rstrip(" ."))


def _short(value: Any) -> str:
    return dumps(value)[:200]


def dumps(value: Any) -> str:
    """Return a plain value as JSON."""
    text = json.dumps(plain_copy(_copy(value)), ensure_ascii=False)
    caller_budget().account_text(len(text))
    return text


def expose_policy_utils(namespace: ScriptNamespace) -> None:
    """Make ``helpers.policy_utils`` importable by scripts."""
    for function in (
        load_json_or_toml_file,
        merge_into,
        recursive_merge_into,
        split_ip_port,
        starts_with,
        ends_with,
        table_contains,
        table_keys,
        table_is_empty,
        equals,
        assert_eq,
        assert_ne,
        assert_matches,
        dumps,
    ):
        namespace.expose(function.__name__, function, module=f"helpers.{NAME}")
