"""Handlers in the text of scripts, held against the declared hooks where they stand.

Place in flow: ``engine.policy_check`` asks when a load ended early: the first handler that does not
fit ends it, and what is wrong with the others would come to light one by one.

Invariants:
    * Nothing is run: only ``@on("event")`` over a function is looked at.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.hooks import HOOKS
from policy.hook_registry import HookTable, PolicyFinding
from policy.sandbox import UNREADABLE

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def check_registrations(files: Iterable[Path]) -> list[PolicyFinding]:
    """Return what is wrong with the handlers that stand in some scripts, without running them."""
    table = HookTable(HOOKS)
    findings: list[PolicyFinding] = []
    for path in sorted(files):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except UNREADABLE:
            # The load says so already.
            continue
        for event, function in _registered(tree):
            text = _misfit(table, event, function)
            if text:
                line = function.decorator_list[0].lineno
                findings.append(PolicyFinding(str(path), line, "error", text))
    return findings


def _registered(tree: ast.Module) -> Iterator[tuple[str, _Function]]:
    """Yield each function that ``@on("event")`` or ``@mta.on("event")`` decorates."""
    for node in ast.walk(tree):
        if not isinstance(node, _Function):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(
                    func=ast.Name(id="on") | ast.Attribute(value=ast.Name(id="mta"), attr="on"),
                    args=[ast.Constant(value=str(event))],
                ):
                    yield event, node


def _misfit(table: HookTable, event: str, function: _Function) -> str:
    hook = table.find(event)
    if hook is None:
        nearest = table.nearest(event)
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        return f"there is no event {event!r}{hint}"
    try:
        _signature_of(function.args).bind(*hook.arguments)
    except TypeError as error:
        return f"the handler must accept {event}({', '.join(hook.arguments)}): {error}"
    return ""


def _signature_of(arguments: ast.arguments) -> inspect.Signature:
    """Return the signature of a function by its text."""
    kind = inspect.Parameter
    positional = [
        *((one.arg, kind.POSITIONAL_ONLY) for one in arguments.posonlyargs),
        *((one.arg, kind.POSITIONAL_OR_KEYWORD) for one in arguments.args),
    ]
    needed = len(positional) - len(arguments.defaults)
    made = [
        kind(name, of_kind, default=kind.empty if index < needed else None)
        for index, (name, of_kind) in enumerate(positional)
    ]
    if arguments.vararg:
        made.append(kind(arguments.vararg.arg, kind.VAR_POSITIONAL))
    for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        made.append(kind(one.arg, kind.KEYWORD_ONLY, default=None if default else kind.empty))
    if arguments.kwarg:
        made.append(kind(arguments.kwarg.arg, kind.VAR_KEYWORD))
    return inspect.Signature(made)
