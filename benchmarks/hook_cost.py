"""Round ``hook``: what calling a handler costs, beyond the handler's own work.

Place in flow: ``benchmarks.run`` prints it; the policy runtime is called directly, no node runs.
"""

from __future__ import annotations

import tempfile
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.base.clock import Clock
from engine.hooks import HOOKS
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace

_SCRIPT = """\
from mta import on

@on("http_auth_bearer")
def nothing(token):
    return None

@on("get_acl_definition")
def lookup(resource):
    table = {"pool-a": 1, "pool-b": 2}
    return table.get(resource)

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
            "a handler with a table lookup": lambda: fire("get_acl_definition", "pool-a"),
            "a handler with a loop of ten": lambda: fire(
                "rewrite_delivery_status", None, "", "", "", ""
            ),
        }
        figures = [HookFigure(name, _best_us(call, calls, repeat)) for name, call in cases.items()]
        figures.append(_confinement(runtime, calls, repeat))
        return figures


def _confinement(runtime: PolicyRuntime, calls: int, repeat: int) -> HookFigure:
    """Return what the checks inside a small handler cost, held against the same text unconfined."""
    epoch = runtime.epoch
    confined = epoch.handlers["rewrite_delivery_status"][0].function
    plain: dict[str, Any] = {"on": lambda _event: lambda function: function}
    exec(_SCRIPT.replace("from mta import on", ""), plain)
    saved = epoch.budget.enter(10**15)
    try:
        confined_us = _best_us(lambda: confined(None, "", "", "", ""), calls, repeat)
    finally:
        epoch.budget.leave(saved)
    plain_us = _best_us(lambda: plain["loop"](None, "", "", "", ""), calls, repeat)
    return HookFigure("of that last one, confinement", confined_us - plain_us)


def _best_us(call: Callable[[], Any], calls: int, repeat: int) -> float:
    return min(timeit.repeat(call, number=calls, repeat=repeat)) / calls * 1e6
