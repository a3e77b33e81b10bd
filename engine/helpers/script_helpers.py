"""The helpers of one node, joined together and offered to scripts as ``helpers``.

Place in flow: ``engine.app`` makes one for a node, ``engine.policy_check`` one for a check; each
exposes it in the policy's namespace before the first load.

Invariants:
    * A helper answers through the same events as scripts do; what it keeps belongs to an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.helpers.dkim_helper import DkimHelper
from engine.helpers.json_post import JsonPost
from engine.helpers.listener_domain_helper import expose_listener_domains
from engine.helpers.log_hook_helper import LogHookHelper
from engine.helpers.plain_tables import expose_policy_utils
from engine.helpers.queue_helper import QueueHelper, TakeRates
from engine.helpers.rollup_helper import Rollup
from engine.helpers.shaping_helper import ShapingHelper
from engine.helpers.shaping_keeper import ShapingPorts
from engine.helpers.source_helper import expose_sources
from engine.helpers.vault_key_ring import LoadSecret, StartTask, VaultKeyRing
from engine.route.dns_resolver import DnsResolver
from engine.script_api import ScriptApi
from policy.epoch import Epoch
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace


def _no_resolver() -> DnsResolver:
    raise RuntimeError("scripts are only checked here, nothing is looked up")


@dataclass(frozen=True, slots=True)
class HelperPorts:
    """What helpers need of a node that runs; without one, scripts can only be checked.

    Attributes:
        mono: Monotonic time in seconds.
        start: Runs a coroutine as a supervised task.
        resolver: The resolver of the node as it is now.
        load_secret: Reads a key source.
        shaping: What egress paths are made of, and who wants to know that they changed.
    """

    mono: Callable[[], float]
    start: StartTask
    resolver: Callable[[], DnsResolver]
    load_secret: LoadSecret
    shaping: ShapingPorts | None = None


class ScriptHelpers:
    """What scripts import from ``helpers``.

    Args:
        api: Takes what helpers declare.
        runtime: Calls functions of scripts.
        rates: Counts the rates of tenants and campaigns.
        ports: What a node that runs has to give.
    """

    def __init__(
        self,
        api: ScriptApi,
        runtime: PolicyRuntime,
        rates: TakeRates,
        ports: HelperPorts | None = None,
    ) -> None:
        call: Callable[..., Any] = runtime.call_function_nowait
        self._poster = JsonPost()
        self._queues = QueueHelper(rates)
        self._log_hooks = LogHookHelper(api, call, self._poster)
        self._rollup = Rollup(ports.resolver if ports else _no_resolver)
        keys = VaultKeyRing(ports.load_secret, ports.start, ports.mono) if ports else None
        self._dkim = DkimHelper(keys)
        self.shaping = ShapingHelper(api, ports.shaping if ports else None)

    def expose(self, namespace: ScriptNamespace) -> None:
        """Make the helpers importable by scripts."""
        self._queues.expose(namespace)
        self._log_hooks.expose(namespace)
        self._rollup.expose(namespace)
        expose_sources(namespace)
        expose_listener_domains(namespace)
        self._dkim.expose(namespace)
        self.shaping.expose(namespace)
        expose_policy_utils(namespace)

    def begin(self, epoch: Epoch) -> None:
        """Do what an epoch wants done when it has become the current one."""
        self._dkim.begin(epoch)
        self.shaping.begin(epoch)

    async def close(self) -> None:
        """Close connections, at the stop of the node."""
        await self._poster.close()
