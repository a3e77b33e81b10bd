"""Check of the daemon's script without a daemon: what ``cirrus check --policy`` asks the TSA.

Place in flow: found by ``engine.tools.check`` through the entry-point group ``cirrus.checks`` for
scripts with handlers of the daemon's events; loads a script as ``tsa.app`` does.

Invariants:
    * Nothing is started or opened but the script's own files: ``tsa_init`` only declares.
    * Shaping files are not read here: ``cirrus check --shaping`` does.
"""

from __future__ import annotations

from pathlib import Path

from engine.base.clock import Clock
from engine.base.shaping_source import is_url
from policy.epoch import Epoch
from policy.errors import PolicyLoadError
from policy.hook_registry import PolicyFinding
from tsa.errors import ConfigurationError
from tsa.script_api import TsaScript


def check_policy(path: Path) -> list[PolicyFinding]:
    """Return everything there is to say about a script of the daemon and what it imports.

    Args:
        path: The script; it need not exist.
    """
    script = TsaScript(path.absolute(), Clock().mono)
    findings: list[PolicyFinding] = []

    def gather(epoch: Epoch) -> list[PolicyFinding]:
        # An error among the answers would end the load at the first one.
        findings.extend(script.check(epoch))
        return []

    try:
        epoch = script.runtime.load(script.path, dry_check=gather)
    except PolicyLoadError as error:
        findings.append(PolicyFinding(error.file, error.line, "error", error.message))
        return findings
    script.runtime.swap(epoch)
    return findings + _missing_files(script)


def _missing_files(script: TsaScript) -> list[PolicyFinding]:
    """Return the shaping files that the script names and that are not there."""
    try:
        names = script.sources()
    except ConfigurationError:
        return []  # said by the trial of the event
    missing = [name for name in names if not is_url(name) and not Path(name).is_file()]
    return [
        script.finding("load_shaping_data", "error", f"there is no file {name}") for name in missing
    ]
