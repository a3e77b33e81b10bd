"""Values written out in the text of a script: what kind they are, and whether they fit a type.

Place in flow: asked by ``use_check`` and ``call_fit``.
"""

from __future__ import annotations

import ast

from policy.stub_catalog import Shape

_DISPLAYS: dict[type[ast.expr], str] = {
    ast.JoinedStr: "str",
    ast.List: "list",
    ast.ListComp: "list",
    ast.Tuple: "tuple",
    ast.Dict: "dict",
    ast.DictComp: "dict",
    ast.Set: "set",
    ast.SetComp: "set",
    ast.Lambda: "function",
}
_SHOWN_MAX = 60


def kind_of(node: ast.expr) -> str | None:
    """Return the kind of value that an expression is, None where that is not certain."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        node = node.operand
    if isinstance(node, ast.Constant):
        return "None" if node.value is None else type(node.value).__name__
    return _DISPLAYS.get(type(node))


def fits(shape: Shape, node: ast.expr) -> bool:
    """Tell whether an expression may be a value of a type: anything that is computed may."""
    kind = kind_of(node)
    if kind is None or shape.kinds is None or kind in shape.kinds:
        return True
    if not isinstance(node, ast.Constant):
        return False
    return any(type(one) is type(node.value) and one == node.value for one in shape.choices)


def shown(node: ast.expr) -> str:
    """Return an expression as a message shows it."""
    text = ast.unparse(node)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "..."
