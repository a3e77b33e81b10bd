"""``mta.serde``: JSON, TOML and YAML, as texts and as files of the policy's folder.

Place in flow: exposed by ``all_modules``; files come from ``policy_files``.

Invariants:
    * A file that was loaded belongs to the epoch: a change of it is a reload.
    * The time of parsing and writing is asked for in advance, by size: a large file is for the load
      of the policy, not for a handler.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from engine.script_modules.policy_files import PolicyFiles, decode
from engine.script_modules.script_call import caller_budget
from engine.script_modules.toml_text import format_toml
from engine.script_modules.yaml_text import YamlError, format_yaml, parse_yaml
from policy.budget import LARGE_ITEMS
from policy.errors import LimitExceededError
from policy.script_api import ScriptNamespace
from policy.shown_size import measure

MODULE = "mta.serde"
CHARACTERS_MAX = 8 * 1024 * 1024
#: About what a character costs, nanoseconds: JSON in C, TOML in Python, YAML in both.
NS_PARSE = {"JSON": 15, "TOML": 600, "YAML": 800}
_NS_PER_SQUARE = 20
_FREE_DOTS = 200
_KEY_ENDS = re.compile(r"[=,]")
NS_WRITE = {"JSON": 10, "TOML": 150, "YAML": 600}


def _bounded_text(text: Any, kind: str) -> str:
    if isinstance(text, bytes):
        text = decode(text, kind)
    if not isinstance(text, str):
        raise TypeError(f"wants text, not {type(text).__name__[:100]}")
    if len(text) > CHARACTERS_MAX:
        raise LimitExceededError(f"more than {CHARACTERS_MAX} characters are too many to parse")
    budget = caller_budget()
    # What comes of it takes several times its space.
    if len(text) >= LARGE_ITEMS:
        budget.account(4 * len(text))
    budget.afford(len(text) * NS_PARSE[kind])
    return text


def _bounded_value(value: Any, kind: str) -> None:
    budget = caller_budget()
    size = measure(value, budget)
    budget.account_text(size)
    budget.afford(size * NS_WRITE[kind])


def _plain(value: Any) -> Any:
    if isinstance(value, MappingProxyType):
        return dict(value)
    raise TypeError(f"JSON has no {type(value).__name__[:100]}")


def json_encode(value: Any) -> str:
    """Return a value as JSON in one line."""
    _bounded_value(value, "JSON")
    return json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain
    )


def json_encode_pretty(value: Any) -> str:
    """Return a value as JSON for people."""
    _bounded_value(value, "JSON")
    return json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False, default=_plain)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"no JSON: {name} is no number of JSON")


def json_parse(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: It is none; the line is in the text.
    """
    source = _bounded_text(text, "JSON")
    try:
        return json.loads(source, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("no JSON: it is nested too deeply") from None


def toml_encode(value: Any) -> str:
    """Return a table as TOML."""
    _bounded_value(value, "TOML")
    return format_toml(value)


def toml_encode_pretty(value: Any) -> str:
    """Return a table as TOML, lists over several lines."""
    _bounded_value(value, "TOML")
    return format_toml(value, is_pretty=True)


def _cost_of_keys(line: str) -> int:
    """Return what the dotted keys of a line may cost, nanoseconds: the square of their parts."""
    dots = line.count(".")
    if dots < _FREE_DOTS:
        return 0
    if line.count('"') + line.count("'") < _FREE_DOTS:
        # Few quotes hide few of these: a key ends where one of them stands.
        dots = max(part.count(".") for part in _KEY_ENDS.split(line))
    return dots * dots * _NS_PER_SQUARE


def toml_parse(text: str | bytes) -> dict[str, Any]:
    """Return the table of a TOML text.

    Raises:
        ValueError: It is none; the line is in the text.
    """
    source = _bounded_text(text, "TOML")
    caller_budget().afford(sum(map(_cost_of_keys, source.split("\n"))))
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"no TOML: {error}") from None
    except RecursionError:
        raise ValueError("no TOML: it is nested too deeply") from None


def yaml_encode(value: Any) -> str:
    """Return a value as YAML."""
    _bounded_value(value, "YAML")
    return format_yaml(value)


def yaml_parse(text: str | bytes) -> Any:
    """Return the value of a YAML text, as YAML 1.2 has it: ``no`` is text.

    Raises:
        ValueError: It is none; the line is in the text.
    """
    source = _bounded_text(text, "YAML")
    try:
        value = parse_yaml(source)
    except YamlError as error:
        raise ValueError(f"no YAML: {error}") from None
    # What an anchor names several times is there once, and would be huge wherever it is copied.
    measure(value, caller_budget())
    return value


class DataFiles:
    """Loads files of the policy's folder."""

    def __init__(self, files: PolicyFiles) -> None:
        self._files = files

    def _load(self, path: str, parse: Callable[[str], Any]) -> Any:
        text = decode(self._files.load(path, is_watched=True), path)
        try:
            return parse(text)
        except LimitExceededError:
            raise
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def json_load(self, path: str) -> Any:
        """Return the value of a JSON file; a change of it is a reload."""
        return self._load(path, json_parse)

    def toml_load(self, path: str) -> Any:
        """Return the table of a TOML file; a change of it is a reload."""
        return self._load(path, toml_parse)

    def yaml_load(self, path: str) -> Any:
        """Return the value of a YAML file; a change of it is a reload."""
        return self._load(path, yaml_parse)


def expose_serde(namespace: ScriptNamespace, files: PolicyFiles) -> None:
    """Make ``mta.serde`` importable by scripts."""
    loads = DataFiles(files)
    for function in (
        json_encode,
        json_encode_pretty,
        json_parse,
        loads.json_load,
        toml_encode,
        toml_encode_pretty,
        toml_parse,
        loads.toml_load,
        yaml_encode,
        yaml_parse,
        loads.yaml_load,
    ):
        namespace.expose(function.__name__, function, module=MODULE)
