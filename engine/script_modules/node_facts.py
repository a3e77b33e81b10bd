"""What scripts may ask about the node and the policy itself.

Place in flow: exposed by ``all_modules``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from engine.script_modules.script_call import caller_epoch
from policy.script_api import ScriptNamespace


def available_parallelism() -> int:
    """Return how many processors the node may use."""
    return len(os.sched_getaffinity(0))


def get_event_registrars(name: str) -> list[dict[str, Any]]:
    """Return where the handlers of an event stand, in order: file, line and function of each."""
    epoch = caller_epoch()
    handlers = epoch.handlers.get(name, []) if epoch is not None else []
    return [
        {
            "file": handler.file,
            "line": handler.line,
            "function": getattr(handler.function, "__name__", ""),
        }
        for handler in handlers
    ]


def expose_facts(namespace: ScriptNamespace, warn: Callable[[str], None]) -> None:
    """Make them importable by scripts."""

    def set_lruttl_cache_capacity(name: str, capacity: int) -> None:
        """Do nothing but warn: the caches of a node find their size themselves."""
        del capacity
        warn(f"set_lruttl_cache_capacity({str(name)[:100]!r}) is known but not in force")

    namespace.expose("available_parallelism", available_parallelism)
    namespace.expose("get_event_registrars", get_event_registrars)
    namespace.expose("set_lruttl_cache_capacity", set_lruttl_cache_capacity)
