"""Which names a script or a function of it binds, and how often.

Place in flow: asked by ``use_check``, which trusts a name only if it is bound once.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Scope:
    """What is bound in one scope.

    Attributes:
        names: All names.
        stored: Those that something other than an argument or an import binds.
        imports: Names bound by one import alone: module and name in it, empty for the module.
        values: Names bound by one plain assignment alone, and what is assigned.
        coroutines: Names bound by one undecorated ``async def`` alone.
    """

    names: set[str] = field(default_factory=set)
    stored: set[str] = field(default_factory=set)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    values: dict[str, ast.expr] = field(default_factory=dict)
    coroutines: set[str] = field(default_factory=set)


def bound_anywhere(tree: ast.Module) -> set[str]:
    """Return every name that a script binds in any of its scopes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                names.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name) | ast.MatchAs(name=str(name)):
                names.add(name)
            case ast.MatchStar(name=str(name)) | ast.ExceptHandler(name=str(name)):
                names.add(name)
            case ast.MatchMapping(rest=str(name)):
                names.add(name)
            case ast.alias(name=name, asname=asname):
                names.add(asname or name.partition(".")[0])
    return names


def functions_of(body: list[ast.stmt]) -> Iterator[_Function]:
    """Yield the functions that stand in some statements, also in classes, not in functions."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, _Function):
            yield node
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def scope_of_module(tree: ast.Module) -> Scope:
    """Return what the top level of a script binds; what a function declares global is left out."""
    scope = _scope(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            for name in node.names:
                _forget(scope, name)
    return scope


def bound_names(function: _Function) -> Scope:
    """Return what a function binds; what an inner one declares nonlocal is left out."""
    scope = _scope(function.body)
    arguments = function.args
    for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        _forget(scope, one.arg)
    for starred in (arguments.vararg, arguments.kwarg):
        if starred is not None:
            _forget(scope, starred.arg)
    for node in ast.walk(function):
        if isinstance(node, ast.Nonlocal | ast.Global):
            for name in node.names:
                scope.stored.add(name)
                _forget(scope, name)
    return scope


def _forget(scope: Scope, name: str) -> None:
    scope.names.add(name)
    scope.imports.pop(name, None)
    scope.values.pop(name, None)
    scope.coroutines.discard(name)


def _scope(body: list[ast.stmt]) -> Scope:
    scope = Scope()
    stored: Counter[str] = Counter()
    imported: dict[str, set[tuple[str, str]]] = {}
    for node in _inside(body):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                stored[name] += 1
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                stored[name] += 1
            case ast.ClassDef(name=name) | ast.MatchAs(name=str(name)):
                stored[name] += 1
            case ast.MatchStar(name=str(name)) | ast.ExceptHandler(name=str(name)):
                stored[name] += 1
            case ast.MatchMapping(rest=str(name)):
                stored[name] += 1
            case ast.Import(names=names):
                for one in names:
                    whole = one.name if one.asname else one.name.partition(".")[0]
                    imported.setdefault(one.asname or whole, set()).add((whole, ""))
            case ast.ImportFrom(module=str(module), names=names):
                for one in names:
                    imported.setdefault(one.asname or one.name, set()).add((module, one.name))
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if stored[name] == 1 and name not in imported:
                    scope.values[name] = value
            case ast.AsyncFunctionDef(name=name, decorator_list=[]):
                if stored[name] == 1 and name not in imported:
                    scope.coroutines.add(name)
    scope.stored = set(stored)
    scope.names = scope.stored | set(imported)
    for name, places in imported.items():
        if len(places) == 1 and name not in stored:
            (scope.imports[name],) = places
    return scope


def _inside(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the nodes of a scope: not those of functions and classes in it, but their names."""
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _Function | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
