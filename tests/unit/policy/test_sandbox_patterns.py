"""Patterns of ``match`` read attributes without a call: what they may read is known."""

from __future__ import annotations

import pytest

from policy.errors import PolicyLoadError
from policy.guarded_builtins import AVAILABLE
from policy.sandbox import compile_script
from policy.sandbox_patterns import is_unfit_for_pattern


def _compile(pattern: str) -> None:
    compile_script(f"match x:\n    case {pattern}: pass\n".encode(), "a.py", AVAILABLE)


@pytest.mark.parametrize(
    "pattern",
    [
        "1 | -1 | 1.5 | 1 + 2j",
        "'a' | b'a' | None | True",
        "[1, *rest]",
        "(a, b)",
        "{'a': 1, 'b': [c], **rest}",
        "int() | str()",
        "str(text)",
        "Point(x=1, y=y)",
        "Point(1, y)",
        "module.NAME",
        "module.Point(x=1)",
        "{module.KEY: value}",
        "[Point(x=0) as first, _]",
        "_",
        "value if value > 1",
    ],
)
def test_ordinary_patterns_are_allowed(pattern: str) -> None:
    _compile(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "object(__class__=c)",
        "object(_secret=s)",
        "object(gi_frame=f)",
        "object(format=f)",
        "object(send=f)",
        "object(obj=f)",
        "object(x=object(tb_frame=f))",
        "[object(__dict__=d)]",
        "{'a': object(__dict__=d)}",
        "1 | object(__dict__=d)",
        "object(__dict__=d) as x",
        "module.__dict__",
        "module._secret.x",
        "module.__class__()",
        "{module.__name__: 1}",
        "__builtins__",
        "[*__builtins__]",
        "{**__builtins__}",
        "1 as __builtins__",
        "__builtins__.x",
    ],
)
def test_a_pattern_that_reads_a_guarded_name_is_refused_with_its_line(pattern: str) -> None:
    with pytest.raises(PolicyLoadError) as caught:
        _compile(pattern)

    assert caught.value.line == 2


def test_names_that_are_unfit_are_private_guarded_or_forbidden() -> None:
    assert [is_unfit_for_pattern(name) for name in ("x", "_x", "format", "gi_frame")] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("async def f():\n    async for x in y: pass", "async for is not available"),
        ("async def f():\n    async with x: pass", "async with is not available"),
    ],
)
def test_a_refused_statement_is_named_as_it_is_written(source: str, text: str) -> None:
    with pytest.raises(PolicyLoadError, match=text) as caught:
        compile_script(source.encode(), "a.py", AVAILABLE)

    assert caught.value.line == 2
