"""YAML text to plain values and back, as YAML 1.2 has it.

Place in flow: ``serialization`` reads and writes with it; the package is loaded at first use.

Invariants:
    * ``no``, ``on``, ``12:30``, ``0123`` and dates are text or plain numbers, not truth values,
      sexagesimals, octals or dates: a country code stays one.
    * No tag makes an object; a key that stands twice is an error.
    * Merging (``<<``) makes at most ``MERGED_MAX`` values of a text, so that a few lines cannot
      make a huge one. It is done here: the package lets the first of two merged values win (6.0.4).

Standard: YAML 1.2.2, core schema.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

MERGED_MAX = 100_000
_MERGE = "tag:yaml.org,2002:merge"
#: What there is in the core schema.
_KINDS = frozenset({"null", "bool", "int", "float", "str", "seq", "map"})
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
    (_MERGE, r"(?:<<)\Z", "<"),
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
        except (ValueError, KeyError):
            raise YamlError("a value does not fit its tag") from None

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
    text = " ".join(str(problem).split())
    return f"line {mark.line + 1}: {text}" if mark is not None else text


def _loader(package: Any) -> type:
    base: Any = getattr(package, "CSafeLoader", package.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        """The safe loader with the core schema."""

        yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

        yaml_constructors: dict[str | None, Any] = {  # noqa: RUF012
            tag: construct
            for tag, construct in base.yaml_constructors.items()
            if tag is None or tag.rpartition(":")[2] in _KINDS
        }

        def __init__(self, stream: Any) -> None:
            super().__init__(stream)
            self._flattened: dict[int, Any] = {}
            self._merged = 0

        def flatten_mapping(self, node: Any) -> None:
            """Merge what ``<<`` names into a table; what stands in the table itself wins."""
            if id(node) in self._flattened:
                return
            self._flattened[id(node)] = node
            own, merged = dict[Any, Any](), dict[Any, Any]()
            for key, value in node.value:
                if key.tag == _MERGE:
                    self._merge(node, value, merged)
                    continue
                name = _identity(key)
                if name in own:
                    raise self._error(f"the key {key.value!r} stands twice", key)
                own[name] = (key, value)
            node.value = [pair for name, pair in merged.items() if name not in own]
            node.value += own.values()

        def _merge(self, node: Any, value: Any, merged: dict[Any, Any]) -> None:
            sources = value.value if isinstance(value, package.SequenceNode) else [value]
            for source in sources:
                if not isinstance(source, package.MappingNode):
                    raise self._error("<< wants a table or a list of tables", node)
                self.flatten_mapping(source)
                self._merged += len(source.value)
                if self._merged > MERGED_MAX:
                    raise self._error("merging makes too many values", node)
                for pair in source.value:
                    # A table that merges itself is still being looked at here.
                    if pair[0].tag != _MERGE:
                        merged.setdefault(_identity(pair[0]), pair)

        @staticmethod
        def _error(text: str, node: Any) -> Exception:
            error: Exception = package.constructor.ConstructorError(
                None, None, text, node.start_mark
            )
            return error

    return _with_core_schema(Loader)


def _with_core_schema(loader: Any) -> type:
    for tag, pattern, first in _RESOLVED:
        loader.add_implicit_resolver(tag, re.compile(pattern), [*first])
    empty = ("tag:yaml.org,2002:null", re.compile(r"\Z"))
    loader.yaml_implicit_resolvers.setdefault("", []).append(empty)
    loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
    made: type = loader
    return made


def _identity(key: Any) -> Any:
    """Return what makes two keys the same: kind and text of a scalar."""
    return (key.tag, key.value) if isinstance(key.value, str) else id(key)


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

    for tag, pattern, first in _RESOLVED:
        # Text that the reader would take for something else is quoted, beside what YAML 1.1 quotes.
        Dumper.add_implicit_resolver(tag, re.compile(pattern), [*first])
    return Dumper
