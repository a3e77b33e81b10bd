"""Compiling a script refuses with file and line what no script may use."""

from __future__ import annotations

import ast

import pytest

from policy.errors import PolicyLoadError
from policy.guarded_builtins import AVAILABLE
from policy.sandbox import LateImport, compile_script


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (b"x = 1\nopen('a')\n", 2),
        (b"\n\nx = (\n", 3),
        (b"def f():\n    yield\n    x.__dict__\n", 3),
        (b"async def f():\n    async with x: pass\n", 2),
        (b"try: pass\nexcept* ValueError: pass\n", 1),
        (b"from m import *\n", 1),
    ],
)
def test_a_refusal_names_its_line(source: bytes, line: int) -> None:
    with pytest.raises(PolicyLoadError) as caught:
        compile_script(source, "a.py", AVAILABLE)

    assert (caught.value.file, caught.value.line) == ("a.py", line)


def test_a_builtin_that_the_script_defines_itself_is_its_own() -> None:
    compile_script(b"def open(x): return x\nopen(1)\n", "a.py", AVAILABLE)


def test_imports_inside_functions_are_told() -> None:
    _, late = compile_script(
        b"import a\ndef f():\n    import b.c\n    from d import e\n", "a.py", AVAILABLE
    )

    assert late == [LateImport("b.c", 3), LateImport("d", 4)]


def test_a_source_in_no_known_encoding_is_a_load_error() -> None:
    with pytest.raises(PolicyLoadError):
        compile_script(b"x = '\xff'\n", "a.py", AVAILABLE)


def test_a_parse_that_python_itself_stumbles_over_is_tried_again(monkeypatch):
    real, failures = ast.parse, [SystemError("AST constructor recursion depth mismatch")] * 2

    def parse(*args):
        if failures:
            raise failures.pop()
        return real(*args)

    monkeypatch.setattr(ast, "parse", parse)
    code, _ = compile_script(b"x = 1\n", "init.py", frozenset())
    assert code.co_filename == "init.py"


def test_a_parse_that_always_fails_is_an_error_of_the_load(monkeypatch):
    def parse(*_args):
        raise SystemError("AST constructor recursion depth mismatch")

    monkeypatch.setattr(ast, "parse", parse)
    with pytest.raises(PolicyLoadError, match="cannot be compiled"):
        compile_script(b"x = 1\n", "init.py", frozenset())
