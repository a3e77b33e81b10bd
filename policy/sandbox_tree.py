"""Small pieces of syntax tree: what ``sandbox_rewrite`` asks about and puts in.

Place in flow: used by ``sandbox_rewrite`` alone.
"""

from __future__ import annotations

import ast
from typing import Any, TypeVar

SMALL_INT_BITS = 64
_N = TypeVar("_N", bound=ast.AST)


def is_super_call(node: ast.expr) -> bool:
    """Tell whether this is `super()`."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "super"
        and not node.args
    )


def is_small_arithmetic(node: ast.expr) -> bool:
    """Tell whether this is a product of a few small constants, such as ``24 * 60 * 60``."""
    if isinstance(node, ast.BinOp):
        return (
            isinstance(node.op, (ast.Mult, ast.Add, ast.Sub))
            and is_small_arithmetic(node.left)
            and is_small_arithmetic(node.right)
        )
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, (int, float))
        and (isinstance(node.value, float) or node.value.bit_length() <= SMALL_INT_BITS)
    )


def has_docstring(node: Any) -> bool:
    """Tell whether a definition starts with a docstring."""
    first = node.body[0]
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def located(node: _N, at: ast.AST) -> _N:
    """Return a new node, placed where another stands."""
    ast.copy_location(node, at)
    return ast.fix_missing_locations(node)


def guard_call(name: str, *arguments: ast.expr, at: ast.AST) -> ast.Call:
    """Return a call of an inserted name."""
    return located(ast.Call(ast.Name(name, ast.Load()), list(arguments), []), at)


def guard_statement(name: str, at: ast.AST) -> ast.stmt:
    """Return a statement that calls an inserted name."""
    return located(ast.Expr(guard_call(name, at=at)), at)
