"""Sizes, names and the mirror of tests; what is too large or untested is on a list that shrinks."""

from __future__ import annotations

import ast
import re

from tests.architecture.shape import (
    FILE_LINES_MAX,
    FUNCTION_LINES_MAX,
    ROOT,
    load_ratchet,
    long_files,
    long_functions,
    modules,
    name_of,
    untested_modules,
)

BANNED_NAMES = {"utils", "util", "common", "misc", "manager"}
TIGHTEN = "run: python tests/architecture/shape.py --tighten"


def grown(known: dict[str, int], found: dict[str, int]) -> dict[str, int]:
    return {name: lines for name, lines in found.items() if lines > known.get(name, 0)}


def test_no_file_grows_past_the_limit():
    assert grown(load_ratchet()["files"], long_files()) == {}, f"over {FILE_LINES_MAX} lines"


def test_no_function_grows_past_the_limit():
    found = grown(load_ratchet()["functions"], long_functions())
    assert found == {}, f"over {FUNCTION_LINES_MAX} lines"


def test_each_module_has_a_test_file_of_its_own():
    assert set(untested_modules()) <= set(load_ratchet()["untested"])


def test_nothing_tolerated_has_become_right():
    ratchet = load_ratchet()

    stale = set(ratchet["untested"]) - set(untested_modules())
    stale |= set(ratchet["files"]) - set(long_files())
    stale |= set(ratchet["functions"]) - set(long_functions())
    assert stale == set(), TIGHTEN


def test_each_module_says_what_it_is():
    silent = [name_of(p) for p in modules() if not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == []


def test_the_first_line_of_a_module_is_one_sentence():
    def first(path):
        return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]

    assert [name_of(p) for p in modules() if not re.search(r"[.!?:]$", first(p))] == []


def test_packages_hold_a_docstring_and_nothing_else():
    full = [
        name_of(path)
        for path in modules()
        if path.name == "__init__.py" and len(ast.parse(path.read_text()).body) > 1
    ]
    assert full == []


def test_no_module_is_named_after_nothing():
    def words(path):
        return {
            word
            for part in path.relative_to(ROOT).with_suffix("").parts
            for word in part.split("_")
        }

    assert [name_of(path) for path in modules() if words(path) & BANNED_NAMES] == []
