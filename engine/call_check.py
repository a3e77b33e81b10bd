"""Calls of ``mta.make_*`` in the text of scripts, checked where they stand.

Place in flow: ``engine.dry_check`` asks for each epoch. The dry calls see only the branches that
made-up names lead into; this looks at every call, also at those of a branch for one tenant only.

Invariants:
    * Nothing is run: keywords are compared with the known options, literal values are read as the
      constructor would read them. What is computed is left to the call itself.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from engine.model import egress, listener_domain, queue_config
from engine.model.egress_options import PATH_OPTIONS
from engine.model.keyword_options import OptionTable, closest
from policy.hook_registry import PolicyFinding
from policy.sandbox import UNREADABLE

#: What is checked: the options by constructor, and the constructor for what they are together.
_TABLES: Mapping[str, OptionTable] = {
    "make_egress_path": PATH_OPTIONS,
    "make_egress_pool": egress.POOL_OPTIONS,
    "make_egress_source": egress.SOURCE_OPTIONS,
    "make_listener_domain": listener_domain.OPTIONS,
    "make_queue_config": queue_config.OPTIONS,
}
_MAKERS: Mapping[str, Callable[..., Any]] = {
    "make_egress_path": egress.make_egress_path,
    "make_egress_pool": egress.make_egress_pool,
    "make_egress_source": egress.make_egress_source,
    "make_listener_domain": listener_domain.make_listener_domain,
    "make_queue_config": queue_config.make_queue_config,
}


_Found = tuple[int, Literal["error", "warning"], str]


def check_calls(files: Iterable[Path]) -> list[PolicyFinding]:
    """Return the options that do not fit, or are not in force, in the scripts among some files."""
    findings: list[PolicyFinding] = []
    for path in sorted(files):
        if path.suffix != ".py":
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except UNREADABLE:
            # It changed since it was loaded: the next load looks at it.
            continue
        for line, severity, text in _check_tree(tree):
            findings.append(PolicyFinding(str(path), line, severity, text))
    return findings


def _check_tree(tree: ast.Module) -> Iterator[_Found]:
    modules, names = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            maker = _maker_of(node.func, modules, names)
            if maker is not None:
                yield from _check_call(maker, node)


def _imported(tree: ast.Module) -> tuple[set[str], dict[str, str]]:
    """Return the names under which a script knows ``mta``, and what it imported from it."""
    modules: set[str] = set()
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {one.asname or one.name for one in node.names if one.name == "mta"}
        elif isinstance(node, ast.ImportFrom) and node.module == "mta":
            names |= {one.asname or one.name: one.name for one in node.names}
    return modules, names


def _maker_of(function: ast.expr, modules: set[str], names: dict[str, str]) -> str | None:
    found: str | None = None
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        found = function.attr if function.value.id in modules else None
    elif isinstance(function, ast.Name):
        found = names.get(function.id)
    return found if found in _TABLES else None


def _check_call(maker: str, call: ast.Call) -> Iterator[_Found]:
    table = _TABLES[maker]
    literal: dict[str, Any] = {}
    has_error = False
    for keyword in call.keywords:
        if keyword.arg is None:
            continue
        line = keyword.value.lineno
        option = table.get(keyword.arg)
        if option is None:
            has_error = True
            hint = closest(keyword.arg, table)
            yield line, "error", f"{maker}: unknown option {keyword.arg!r}{hint}"
            continue
        try:
            value = ast.literal_eval(keyword.value)
        except (ValueError, TypeError, MemoryError, RecursionError):
            continue
        literal[keyword.arg] = value
        try:
            if value is not None:
                option.convert(value)
        except (ValueError, TypeError, OverflowError) as error:
            has_error = True
            yield line, "error", f"{maker}: {keyword.arg}: {error}"
    if not has_error:
        yield from _check_whole(maker, literal, call.lineno)


def _check_whole(maker: str, literal: dict[str, Any], line: int) -> Iterator[_Found]:
    """Have the constructor judge the literal options together."""
    if "name" in _TABLES[maker]:
        literal.setdefault("name", "example")
    try:
        made = _MAKERS[maker](**literal)
    except (ValueError, TypeError) as error:
        yield line, "error", str(error)
        return
    for note in made.unsupported(literal):
        yield line, "warning", f"{maker}: {note}"
