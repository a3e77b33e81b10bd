"""YAML text to plain values and back, as YAML 1.2 has it.

Place in flow: ``serialization`` reads and writes with it; the package is loaded at first use.

Invariants:
    * ``no``, ``on``, ``12:30``, ``0123`` and dates are text or plain numbers, not truth values,
      sexagesimals, octals or dates: a country code stays one.
    * No tag makes an object; a key that stands twice is an error.
    * Merging (``<<``) makes no table larger than ``MERGED_MAX``, so that a few lines cannot make a
      huge value.

Standard: YAML 1.2.2, core schema.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

MERGED_MAX = 10_000
_RESOLVED = (
    ("tag:yaml.org,2002:bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF"),
    ("tag:yaml.org,2002:int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
        r"|\.(?:nan|NaN|NAN))\Z",
        "-+0123456789.",
    ),
    ("tag:yaml.org,2002:null", r"(?:~|null|Null|NULL|)\Z", "~nN"),
    ("tag:yaml.org,2002:merge", r"(?:<<)\Z", "<"),
)


class YamlError(ValueError):
    """A text is no YAML, or none of plain values; the line is in the text."""


class _Yaml(NamedTuple):
    parse: Callable[[str], Any]
    format: Callable[[Any], str]


def parse_yaml(text: str) -> Any:
    """Return the value of a text with one document.

    Raises:
        YamlError: It is no YAML.
        RuntimeError: The package is not installed.
    """
    return _yaml().parse(text)


def format_yaml(value: Any) -> str:
    """Return a value as YAML.

    Raises:
        YamlError: It holds what YAML does not know.
        RuntimeError: The package is not installed.
    """
    return _yaml().format(value)


@cache
def _yaml() -> _Yaml:
    try:
        package: Any = importlib.import_module("yaml")
    except ImportError:
        raise RuntimeError("YAML needs the package PyYAML: pip install PyYAML") from None
    loader, dumper = _loader(package), _dumper(package)

    def parse(text: str) -> Any:
        try:
            return package.load(text, Loader=loader)
        except (package.YAMLError, RecursionError) as error:
            raise YamlError(_explained(error)) from None

    def make(value: Any) -> str:
        try:
            text: str = package.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True)
        except (package.YAMLError, RecursionError) as error:
            raise YamlError(f"YAML cannot hold this: {_explained(error)}") from None
        return text

    return _Yaml(parse, make)


def _explained(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or str(error) or "is nested too deeply"
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)


def _loader(package: Any) -> type:
    base: Any = getattr(package, "CSafeLoader", package.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        """The safe loader with the core schema."""

        yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

        def __init__(self, stream: Any) -> None:
            super().__init__(stream)
            self._looked_at: dict[int, Any] = {}

        def flatten_mapping(self, node: Any) -> None:
            # Called for each table before it is made, and for what it merges in before that.
            if id(node) not in self._looked_at:
                self._looked_at[id(node)] = node
                _refuse_twice(package, node)
            super().flatten_mapping(node)
            if len(node.value) > MERGED_MAX:
                raise package.constructor.ConstructorError(
                    None, None, "merging makes this table too large", node.start_mark
                )

    for tag, pattern, first in _RESOLVED:
        Loader.add_implicit_resolver(tag, re.compile(pattern), [*first])
    Loader.yaml_implicit_resolvers.setdefault("", []).append(
        ("tag:yaml.org,2002:null", re.compile(r"\Z"))
    )
    Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
    return Loader


def _refuse_twice(package: Any, node: Any) -> None:
    keys: set[tuple[str, str]] = set()
    for key, _ in node.value:
        if not isinstance(key, package.ScalarNode) or key.tag.endswith(":merge"):
            continue
        if (key.tag, key.value) in keys:
            raise package.constructor.ConstructorError(
                None, None, f"the key {key.value!r} stands twice", key.start_mark
            )
        keys.add((key.tag, key.value))


def _construct_int(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node)
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    return int(text[2:] if base != 10 else text, base)


def _dumper(package: Any) -> type:
    base: Any = getattr(package, "CSafeDumper", package.SafeDumper)

    class Dumper(base):  # type: ignore[misc]
        """The safe dumper, which repeats what stands twice."""

        def ignore_aliases(self, data: Any) -> bool:
            del data
            return True

    return Dumper
