"""The modules of scripts that need no network, as a node has them, for scripts under test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.base.clock import Clock
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.hooks import HOOKS
from engine.receive.template_dialect import compile_for_scripts
from engine.script_modules.all_modules import ModuleNeeds, expose_modules
from engine.script_modules.key_sources import KeySources
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from policy.testing import ManualTime

#: Handlers may answer anything here: what they answer is what a test asks.
ANSWERING = tuple(replace(hook, check=None) for hook in HOOKS)


def expose_pure_modules(
    namespace: ScriptNamespace,
    runtime: PolicyRuntime | None = None,
    folder: Path = Path(),
    *,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    warn: Callable[[str], None] = lambda _text: None,
) -> KeySources:
    """Expose the modules in a namespace; what is not given is made up."""
    clock = clock or Clock()
    needs = ModuleNeeds(
        clock=clock,
        metrics=metrics or Metrics(ENGINE_METRICS),
        runtime=runtime or PolicyRuntime(ANSWERING, namespace, mono=clock.mono),
        folder=lambda: folder,
        warn=warn,
        compile_template=compile_for_scripts,
    )
    return expose_modules(namespace, needs)


class ScriptHost:
    """Loads scripts that use the modules, keeps what they print, and answers for ``ask``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed: list[str] = []
        self.warned: list[str] = []
        self.mono = ManualTime()
        self.wall_s = 1_700_000_000.0
        self.metrics = Metrics(ENGINE_METRICS)
        namespace = ScriptNamespace()
        namespace.expose("print", self.printed.append, module="builtins")
        self.runtime = PolicyRuntime(ANSWERING, namespace, mono=self.mono)
        self.sources = expose_pure_modules(
            namespace,
            self.runtime,
            folder,
            clock=Clock(self.mono, lambda: self.wall_s),
            metrics=self.metrics,
            warn=self.warned.append,
        )

    def load(self, source: str) -> None:
        """Load a script and make it current; ``mta`` and ``on`` are imported."""
        path = self.folder / "init.py"
        path.write_text(f"import mta\nfrom mta import on\n{source}\n", encoding="utf-8")
        self.runtime.swap(self.runtime.load(path))

    def value(self, expression: str) -> Any:
        """Return what an expression of a script gives, as text that ``repr`` made."""
        self.load(f"print(repr({expression}))")
        return self.printed.pop()

    async def fire(self, *args: Any) -> Any:
        """Return the answer of the script to ``get_queue_config``."""
        return await self.runtime.fire("get_queue_config", *args, *([None] * (4 - len(args))))

    async def ask_together(self, *calls: Any) -> list[Any]:
        """Return the outcomes of several calls that run at once."""
        tasks = [self.fire(call) for call in calls]
        return await asyncio.gather(*tasks, return_exceptions=True)

    def text_of_metrics(self) -> str:
        """Return the exposition."""
        return "".join(self.metrics.iter_text())
