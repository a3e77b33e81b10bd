"""Values written out are told apart from what is computed."""

from __future__ import annotations

import ast

import pytest

from policy.literal_kind import fits, kind_of, shown
from policy.stub_catalog import Shape


def expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("'a'", "str"),
        ("f'{a}'", "str"),
        ("-3", "int"),
        ("True", "bool"),
        ("None", "None"),
        ("[a]", "list"),
        ("{a: b}", "dict"),
        ("{a}", "set"),
        ("(a, b)", "tuple"),
        ("lambda: 1", "function"),
        ("a", None),
        ("a + 'b'", None),
        ("f(1)", None),
    ],
)
def test_the_kind_of_an_expression_is_told_where_it_is_certain(text: str, kind: str) -> None:
    assert kind_of(expression(text)) == kind


@pytest.mark.parametrize(
    ("shape", "text", "answer"),
    [
        (Shape(), "3", True),
        (Shape(frozenset({"str"})), "3", False),
        (Shape(frozenset({"str"})), "a", True),
        (Shape(frozenset(), ("x",)), "'x'", True),
        (Shape(frozenset(), ("x",)), "'y'", False),
        (Shape(frozenset(), (1,)), "True", False),
        (Shape(frozenset(), ("x",)), "['x']", False),
    ],
)
def test_a_value_fits_a_type_or_not(shape: Shape, text: str, answer: bool) -> None:
    assert fits(shape, expression(text)) is answer


def test_a_long_expression_is_cut() -> None:
    assert shown(expression("'" + "x" * 500 + "'")).endswith("...")
