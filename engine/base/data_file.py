"""Data files of operators, TOML or JSON, with the line of every key.

Place in flow: helpers and shaping read their files through here; findings name file and line.

Invariants:
    * Values come from the standard parsers; the syntax tree only says where they stand.
    * A file that is no TOML or JSON is one error with its line, never a traceback.

Standard: TOML 1.0, RFC 8259 (JSON).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import tree_sitter_json
import tree_sitter_toml
from tree_sitter import Language, Node, Parser

#: The largest file read, octets.
SIZE_MAX = 32 << 20

#: Where a value stands in a file: keys of tables and indexes of arrays.
KeyPath = tuple[str | int, ...]


class DataFileError(ValueError):
    """A data file that cannot be read; ``file`` and ``line`` say where."""

    def __init__(self, file: str, line: int | None, text: str) -> None:
        super().__init__(f"{file}:{line}: {text}" if line else f"{file}: {text}")
        self.file = file
        self.line = line
        self.text = text


@dataclass(frozen=True, slots=True)
class DataFile:
    """What a file holds.

    Attributes:
        name: The file, as the operator wrote it.
        values: Its top-level table.
        lines: The line of each key and array element, counted from 1.
    """

    name: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int]

    def line_of(self, *path: str | int) -> int | None:
        """Return the line of a value, or of the nearest table around it."""
        for length in range(len(path), 0, -1):
            line = self.lines.get(path[:length])
            if line is not None:
                return line
        return None


def load_data_file(path: Path, name: str | None = None) -> DataFile:
    """Return the content of a file; its suffix says whether it is JSON, else it is TOML.

    Raises:
        DataFileError: It cannot be read, or is neither.
    """
    shown = name if name is not None else str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(SIZE_MAX + 1)
    except OSError as error:
        raise DataFileError(shown, None, f"cannot be read: {error.strerror}") from error
    return parse_data_file(raw, shown, is_json=path.suffix.lower() == ".json")


def parse_data_file(raw: bytes, name: str, *, is_json: bool) -> DataFile:
    """Return the content of a TOML or JSON text.

    Raises:
        DataFileError: It is none, or is too large, or holds no table.
    """
    if len(raw) > SIZE_MAX:
        raise DataFileError(name, None, f"is larger than {SIZE_MAX >> 20} MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataFileError(name, line, "is not UTF-8") from error
    return _parse_json(text, name) if is_json else _parse_toml(text, name)


def _parse_json(text: str, name: str) -> DataFile:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataFileError(name, error.lineno, f"no JSON: {error.msg}") from error
    except RecursionError:
        raise DataFileError(name, None, "is nested too deeply") from None
    if not isinstance(values, dict):
        raise DataFileError(name, 1, "wants an object at the top")
    root = _parser("json").parse(text.encode()).root_node
    lines: dict[KeyPath, int] = {}
    for node in root.named_children:
        lines.update(_json_lines(node, ()))
    return DataFile(name, values, lines)


def _parse_toml(text: str, name: str) -> DataFile:
    # The standard parser knows CRLF, the tree does not need to.
    root = _parser("toml").parse(text.encode()).root_node
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DataFileError(name, _first_error_line(root), f"no TOML: {error}") from error
    except RecursionError:
        raise DataFileError(name, None, "is nested too deeply") from None
    lines = dict(_toml_lines(root))
    for path, line in list(lines.items()):
        # A table that only appears as part of a longer header has a line too.
        for length in range(1, len(path)):
            lines.setdefault(path[:length], line)
    return DataFile(name, values, lines)


@lru_cache(maxsize=2)
def _parser(kind: str) -> Parser:
    source = tree_sitter_json if kind == "json" else tree_sitter_toml
    return Parser(Language(source.language()))


def _line(node: Node) -> int:
    return node.start_point.row + 1


def _first_error_line(root: Node) -> int | None:
    """Return the line of the first place that is no TOML, None where only the meaning is wrong."""
    stack = [root]
    while stack:
        node = stack.pop()
        if node.type == "ERROR" or node.is_missing:
            return _line(node)
        if node.has_error:
            stack.extend(reversed(node.children))
    return None


# -- JSON ------------------------------------------------------------------------------------


def _json_lines(node: Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    stack = [(node, path)]
    while stack:
        node, path = stack.pop()
        if node.type == "object":
            for pair in node.named_children:
                key, value = pair.child_by_field_name("key"), pair.child_by_field_name("value")
                if key is None or value is None:
                    continue
                inner = (*path, str(json.loads(_text(key))))
                yield inner, _line(key)
                stack.append((value, inner))
        elif node.type == "array":
            elements = (one for one in node.named_children if one.type != "comment")
            for index, element in enumerate(elements):
                yield (*path, index), _line(element)
                stack.append((element, (*path, index)))


def _text(node: Node) -> str:
    return (node.text or b"").decode()


# -- TOML ------------------------------------------------------------------------------------

_KEYS = frozenset({"bare_key", "quoted_key", "dotted_key"})


def _toml_lines(root: Node) -> Iterator[tuple[KeyPath, int]]:
    lengths: dict[KeyPath, int] = {}
    for node in root.named_children:
        if node.type == "pair":
            yield from _pair_lines(node, ())
        elif node.type in ("table", "table_array_element"):
            header = next((one for one in node.named_children if one.type in _KEYS), None)
            if header is None:
                continue
            path = _header_path(_key_parts(header), lengths, node.type == "table_array_element")
            yield path, _line(header)
            for child in node.named_children:
                if child.type == "pair":
                    yield from _pair_lines(child, path)


def _header_path(parts: list[str], lengths: dict[KeyPath, int], is_array: bool) -> KeyPath:
    """Return the path of a table: a key that names an array of tables means its last element."""
    path: KeyPath = ()
    for number, part in enumerate(parts, 1):
        path = (*path, part)
        if is_array and number == len(parts):
            lengths[path] = lengths.get(path, 0) + 1
        if path in lengths:
            path = (*path, lengths[path] - 1)
    return path


def _key_parts(node: Node) -> list[str]:
    if node.type == "dotted_key":
        return [part for child in node.named_children for part in _key_parts(child)]
    if node.type == "quoted_key":
        return list(tomllib.loads(f"{_text(node)} = 0"))
    return [_text(node)]


def _pair_lines(pair: Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    key = pair.named_children[0]
    for part in _key_parts(key):
        path = (*path, part)
        yield path, _line(key)
    yield from _value_lines(pair.named_children[-1], path)


def _value_lines(node: Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    if node.type == "inline_table":
        for pair in node.named_children:
            if pair.type == "pair":
                yield from _pair_lines(pair, path)
    elif node.type == "array":
        elements = (one for one in node.named_children if one.type != "comment")
        for index, element in enumerate(elements):
            yield (*path, index), _line(element)
            yield from _value_lines(element, (*path, index))
