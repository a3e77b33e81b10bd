"""What tests of scripts need of any program: scripts loaded, time moved.

Place in flow: used by tests only. This is not what operators import: to test a script takes an
engine, so their harness is ``engine.script_testing``, which is made of this.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from policy.hook import Hook
from policy.runtime import DryCheck, PolicyRuntime
from policy.script_api import ScriptNamespace

#: How close to its time a loop takes a timer for due, seconds.
_RESOLUTION_S = 1e-9


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


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits for time to pass, unless a thread is at work."""

    def __init__(self, time: ManualTime) -> None:
        super().__init__()
        self._time = time
        self.threads_at_work = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; where nothing is, move time to the next timer."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(timeout if self.threads_at_work else 0)
        if not ready:
            self._time.advance(timeout)
            # Late in a long test the clock's steps are coarser than the loop's idea of "now": it
            # would wait for ever for the last of them.
            step_s = math.ulp(self._time())
            if step_s > _RESOLUTION_S / 2:
                self._time.advance(step_s)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose waits take no time: it moves a clock instead.

    Args:
        time: The clock.
    """

    def __init__(self, time: ManualTime) -> None:
        self._manual_time = time
        self._jumping = _JumpingSelector(time)
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the time of the clock."""
        return self._manual_time.now_mono

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, function: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run a function in a thread; time stands still until it returns."""
        future = super().run_in_executor(executor, function, *args)
        self._jumping.threads_at_work += 1
        future.add_done_callback(self._note_done)
        return future

    def _note_done(self, _future: asyncio.Future[Any]) -> None:
        self._jumping.threads_at_work -= 1


def write_scripts(folder: Path, script: str, others: Mapping[str, str]) -> Path:
    """Write a script, and what stands beside it by file name, into a folder; return its path."""
    for name, text in others.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    path = folder / "init.py"
    path.write_text(script, encoding="utf-8")
    return path


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
