"""The modules of scripts that need no network, exposed together.

Place in flow: ``engine.app`` and ``engine.policy_check`` call it once, with what the modules need
of the stages above.

Invariants:
    * What lives across reloads (caches, series, counters) is made here, once for a node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.base.clock import Clock
from engine.base.metrics import Metrics
from engine.script_modules.cidr_map import expose_cidr
from engine.script_modules.counter_series import CounterSeriesRegistry, expose_counter_series
from engine.script_modules.digest import expose_digest
from engine.script_modules.domain_map import expose_domain_map
from engine.script_modules.encode import expose_encode
from engine.script_modules.identifier import expose_uuid
from engine.script_modules.key_sources import KeySources, expose_secrets
from engine.script_modules.memo_cache import MemoRegistry
from engine.script_modules.memoized import expose_memoize
from engine.script_modules.node_facts import expose_facts
from engine.script_modules.policy_files import PolicyFiles, expose_fs
from engine.script_modules.regex_set_map import expose_regex_set_map
from engine.script_modules.script_counter import expose_counters
from engine.script_modules.script_log import expose_log
from engine.script_modules.script_time import expose_time
from engine.script_modules.serialization import expose_serde
from engine.script_modules.strings import Render, Templates, expose_string
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace


def _no_template(_source: str, _dialect: str, _is_html: bool) -> Render:
    def render(_variables: Mapping[str, Any], _cpu_s: float) -> str:
        raise ValueError("templates are not available here")

    return render


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleNeeds:
    """What the modules need of a node.

    Attributes:
        clock: Its clock.
        metrics: Its metrics.
        runtime: Its policy.
        folder: Port: the folder of the policy script.
        warn: Port: notes a warning of the script under way.
        compile_template: Port: compiles a template of a dialect.
    """

    clock: Clock
    metrics: Metrics
    runtime: PolicyRuntime
    folder: Callable[[], Path]
    warn: Callable[[str], None]
    compile_template: Callable[[str, str, bool], Render] = _no_template


def expose_modules(namespace: ScriptNamespace, needs: ModuleNeeds) -> KeySources:
    """Make the modules importable by scripts; return what reads key sources."""
    runtime = needs.runtime
    files = PolicyFiles(
        needs.folder,
        lambda epoch: epoch is runtime.active_epoch and epoch is not runtime.epoch,
    )
    sources = KeySources(needs.folder, runtime.call_function)
    mono = needs.clock.mono
    expose_memoize(namespace, MemoRegistry(mono, needs.metrics))
    expose_domain_map(namespace)
    expose_cidr(namespace)
    expose_regex_set_map(namespace)
    expose_digest(namespace)
    expose_encode(namespace)
    expose_time(namespace, needs.clock, needs.metrics)
    expose_uuid(namespace, needs.clock.wall)
    expose_serde(namespace, files)
    expose_fs(namespace, files)
    expose_string(namespace, Templates(needs.compile_template))
    expose_counter_series(namespace, CounterSeriesRegistry(mono))
    expose_secrets(namespace, sources)
    expose_log(namespace, mono)
    expose_counters(namespace, needs.metrics)
    expose_facts(namespace, needs.warn)
    return sources
