"""What tests of scripts and of this package need: a runtime from a few lines of script.

Place in flow: used by tests only; it is part of the package so that operators can test
their scripts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from policy.hook import Hook
from policy.runtime import DryCheck, PolicyRuntime
from policy.script_api import ScriptNamespace


class ManualTime:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now_mono = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_mono

    def advance(self, seconds: float) -> None:
        """Move on."""
        self.now_mono += seconds


class LoadedScript:
    """A script in a folder, loaded and current."""

    def __init__(
        self,
        folder: Path,
        source: str,
        hooks: Iterable[Hook],
        namespace: ScriptNamespace | None = None,
        *,
        dry_check: DryCheck | None = None,
    ) -> None:
        self.path = folder / "init.py"
        self.path.write_text(source, encoding="utf-8")
        self.time = ManualTime()
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.runtime = PolicyRuntime(
            hooks, namespace or ScriptNamespace(), mono=self.time, report=self._take
        )
        self.runtime.swap(self.runtime.load(self.path, dry_check=dry_check))

    def _take(self, event: str, facts: dict[str, Any]) -> None:
        self.reports.append((event, facts))

    def reported(self, event: str) -> list[dict[str, Any]]:
        """Return the facts of each report of an event."""
        return [facts for name, facts in self.reports if name == event]

    def rewrite(self, source: str) -> None:
        """Edit the script."""
        self.path.write_text(source, encoding="utf-8")
