"""Check of a policy script without a node: what ``cirrus check --policy`` asks the engine.

Place in flow: found by ``engine.tools.check`` through the entry-point group ``cirrus.checks``;
loads a script as ``engine.app`` does, into an epoch that nothing runs on.

Invariants:
    * Nothing is started or opened but the script's own files: ``init`` only declares.
    * Every finding is reported, not only the first: where a load ends early, the text of the
      scripts is still looked at. Findings come by file and line.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.base.clock import Clock
from engine.call_check import check_calls
from engine.dry_check import DryCheck
from engine.hooks import HOOKS
from engine.records.local_log import parse_local_log_options
from engine.records.log_hook import parse_hook_records
from engine.script_api import ScriptApi
from engine.throttle.limiter import MemoryLimiter
from policy.epoch import Epoch
from policy.errors import PolicyLoadError
from policy.hook_registry import HookTable, PolicyFinding
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace


def check_local_logs(options: dict[str, Any]) -> None:
    """Read the options of ``configure_local_logs``: ``init`` fails where they do not fit.

    Raises:
        ConfigurationError: An option is unknown or has a value it cannot have.
    """
    parse_local_log_options(**options)


def check_policy(path: Path) -> list[PolicyFinding]:
    """Return everything there is to say about a policy script and what it imports.

    Args:
        path: The script; it need not exist.
    """
    clock = Clock()
    api = ScriptApi(MemoryLimiter(clock.mono).take_nowait)
    api.check_local_logs = check_local_logs
    api.check_hook_records = parse_hook_records
    namespace = ScriptNamespace()
    api.expose(namespace, version=_version())
    runtime = PolicyRuntime(HOOKS, namespace, mono=clock.mono)
    dry_check = DryCheck(runtime, api)
    findings: list[PolicyFinding] = []

    def gather(epoch: Epoch) -> list[PolicyFinding]:
        # An error among the answers would end the load at the first one.
        findings.extend(dry_check(epoch))
        if dry_check.declarations.spool is None and not _has_error(findings):
            text = "init declares no spool, and no node starts without mta.define_spool(path=...)"
            findings.append(PolicyFinding(str(path), None, "error", text))
        return []

    try:
        runtime.load(path, dry_check=gather)
    except PolicyLoadError as error:
        findings.append(PolicyFinding(error.file, error.line, "error", error.message))
        files = {path.resolve(), Path(error.file)}
        findings += check_registrations(files)
        findings += check_calls(files)
    return _in_order(findings)


def check_registrations(files: Iterable[Path]) -> list[PolicyFinding]:
    """Return what is wrong with the handlers that stand in some scripts, without running them."""
    table = HookTable(HOOKS)
    findings: list[PolicyFinding] = []
    for path in sorted(files):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            # The load says so already.
            continue
        for event, function in _registered(tree):
            text = _misfit(table, event, function)
            if text:
                line = function.decorator_list[0].lineno
                findings.append(PolicyFinding(str(path), line, "error", text))
    return findings


_Function = ast.FunctionDef | ast.AsyncFunctionDef


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


def _in_order(findings: Iterable[PolicyFinding]) -> list[PolicyFinding]:
    """Return findings by file, as first met, and line; of errors at one line the first."""
    kept: dict[tuple[str, int | None, str], PolicyFinding] = {}
    for one in findings:
        what = "" if one.severity == "error" and one.line is not None else one.message
        kept.setdefault((one.file, one.line, what), one)
    files = list(dict.fromkeys(one.file for one in kept.values()))
    return sorted(kept.values(), key=lambda one: (files.index(one.file), one.line or 0))


def _has_error(findings: list[PolicyFinding]) -> bool:
    return any(finding.severity == "error" for finding in findings)


def _version() -> str:
    try:
        return metadata.version("cirrus-mta")
    except metadata.PackageNotFoundError:
        return "0"
