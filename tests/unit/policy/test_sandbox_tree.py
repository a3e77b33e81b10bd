"""Small questions about a syntax tree, and small pieces put into one."""

from __future__ import annotations

import ast

import pytest

from policy.sandbox_tree import (
    guard_call,
    guard_statement,
    has_docstring,
    is_small_arithmetic,
    is_super_call,
    located,
)


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


@pytest.mark.parametrize(
    ("text", "answer"),
    [("super()", True), ("super(A, b)", False), ("x.super()", False), ("super", False)],
)
def test_a_super_call_is_known(text: str, answer: bool) -> None:
    assert is_super_call(_expression(text)) is answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("24 * 60 * 60", True),
        ("1.5 * 2 + 3 - 1", True),
        ("2 ** 10", False),
        ("'x' * 3", False),
        ("x * 3", False),
        (f"{2**65} * 2", False),
        ("1 << 3", False),
    ],
)
def test_small_arithmetic_is_known(text: str, answer: bool) -> None:
    assert is_small_arithmetic(_expression(text)) is answer


@pytest.mark.parametrize(
    ("text", "answer"), [("def f():\n 'doc'", True), ("def f(): 1", False), ("def f(): x", False)]
)
def test_a_docstring_is_known(text: str, answer: bool) -> None:
    assert has_docstring(ast.parse(text).body[0]) is answer


def test_what_is_put_in_stands_where_the_original_stood() -> None:
    at = ast.parse("\n\nx = 1").body[0]

    call = guard_call("@tick", ast.Constant(5), at=at)
    statement = guard_statement("@tick", at)
    name = located(ast.Name("y", ast.Load()), at)

    assert [node.lineno for node in (call, call.args[0], statement, name)] == [3, 3, 3, 3]
    assert ast.unparse(call) == "@tick(5)"
