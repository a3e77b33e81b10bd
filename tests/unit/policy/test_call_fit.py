"""A call fits one of the ways to call a function, or is told why it does not."""

from __future__ import annotations

import ast

import pytest

from policy.call_fit import misfit_of_call
from policy.stub_catalog import Function, StubModule

STUB = """
@overload
def both(a: int) -> None: ...
@overload
def both(*, name: str) -> None: ...
def plain(a: int, b: str = "", *, c: bool = False) -> None: ...
def more(first: str, *rest: int) -> None: ...
def named(**options: object) -> None: ...
"""


def misfit(call: str) -> str:
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    function = StubModule("mta.test", ast.parse(STUB)).functions[node.func.id]
    assert isinstance(function, Function)
    return misfit_of_call(function, node)


@pytest.mark.parametrize(
    "call",
    [
        "plain(1)",
        "plain(x, y, c=z)",
        "plain(a=1, c=True)",
        "plain(*x)",
        "plain(**x)",
        "both(1)",
        "both(name='x')",
        "more('a', 1, 2)",
        "named(a=1)",
    ],
)
def test_a_call_that_fits_is_fine(call: str) -> None:
    assert misfit(call) == ""


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ("plain()", "a must be given"),
        ("plain(1, 'x', True)", "3 arguments are too many: there are 2"),
        ("plain(1, a=1)", "'a' is given twice"),
        ("plain(1, bb='x')", "there is no option 'bb'; did you mean 'b'?"),
        ("plain(1, c='x')", "c: True or False is expected, not 'x'"),
        ("plain(*x, c='x')", "c: True or False is expected, not 'x'"),
        ("more('a', 'b')", "a whole number is expected, not 'b'"),
        ("both()", "name must be given"),
        ("both(1, 2)", "arguments are given by name, such as name"),
    ],
)
def test_a_call_that_does_not_fit_is_told_why(call: str, text: str) -> None:
    assert misfit(call) == f"mta.test.{call.partition('(')[0]}: {text}"
