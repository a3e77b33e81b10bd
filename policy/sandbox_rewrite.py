"""The rewriting of a script's syntax tree: what is refused, and where checks go in.

Place in flow: ``sandbox`` compiles with it; the names it puts in are provided by ``guards``.

Invariants:
    * A node type not named here is refused: a new Python brings nothing in unseen.
    * Inserted names begin with ``@``, which no script can spell: they cannot be shadowed,
      read, mangled or rebound.
    * Attribute names are constants, so they are judged here and most loads stay plain
      loads. That is safe only while what scripts can reach is frozen facades, stand-ins,
      their own objects and builtin values: what those offer under a name in
      ``GUARDED_ATTRIBUTES`` goes through a guard, what they offer under a name in
      ``FORBIDDEN_ATTRIBUTES`` is refused.

Standard: RestrictedPython's transformer is the base; its own rewrites of iteration,
attribute loads and unpacking are replaced, because here the sources of endless iteration
are guarded instead of each place that iterates.
"""

# ruff: noqa: N802 - ``ast.NodeVisitor`` calls methods by these names

from __future__ import annotations

import ast
from typing import Any

from policy.sandbox_names import (
    ALLOWED_DUNDER_CLASS_VARIABLES,
    ALLOWED_DUNDER_METHODS,
    ALLOWED_DUNDER_VARIABLES,
    GUARDED_ATTRIBUTES,
    check_format_spec,
    refusal_of_name,
)
from policy.sandbox_patterns import PatternTransformer, is_unfit_for_pattern
from policy.sandbox_tree import (
    guard_call,
    guard_statement,
    has_docstring,
    is_small_arithmetic,
    is_super_call,
    located,
)

MAX_CONSTANT_BITS = 16_384
_STRIPPING = frozenset({"strip", "lstrip", "rstrip"})
_FAST = frozenset({"utf-8", "utf8", "ascii", "latin-1", "latin1"})
_GROWING = {ast.Mult: "@mul", ast.Pow: "@pow", ast.LShift: "@lshift", ast.Mod: "@mod"}


def _guard_of_argument(node: ast.Call) -> str | None:
    """Return the guard of the first argument of ``str(x)``, ``str(x, codec)``, ``x.strip(y)``."""
    if not node.args:
        return None
    if isinstance(node.func, ast.Attribute):
        return "@short" if node.func.attr in _STRIPPING else None
    if not (isinstance(node.func, ast.Name) and node.func.id == "str"):
        return None
    codecs = [*node.args[1:2], *(item.value for item in node.keywords if item.arg == "encoding")]
    if not (codecs or node.keywords):
        return "@shown"
    plain = all(isinstance(codec, ast.Constant) and codec.value in _FAST for codec in codecs)
    return None if codecs and plain else "@short"


