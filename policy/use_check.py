"""Uses of ``mta`` and ``helpers`` in the text of scripts, held against the stubs where they stand.

Place in flow: a program asks while it tries an epoch. A dry call sees only the branches that
made-up names lead into; this looks at each use, also at those of an event that a load never fires.

Invariants:
    * Nothing is run, and only what is certain is an error: a name that is bound once, a value that
      is written out. What is computed is left to the call itself.
    * A name that the script asks for with ``hasattr`` or ``getattr`` is taken to be optional, and
      so is every name where it catches AttributeError or NameError.
"""

from __future__ import annotations

import ast
import builtins
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from policy.call_fit import misfit_of_call
from policy.guarded_builtins import AVAILABLE
from policy.hook_registry import PolicyFinding
from policy.literal_kind import fits, kind_of, shown
from policy.sandbox import UNREADABLE
from policy.script_scope import (
    Scope,
    bound_anywhere,
    bound_names,
    functions_of,
    scope_of_module,
)
from policy.stub_catalog import (
    Function,
    HandlerShape,
    Kind,
    Value,
    handler_shapes,
    members_of,
)


@dataclass(frozen=True, slots=True)
class Module:
    """A module that a script imported."""

    name: str


#: Those that scripts do not have are refused when a script is compiled.
_BUILTINS = frozenset(dir(builtins))
#: What an expression is known to be.
Known: TypeAlias = Module | Function | Kind | None
_Found: TypeAlias = tuple[int, Literal["error", "warning"], str]
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def check_uses(files: Iterable[Path], offered: Mapping[str, frozenset[str]]) -> list[PolicyFinding]:
    """Return what cannot work in the scripts among some files.

    Args:
        files: Scripts, and others that are passed by.
        offered: What the program offers to scripts: names by module.
    """
    findings: list[PolicyFinding] = []
    for path in sorted(files):
        if path.suffix != ".py":
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except UNREADABLE:
            # The load says so, or it changed since: the next load looks at it.
            continue
        for line, severity, text in sorted(set(_Check(tree, offered).run())):
            findings.append(PolicyFinding(str(path), line, severity, text))
    return findings


