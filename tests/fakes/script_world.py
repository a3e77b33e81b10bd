"""A confined script with the modules that reach out, and nothing else of a node.

The event ``ask`` waits up to ten seconds, as most events do; its answer may be anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from engine.base.clock import loop_clock
from engine.base.lifecycle import Supervisor
from engine.route.dns_resolver import DnsResolver
from engine.script_api import ScriptApi
from engine.script_modules.network_modules import NetworkModules, NetworkPorts
from engine.throttle.limiter import MemoryLimiter
from policy.hook import Hook
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace

#: Much CPU, so that a slow machine fails no test.
HOOKS = (Hook("ask", ("given",), result=(object,), cpu_budget_s=5.0, wait_budget_s=10.0),)


class ScriptWorld:
    """Scripts, and what they reach the world with.

    Attributes:
        network: The modules under test.
        data_folders: Folders that ``init`` would have allowed.
    """

    def __init__(self, folder: Path, zones: list[str] | None = None) -> None:
        self.folder = folder
        self.clock = loop_clock(asyncio.get_running_loop())
        self.supervisor = Supervisor()
        self.data_folders: tuple[Path, ...] = ()
        self.resolver = DnsResolver(
            clock=self.clock.mono,
            zones=[textwrap.dedent(zone) for zone in zones or []],
            servfail=["bad.test"],
        )
        self.warnings: list[str] = []
        self.network = NetworkModules(
            NetworkPorts(
                mono=self.clock.mono,
                wall=self.clock.wall,
                start=self.supervisor.start,
                resolver=lambda: self.resolver,
                folders=lambda: (self.folder, *self.data_folders),
                warn=self.warnings.append,
                call_function=lambda *call: self.runtime.call_function(*call),
            )
        )
        namespace = ScriptNamespace()
        ScriptApi(MemoryLimiter(self.clock.mono)).expose(namespace, version="test")
        self.network.expose(namespace)
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.runtime = PolicyRuntime(
            HOOKS, namespace, mono=self.clock.mono, report=lambda *one: self.reports.append(one)
        )

    def load(self, source: str) -> None:
        """Load a script and make it current."""
        path = self.folder / "init.py"
        path.write_text("import mta\nfrom mta import on\n" + textwrap.dedent(source))
        self.runtime.swap(self.runtime.load(path))

    async def ask(self, body: str, given: Any = None, *, top: str = "") -> Any:
        """Return what the body of an ``async def`` handler returns; it starts in line 6."""
        self.load_body(body, top=top)
        return await self.runtime.fire("ask", given)

    def load_body(self, body: str, *, top: str = "", kind: str = "async def") -> None:
        lines = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
        self.load(
            f"{top or 'pass'}\n\n@on('ask')\n{kind} ask(given):\n{lines}\n".replace("\n\n@", "\n@")
        )

    async def again(self, given: Any = None) -> Any:
        """Fire the handler that is loaded."""
        return await self.runtime.fire("ask", given)


@contextlib.asynccontextmanager
async def script_world(folder: Path, zones: list[str] | None = None) -> AsyncIterator[ScriptWorld]:
    """Run a world; nothing of it is left afterwards."""
    world = ScriptWorld(folder, zones)
    try:
        yield world
    finally:
        await world.network.close()
        await world.supervisor.stop()
        assert world.supervisor.defects == 0
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in left if "script" in task.get_name()]
