"""Class patterns and the other patterns of ``match``: reads that no guard sees.

Place in flow: the base of ``sandbox_rewrite``'s transformer, with what both need to refuse.

Invariants:
    * A class pattern loads attributes by name without a call that could be guarded, so a
      name that is guarded elsewhere is refused here.
"""

# ruff: noqa: N802 - ``ast.NodeVisitor`` calls methods by these names

from __future__ import annotations

import ast
from typing import Any

from RestrictedPython.transformer import RestrictingNodeTransformer

from policy.sandbox_names import (
    ALLOWED_DUNDER_METHODS,
    FORBIDDEN_ATTRIBUTES,
    GUARDED_ATTRIBUTES,
    refusal_of_double,
)


class Located(str):
    """A refusal's text that knows its line."""

    __slots__ = ("line",)
    line: int | None


class PatternTransformer(RestrictingNodeTransformer):
    """Judge patterns; refuse what nothing judges."""

    def error(self, node: ast.AST, info: str) -> None:
        """Note a refusal."""
        text = Located(info)
        text.line = getattr(node, "lineno", None)
        self.errors.append(text)

    def not_allowed(self, node: ast.AST) -> None:
        """Refuse a kind of statement."""
        self.error(node, f"{type(node).__name__} is not allowed in a policy script")

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Refuse a kind of node that no method here judges."""
        self.not_allowed(node)
        return node

    def visit_AsyncFor(self, node: ast.AST) -> ast.AST:
        """Refuse ``async for``."""
        self.error(node, "async for is not available in a policy script; await each item")
        return node

    def visit_AsyncWith(self, node: ast.AST) -> ast.AST:
        """Refuse ``async with``."""
        self.error(node, "async with is not available in a policy script; await each call")
        return node

    def visit_TemplateStr(self, node: ast.AST) -> ast.AST:
        """Refuse template strings: what they interpolate would not be bounded."""
        return self.generic_visit(node)

    def check_name(self, node: Any, name: str | None, allow_magic_methods: bool = False) -> None:
        """Refuse a name scripts may not bind or read."""
        if name is None or (allow_magic_methods and name in ALLOWED_DUNDER_METHODS):
            return
        if name.startswith("__"):
            self.error(node, refusal_of_double(name, "name"))

    def visit_Match(self, node: ast.Match) -> ast.AST:
        """Allow ``match``."""
        return self.node_contents_visit(node)

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        """Allow ``case``."""
        return self.node_contents_visit(node)

    def visit_MatchSingleton(self, node: ast.MatchSingleton) -> ast.AST:
        """Allow None, True and False."""
        return node

    def visit_MatchSequence(self, node: ast.MatchSequence) -> ast.AST:
        """Allow sequences."""
        return self.node_contents_visit(node)

    def visit_MatchOr(self, node: ast.MatchOr) -> ast.AST:
        """Allow alternatives."""
        return self.node_contents_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> ast.AST:
        """Check the name bound."""
        self.check_name(node, node.name)
        return node

    def visit_MatchAs(self, node: ast.MatchAs) -> ast.AST:
        """Check the name bound."""
        self.check_name(node, node.name)
        return self.node_contents_visit(node)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        """Check keys and the name bound."""
        self.check_name(node, node.rest)
        for key in node.keys:
            self._check_pattern_path(key)
        node.patterns = [self.visit(pattern) for pattern in node.patterns]
        return node

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        """Check a dotted name; the compiler allows no calls in patterns."""
        self._check_pattern_path(node.value)
        return node

    def visit_MatchClass(self, node: ast.MatchClass) -> ast.AST:
        """Check the attributes a class pattern reads: they are loads without a guard."""
        self._check_pattern_path(node.cls)
        for name in node.kwd_attrs:
            if is_unfit_for_pattern(name):
                self.error(node, f"the attribute {name!r} is not allowed in a pattern")
        node.patterns = [self.visit(pattern) for pattern in node.patterns]
        node.kwd_patterns = [self.visit(pattern) for pattern in node.kwd_patterns]
        return node

    def _check_pattern_path(self, node: ast.expr) -> None:
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute) and is_unfit_for_pattern(part.attr):
                self.error(node, f"the attribute {part.attr!r} is not allowed in a pattern")
            elif isinstance(part, ast.Name):
                self.check_name(node, part.id)
            elif isinstance(part, ast.JoinedStr):
                self.error(node, "an f-string is not allowed in a pattern")


def is_unfit_for_pattern(name: str) -> bool:
    """Tell whether a class pattern may not read an attribute of this name."""
    return name.startswith("_") or name in GUARDED_ATTRIBUTES or name in FORBIDDEN_ATTRIBUTES
