"""Round ``hook``: what calling a handler costs, beyond the handler's own work.

Place in flow: ``benchmarks.run`` prints it; the policy runtime is called directly, no node runs.
"""

from __future__ import annotations

import tempfile
import timeit
from dataclasses import dataclass
from pathlib import Path

from engine.base.clock import Clock
from engine.hooks import HOOKS
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace

_SCRIPT = """\
from mta import on

@on("http_auth_bearer")
def nothing(token):
    return None

@on("get_egress_pool")
def lookup(name):
    table = {"pool-a": 1, "pool-b": 2}
    return table.get(name)

@on("rewrite_delivery_status")
def loop(response, domain, tenant, campaign, routing_domain):
    total = 0
    for number in range(10):
        total += number
    return None
"""


@dataclass(frozen=True, slots=True)
class HookFigure:
    """Microseconds of one call."""

    name: str
    us: float


def run(*, calls: int, repeat: int) -> list[HookFigure]:
    """Return the best of some repetitions, for handlers of growing size."""
    with tempfile.TemporaryDirectory(prefix="cirrus-bench-") as folder:
        script = Path(folder) / "policy.py"
        script.write_text(_SCRIPT)
        runtime = PolicyRuntime(HOOKS, ScriptNamespace(), mono=Clock().mono)
        runtime.swap(runtime.load(script))
        fire = runtime.fire_nowait
        cases = {
            "no handler": lambda: fire("smtp_ehlo", None, None, None),
            "a handler that returns None": lambda: fire("http_auth_bearer", ""),
            "a handler with a table lookup": lambda: fire("get_egress_pool", "pool-a"),
            "a handler with a loop of ten": lambda: fire(
                "rewrite_delivery_status", None, "", "", "", ""
            ),
        }
        figures = []
        for name, call in cases.items():
            best_s = min(timeit.repeat(call, number=calls, repeat=repeat))
            figures.append(HookFigure(name, best_s / calls * 1e6))
        return figures