class ScriptTransformer(PatternTransformer):
    """Rewrite one module."""

    def __init__(self, errors: Any = None, warnings: Any = None, used_names: Any = None) -> None:
        super().__init__(errors, warnings, used_names)
        self._temporaries = 0

    def visit_TryStar(self, node: ast.AST) -> ast.AST:
        """Refuse ``except*``: it would wrap what no script may catch."""
        self.error(node, "except* is not allowed in a policy script; use except")
        return node

    # --- names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """Check a variable."""
        load = isinstance(node.ctx, ast.Load)
        if not (node.id == "__name__" if load else node.id in ALLOWED_DUNDER_VARIABLES):
            self.check_name(node, node.id)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Refuse an integer that scripts could not compute either."""
        if isinstance(node.value, int) and node.value.bit_length() > MAX_CONSTANT_BITS:
            self.error(node, f"an integer of more than {MAX_CONSTANT_BITS} bits is not allowed")
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        """Allow ``nonlocal``."""
        for name in node.names:
            self.check_name(node, name)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        """Allow ``global``."""
        for name in node.names:
            self.check_name(node, name)
        return node

    def check_import_names(self, node: Any) -> ast.AST:
        """Check an import; where it leads is decided by the loader."""
        if isinstance(node, ast.ImportFrom) and node.level:
            self.error(node, "relative imports are not supported; name the module in full")
        for alias in node.names:
            if alias.name == "*":
                self.error(node, "import * is not allowed; name what you import")
            elif not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
                for part in alias.name.split("."):
                    self.check_name(node, part)
            self.check_name(node, alias.asname)
        return node  # type: ignore[no-any-return]

    # --- attributes

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Leave a harmless load plain; guard or refuse the rest."""
        on_super = is_super_call(node.value)
        node.value = self.visit(node.value)
        load = isinstance(node.ctx, ast.Load)
        if on_super and load and node.attr in ALLOWED_DUNDER_METHODS:
            # ``super`` may be a name of the script.
            node.value = guard_call("@parent", node.value, at=node)
            return node
        refusal = refusal_of_name(node.attr)
        if refusal and not (load and node.attr == "__name__"):
            self.error(node, refusal)
        elif not load:
            node.value = guard_call("@write", node.value, ast.Constant(node.attr), at=node)
        elif node.attr.startswith("_") and node.attr not in {"_", "__name__"}:
            return guard_call("@private", node.value, ast.Constant(node.attr), at=node)
        elif node.attr in GUARDED_ATTRIBUTES:
            return guard_call("@attribute", node.value, ast.Constant(node.attr), at=node)
        return node

    # --- subscripts and assignment

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """Check the key of a store: a slice there loops in C over the value."""
        node.value = self.visit(node.value)
        node.slice = self.visit(node.slice)
        if isinstance(node.ctx, ast.Store) and not isinstance(node.slice, ast.Constant):
            node.slice = guard_call("@key", node.slice, at=node)
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        """Allow assignment; bound what a slice takes in."""
        plain = len(node.targets) == 1 and isinstance(node.targets[0], ast.Subscript)
        if plain and isinstance(node.targets[0].slice, ast.Slice):  # type: ignore[attr-defined]
            target = node.targets[0]
            assert isinstance(target, ast.Subscript)
            assert isinstance(target.slice, ast.Slice)
            target.value = self.visit(target.value)
            target.slice = self.visit(target.slice)
            node.value = guard_call("@bounded", self.visit(node.value), at=node)
            return node
        return self.node_contents_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Allow annotated assignment."""
        self._check_class_variable(node.target, node.value)
        return self.node_contents_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """Guard the right side of ``+=``; spell out the operators that can grow fast."""
        if isinstance(node.target, ast.Subscript) and isinstance(node.target.slice, ast.Slice):
            self.error(node, "a slice can be assigned to with = only")
            return node
        guard = _GROWING.get(type(node.op))
        if guard is None:
            node.target = self.visit(node.target)
            value = self.visit(node.value)
            if isinstance(node.op, (ast.Add, ast.BitOr)) and not isinstance(value, ast.Constant):
                name = "@grown" if isinstance(node.op, ast.Add) else "@added"
                value = guard_call(name, value, at=node)
            node.value = value
            return node
        return self._spelled_out(node, guard)

    def _spelled_out(self, node: ast.AugAssign, guard: str) -> list[ast.stmt]:
        target, before = node.target, list[ast.stmt]()
        load: ast.expr
        store: ast.expr
        if isinstance(target, ast.Name):
            self.visit_Name(target)
            load, store = ast.Name(target.id, ast.Load()), target
        elif isinstance(target, ast.Attribute):
            guarded = self.visit(target)
            owner = self._temporary(before, guarded.value)
            load = ast.Attribute(owner, target.attr, ast.Load())
            store = ast.Attribute(owner, target.attr, ast.Store())
        else:
            owner = self._temporary(before, self.visit(target.value))
            key = self._temporary(before, guard_call("@key", self.visit(target.slice), at=node))
            load = ast.Subscript(owner, key, ast.Load())
            store = ast.Subscript(owner, key, ast.Store())
        value = guard_call(guard, load, self.visit(node.value), ast.Constant(value=True), at=node)
        statements: list[ast.stmt] = [*before, ast.Assign([store], value)]
        return [located(statement, node) for statement in statements]

    def _temporary(self, before: list[ast.stmt], value: ast.expr) -> ast.Name:
        self._temporaries += 1
        name = f"@t{self._temporaries}"
        before.append(ast.Assign([ast.Name(name, ast.Store())], value))
        return ast.Name(name, ast.Load())

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        """Allow ``:=``."""
        return self.node_contents_visit(node)

    # --- expressions

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Guard the operators whose result can be far larger than their operands."""
        constant = is_small_arithmetic(node)
        node = self.node_contents_visit(node)
        guard = _GROWING.get(type(node.op))
        if guard is not None and not constant:
            return guard_call(guard, node.left, node.right, at=node)
        if isinstance(node.op, ast.Add) and not (
            isinstance(node.right, ast.Constant) or isinstance(node.left, ast.Constant)
        ):
            node.right = guard_call("@added", node.right, at=node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """Count a search through something large."""
        node = self.node_contents_visit(node)
        literal = (ast.Constant, ast.Tuple, ast.List, ast.Set)
        for position, operator in enumerate(node.ops):
            right = node.comparators[position]
            if isinstance(operator, (ast.In, ast.NotIn)) and not isinstance(right, literal):
                node.comparators[position] = guard_call("@searched", right, at=node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Allow calls; sources of endless iteration are guarded where they come from."""
        for keyword in node.keywords:
            self.check_name(node, keyword.arg)
        guard = _guard_of_argument(node)
        node = self.node_contents_visit(node)
        if guard and not isinstance(node.args[0], (ast.Constant, ast.Starred)):
            node.args[0] = guard_call(guard, node.args[0], at=node)
        return node

    def visit_Starred(self, node: ast.Starred) -> ast.AST:
        """Bound what a star takes in."""
        node = self.node_contents_visit(node)
        if isinstance(node.ctx, ast.Load):
            node.value = guard_call("@bounded", node.value, at=node)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Bound widths, and what is shown."""
        dynamic = 0
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                dynamic += 1
                self._guard_formatted(value)
        return guard_call("@sized", node, at=node) if dynamic > 1 else node

    def _guard_formatted(self, node: ast.FormattedValue) -> None:
        node.value = guard_call("@shown", self.visit(node.value), at=node)
        spec = node.format_spec
        if spec is None:
            return
        assert isinstance(spec, ast.JoinedStr)
        if all(isinstance(part, ast.Constant) for part in spec.values):
            text = "".join(
                str(part.value) for part in spec.values if isinstance(part, ast.Constant)
            )
            refusal = check_format_spec(text)
            if refusal:
                self.error(node, refusal)
            return
        for part in spec.values:
            if isinstance(part, ast.FormattedValue):
                self._guard_formatted(part)
        node.value = guard_call(
            "@formatted", node.value, ast.Constant(node.conversion), spec, at=node
        )
        node.conversion, node.format_spec = -1, None

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        """Count the entry."""
        self.check_function_argument_names(node)
        node = self.node_contents_visit(node)
        node.body = located(ast.BoolOp(ast.Or(), [guard_call("@tick", at=node), node.body]), node)
        return node

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        """Count each round."""
        if node.is_async:
            self.error(node.iter, "async comprehensions are not allowed in a policy script")
        node = self.node_contents_visit(node)
        node.ifs.insert(
            0, located(ast.UnaryOp(ast.Not(), guard_call("@tick", at=node.iter)), node.iter)
        )
        return node

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        """Allow dict comprehensions."""
        return self.node_contents_visit(node)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        """Allow ``await``."""
        return self.node_contents_visit(node)

    # --- statements

    def visit_For(self, node: ast.For) -> ast.AST:
        """Count each round."""
        return self._counted_loop(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        """Count each round."""
        return self._counted_loop(node)

    def _counted_loop(self, node: Any) -> ast.AST:
        node = self.node_contents_visit(node)
        node.body.insert(0, guard_statement("@tick", node))
        return node  # type: ignore[no-any-return]

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        """Let nothing be caught that must end the call."""
        self.check_name(node, node.name)
        node = self.node_contents_visit(node)
        node.body.insert(0, guard_statement("@caught", node))
        return node

    def visit_Try(self, node: ast.Try) -> ast.AST:
        """Note what passes through ``finally``."""
        node = self.node_contents_visit(node)
        if node.finalbody:
            node.finalbody.insert(0, guard_statement("@passing", node.finalbody[0]))
        return node

    def visit_With(self, node: ast.With) -> Any:
        """Keep a context manager from swallowing an ending."""
        node = self.node_contents_visit(node)
        noted = ast.Try(node.body, [], [], [guard_statement("@passing", node)])
        node.body = [located(noted, node)]
        return [node, guard_statement("@swallowed", node)]

    # --- definitions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Count the entry."""
        return self._function(node, in_class=False)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """Count the entry."""
        return self._function(node, in_class=False)

    def _function(self, node: Any, *, in_class: bool) -> ast.AST:
        if in_class and node.name.startswith("__") and node.name not in ALLOWED_DUNDER_METHODS:
            self.error(node, f"a script's class may not define {node.name}")
        else:
            self.check_name(node, node.name, allow_magic_methods=in_class)
        self.check_function_argument_names(node)
        node = self.node_contents_visit(node)
        node.body.insert(1 if has_docstring(node) else 0, guard_statement("@tick", node.body[0]))
        return node  # type: ignore[no-any-return]

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Allow a plain class."""
        self.check_name(node, node.name)
        for keyword in node.keywords:
            if keyword.arg != "total" or not isinstance(keyword.value, ast.Constant):
                text = "keyword arguments of a class (metaclass among them) are not allowed"
                self.error(node, text)
        node.bases = [self.visit(base) for base in node.bases]
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        body: list[ast.stmt] = []
        for statement in node.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body.append(self._function(statement, in_class=True))  # type: ignore[arg-type]
            elif isinstance(statement, ast.Assign) and self._is_class_setting(statement):
                body.append(statement)
            else:
                seen = self.visit(statement)
                body.extend(seen if isinstance(seen, list) else [seen])
        node.body = body
        return node

    def _is_class_setting(self, node: ast.Assign) -> bool:
        target = node.targets[0]
        if len(node.targets) > 1 or not isinstance(target, ast.Name):
            return False
        if target.id in ALLOWED_DUNDER_METHODS and isinstance(node.value, ast.Name):
            # One method under two names, such as ``__rmul__ = __mul__``.
            self.check_name(node, node.value.id, allow_magic_methods=True)
            return True
        return self._check_class_variable(target, node.value)

    def _check_class_variable(self, target: ast.expr, value: ast.expr | None) -> bool:
        """Judge ``__slots__`` and ``__match_args__``: literals of names, nothing else."""
        if not isinstance(target, ast.Name) or target.id not in ALLOWED_DUNDER_CLASS_VARIABLES:
            return False
        if target.id == "__hash__" and isinstance(value, ast.Constant) and value.value is None:
            return True
        names = value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]
        for name in names:
            text = name.value if isinstance(name, ast.Constant) else None
            if not isinstance(text, str):
                self.error(target, f"{target.id} must be a literal tuple of names")
            elif is_unfit_for_pattern(text.removeprefix("_")):
                self.error(target, f"{text!r} is not allowed in {target.id}")
        return True

    def visit_Module(self, node: ast.Module) -> ast.AST:
        """Rewrite the module."""
        return self.node_contents_visit(node)
