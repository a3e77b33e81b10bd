"""Check of a policy script without a node: what ``cirrus check --policy`` asks the engine.

Place in flow: found by ``engine.tools.check`` through the entry-point group ``cirrus.checks``;
loads a script as ``engine.app`` does, into an epoch that nothing runs on.

Invariants:
    * Nothing is started or opened but the script's own files: ``init`` only declares.
    * Every finding is reported, not only the first: where a load ends early, the text of the
      scripts is still looked at. Findings come by file and line.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.base.clock import Clock
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.call_check import check_calls
from engine.dry_check import DryCheck
from engine.helpers.script_helpers import ScriptHelpers
from engine.hooks import HOOKS
from engine.receive.template_dialect import compile_for_scripts
from engine.records.local_log import parse_local_log_options
from engine.records.log_hook import parse_hook_records
from engine.registration_check import check_registrations
from engine.script_api import ScriptApi
from engine.script_modules.all_modules import ModuleNeeds, expose_modules
from engine.script_modules.network_modules import NetworkModules, NetworkPorts
from engine.throttle.limiter import MemoryLimiter
from policy.epoch import Epoch
from policy.errors import PolicyLoadError
from policy.hook_registry import PolicyFinding
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from policy.use_check import check_uses


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
    limiter = MemoryLimiter(clock.mono)
    api = ScriptApi(limiter)
    api.check_local_logs = check_local_logs
    api.check_hook_records = parse_hook_records
    namespace = ScriptNamespace()
    api.expose(namespace, version=_version())
    NetworkModules(NetworkPorts(warn=api.warn)).expose(namespace)
    runtime = PolicyRuntime(HOOKS, namespace, mono=clock.mono)
    needs = ModuleNeeds(
        clock=clock,
        metrics=Metrics(ENGINE_METRICS),
        runtime=runtime,
        folder=lambda: path.absolute().parent,
        warn=api.warn,
        compile_template=compile_for_scripts,
    )
    expose_modules(namespace, needs)
    ScriptHelpers(api, runtime, limiter).expose(namespace)
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
        files = {path.resolve(), Path(error.file)}
        # Of two findings at one line the first stays: what has a hint.
        found_early = check_calls(files) + check_uses(files, namespace.names())
        at_it = [one for one in found_early if (one.file, one.line) == (error.file, error.line)]
        findings += at_it
        findings.append(PolicyFinding(error.file, error.line, "error", error.message))
        findings += check_registrations(files) + found_early
    return _in_order(findings)


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
