"""Habits of the code that no linter knows."""

from __future__ import annotations

import ast
import functools
import re

import pytest

from engine.hooks import HOOKS, NOT_YET_FIRED
from tests.architecture.shape import ROOT, modules, name_of

#: Where any exception may be caught: there it is logged, counted and decided.
BOUNDARIES = (
    "listener session",
    "dispatcher",
    "hook call",
    "record sink",
    "admin command",
    "supervisor",
)


def lines_with(pattern: str) -> list[tuple[str, str]]:
    return [
        (name_of(path), line.strip())
        for path in modules()
        for line in path.read_text().splitlines()
        if re.search(pattern, line)
    ]


def test_a_broad_handler_names_its_boundary():
    named = re.compile(rf"BLE001 - ({'|'.join(BOUNDARIES)})")
    assert [found for found in lines_with(r"noqa:.*BLE001") if not named.search(found[1])] == []


def test_no_broad_handler_hides_from_the_linter():
    assert lines_with(r"^\s*except\s*:") == []


def test_nothing_is_left_for_later():
    assert lines_with(r"#.*\b(TODO|FIXME|XXX|HACK)\b") == []


def test_no_package_exports_by_star():
    assert lines_with(r"^\s*from .* import \*") == []


def test_the_script_side_reads_no_clock_but_that_of_its_thread():
    found = lines_with(r"\btime\.(time|monotonic|perf_counter)\(|from time import (?!thread_time)")
    assert [place for place in found if place[0].startswith("policy/")] == []


@functools.cache
def fired_hooks() -> frozenset[str]:
    """Return the hook names that stand as literals where hooks are fired, or near it."""
    found = set()
    for path in modules():
        if name_of(path) in ("engine/hooks.py", "engine/dry_check.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return frozenset(found)


@pytest.mark.parametrize("hook", [hook.name for hook in HOOKS])
def test_each_declared_hook_is_fired_somewhere_or_known_not_to_be(hook):
    if hook == "init":
        assert "init" in (ROOT / "engine" / "dry_check.py").read_text()
        return
    assert (hook in fired_hooks()) != (hook in NOT_YET_FIRED)