class _Check:
    """One script."""

    def __init__(self, tree: ast.Module, offered: Mapping[str, frozenset[str]]) -> None:
        self._tree = tree
        self._offered = offered
        self._optional = _optional_names(tree)
        self._catches = "AttributeError" in {one.id for one in _names(tree)}
        self._shapes = handler_shapes()

    def run(self) -> Iterator[_Found]:
        scope = scope_of_module(self._tree)
        known = {name: self._imported(*where) for name, where in scope.imports.items()}
        self._learn(scope, known)
        yield from self._unbound()
        yield from self._look(self._tree.body, known, is_async=False)
        handlers = _handlers(self._tree)
        for function in functions_of(self._tree.body):
            yield from self._look_into(function, known, handlers)

    def _unbound(self) -> Iterator[_Found]:
        """Yield each name that nothing in the script binds: to reach it is an error."""
        names = list(_names(self._tree))
        bound = AVAILABLE | bound_anywhere(self._tree)
        if "NameError" in {one.id for one in names}:
            return
        for one in names:
            if one.id not in bound and not one.id.startswith("__") and one.id not in _BUILTINS:
                text = f"there is no name {one.id!r} in this script{_hint(one.id, bound)}"
                yield one.lineno, "error", text

    def _imported(self, module: str, name: str) -> Known:
        if not name:
            return Module(module) if module in self._offered else None
        if f"{module}.{name}" in self._offered:
            return Module(f"{module}.{name}")
        found = dict(members_of(module)).get(name)
        return found if isinstance(found, Function) else None

    def _learn(self, scope: Scope, known: dict[str, Known]) -> None:
        """Note what variables that are bound once hold."""
        for name in scope.coroutines:
            known[name] = Function(name, waits=True)
        for name, value in scope.values.items():
            known[name] = self._type_of(value, known)

    def _look_into(
        self,
        function: _Function,
        outside: Mapping[str, Known],
        handlers: Mapping[_Function, str],
    ) -> Iterator[_Found]:
        scope = bound_names(function)
        known = {name: what for name, what in outside.items() if name not in scope.names}
        for name, where in scope.imports.items():
            known[name] = self._imported(*where)
        event = handlers.get(function)
        shape = self._shapes.get(event or "")
        if shape is not None:
            for argument, kind in zip(function.args.args, shape.arguments, strict=False):
                if argument.arg not in scope.stored:
                    known[argument.arg] = kind
            yield from self._look_at_answers(function, shape, str(event))
        self._learn(scope, known)
        yield from self._look(function.body, known, is_async=not _cannot_wait(function, event))
        for inner in functions_of(function.body):
            yield from self._look_into(inner, known, handlers)

    # -- what stands there

    def _look(
        self, body: list[ast.stmt], known: Mapping[str, Known], *, is_async: bool
    ) -> Iterator[_Found]:
        for node in _walk(body):
            if isinstance(node, ast.Attribute):
                yield from self._look_at_attribute(node, known)
            elif isinstance(node, ast.Call):
                function = self._type_of(node.func, known)
                if isinstance(function, Function):
                    text = misfit_of_call(function, node)
                    if text:
                        yield node.lineno, "error", text
                    elif function.waits and not is_async:
                        text = f"{function.name}() waits: await it, in an `async def`"
                        yield node.lineno, "error", text
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                function = self._type_of(node.value.func, known)
                if isinstance(function, Function) and function.waits and is_async:
                    text = f"{function.name}() without await: it never begins"
                    yield node.lineno, "error", text

    def _look_at_attribute(
        self, node: ast.Attribute, known: Mapping[str, Known]
    ) -> Iterator[_Found]:
        owner, name = self._type_of(node.value, known), node.attr
        if self._catches or name in self._optional or name.startswith("_"):
            return
        if isinstance(owner, Module):
            offered = self._offered[owner.name]
            if name not in offered and f"{owner.name}.{name}" not in self._offered:
                text = f"{owner.name} has no {name!r}{_hint(name, offered)}"
                yield node.lineno, "error", text
        elif isinstance(owner, Kind) and owner.members and not owner.is_open:
            found = owner.members.get(name)
            if found is None:
                text = f"{owner.name} has no {name!r}{_hint(name, owner.members)}"
                yield node.lineno, "error", text
            elif not isinstance(node.ctx, ast.Load) and not (
                isinstance(found, Value) and found.is_settable
            ):
                text = f"the attribute {name!r} of {owner.name} cannot be set"
                yield node.lineno, "error", text

    def _look_at_answers(
        self, function: _Function, shape: HandlerShape, event: str
    ) -> Iterator[_Found]:
        for node in _walk(function.body):
            if not isinstance(node, ast.Return) or node.value is None:
                continue
            if not shape.has_answer and kind_of(node.value) not in (None, "None"):
                text = f"{event} answers nothing: what it returns is not looked at"
                yield node.lineno, "warning", text
            elif not fits(shape.answer, node.value):
                text = f"{event} answers {shape.answer}, not {shown(node.value)}"
                yield node.lineno, "error", text

    # -- what it is

    def _type_of(self, node: ast.expr, known: Mapping[str, Known]) -> Known:
        match node:
            case ast.Name(id=name):
                return known.get(name)
            case ast.Await(value=value):
                return self._type_of(value, known)
            case ast.Attribute(value=value, attr=name):
                return self._member(self._type_of(value, known), name)
            case ast.Call(func=function):
                called = self._type_of(function, known)
                if isinstance(called, Function):
                    answers = {signature.answer for signature in called.signatures}
                    return answers.pop() if len(answers) == 1 else None
        return None

    def _member(self, owner: Known, name: str) -> Known:
        if isinstance(owner, Module):
            return self._imported(owner.name, name)
        if isinstance(owner, Kind):
            found = owner.members.get(name)
            return found.kind if isinstance(found, Value) else found
        return None


def _walk(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the nodes of some statements, but for annotations and for functions and classes."""
    waiting: list[ast.AST] = list(reversed(body))
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, _Function):
            waiting += [*node.decorator_list, *node.args.defaults]
            waiting += [one for one in node.args.kw_defaults if one is not None]
        elif isinstance(node, ast.AnnAssign):
            waiting += [node.target] if node.value is None else [node.value, node.target]
        elif not isinstance(node, ast.Lambda | ast.ClassDef):
            waiting += reversed(list(ast.iter_child_nodes(node)))


def _handlers(tree: ast.Module) -> dict[_Function, str]:
    """Return the events of functions: of those below ``@on("event")``, and of those it takes."""
    functions: dict[str, list[_Function]] = {}
    found: dict[_Function, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            functions.setdefault(node.name, []).append(node)
            for mark in node.decorator_list:
                event = _event_of(mark, 1)
                if event:
                    found[node] = event
    for node in ast.walk(tree):
        event = _event_of(node, 2)
        if event and isinstance(node, ast.Call) and isinstance(node.args[1], ast.Name):
            named = functions.get(node.args[1].id, [])
            if len(named) == 1:
                found[named[0]] = event
    return found


def _event_of(node: ast.AST, arguments: int) -> str:
    match node:
        case ast.Call(
            func=ast.Name(id="on") | ast.Attribute(value=ast.Name(id="mta"), attr="on"),
            args=[ast.Constant(value=str(event)), *_] as given,
        ) if len(given) == arguments:
            return event
    return ""


def _cannot_wait(function: _Function, event: str | None) -> bool:
    """Tell whether a function is called by the program itself, and cannot wait."""
    return event is not None and isinstance(function, ast.FunctionDef)


def _optional_names(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name(id="hasattr" | "getattr"),
                args=[_, ast.Constant(value=str(name)), *_],
            ):
                names.add(name)
    return names


def _names(tree: ast.Module) -> Iterator[ast.Name]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Name))


def _hint(name: str, offered: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, sorted(offered), 1)
    return f"; did you mean {close[0]!r}?" if close else ""
