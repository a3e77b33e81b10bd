"""Compile a script into confined code.

Place in flow: ``script_loader`` hands in source, gets code to run with the names of
``guards``; ``sandbox_rewrite`` does the rewriting.

Failure: anything the compiler or the rewriting refuses is a ``PolicyLoadError`` with the
line; the compiler's own limits on nesting are among it.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple

from RestrictedPython.compile import compile_restricted_exec

from policy.errors import PolicyLoadError
from policy.sandbox_rewrite import ScriptTransformer

MAX_SOURCE_BYTES = 4 * 1024 * 1024
#: Why the text of a file is no tree.
UNREADABLE = (OSError, SyntaxError, ValueError, RecursionError, MemoryError)
#: What a script would use instead of a builtin that it does not have.
INSTEAD = {
    "open": "mta.fs.open reads files of the policy's folder",
    "input": "nobody is there to answer",
    "exit": "a script does not end the program",
    "quit": "a script does not end the program",
}
#: How often a script is parsed at most, where Python itself stumbles.
_PARSES = 4


class LateImport(NamedTuple):
    """An import that stands inside a function, and would fail only when called."""

    module: str
    line: int


def compile_script(
    source: bytes, filename: str, available: frozenset[str]
) -> tuple[CodeType, list[LateImport]]:
    """Return the confined code of a script, and the imports that running it does not reach.

    Args:
        source: its text as read from the file.
        filename: what errors and tracebacks name.
        available: names of the builtins scripts have.

    Raises:
        PolicyLoadError: it does not compile, or uses what no script may use.
    """
    if len(source) > MAX_SOURCE_BYTES:
        raise PolicyLoadError(filename, None, "the script is larger than 4 MiB")
    try:
        tree = _parse(source, filename)
        _check_builtins(tree, filename, available)
        late = list(_late_imports(tree))
        result = compile_restricted_exec(tree, filename, policy=ScriptTransformer)
    except SyntaxError as error:
        raise PolicyLoadError(filename, error.lineno, error.msg) from error
    except (ValueError, RecursionError, MemoryError, OverflowError, SystemError) as error:
        message = f"cannot be compiled: {str(error) or type(error).__name__}"
        raise PolicyLoadError(filename, None, message) from error
    if result.errors:
        first = result.errors[0]
        raise PolicyLoadError(filename, getattr(first, "line", None), str(first))
    assert result.code is not None
    return result.code, late


def _parse(source: bytes, filename: str) -> ast.Module:
    """Return the tree of a script.

    Python 3.11 counts the depth of all parses of a process together: one in another thread can make
    it find its own count wrong. It is asked again then.
    """
    for _ in range(_PARSES - 1):
        with contextlib.suppress(SystemError):
            return ast.parse(source, filename)
    return ast.parse(source, filename)


def _check_builtins(tree: ast.AST, filename: str, available: frozenset[str]) -> None:
    """Refuse a builtin that scripts do not have where it is named, not when it is called."""
    bound: set[str] = set()
    loaded: list[ast.Name] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load):
                loaded.append(node)
            else:
                bound.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound.add(node.rest)
    for name in loaded:
        if name.id in bound or name.id in available or name.id.startswith("__"):
            continue
        if hasattr(builtins, name.id):
            hint = f"; {INSTEAD[name.id]}" if name.id in INSTEAD else ""
            message = f"{name.id!r} is not available in a policy script{hint}"
            raise PolicyLoadError(filename, name.lineno, message)


def _late_imports(tree: ast.AST) -> Iterator[LateImport]:
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield LateImport(alias.name, node.lineno)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield LateImport(node.module, node.lineno)
