"""What happens to the policy, said aloud: diagnostic log and metrics.

Place in flow: ``policy.runtime`` reports to it; ``engine.app`` is told of each new epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from engine.base.metrics import Metrics

log = logging.getLogger("cirrus.node")


class PolicyReport:
    """Takes the runtime's reports.

    Args:
        metrics: The node's metrics.
        on_loaded: Called after a new epoch was loaded.
    """

    def __init__(self, metrics: Metrics, on_loaded: Callable[[], None]) -> None:
        self._metrics = metrics
        self._on_loaded = on_loaded

    def __call__(self, event: str, facts: dict[str, Any]) -> None:
        """Say what happened.

        Args:
            event: Its name, as ``policy.runtime`` gives it.
            facts: What is known of it: hook, file, line, message.
        """
        place = f"{facts.get('file')}:{facts.get('line')}" if facts.get("file") else ""
        text = str(facts.get("message", facts.get("text", "")))
        hook = str(facts.get("hook", ""))
        match event:
            case "policy_loaded":
                self._count_reload("loaded")
                log.info("policy loaded, epoch %s, %s", facts["serial"], facts["content_hash"][:12])
                for warning in facts.get("warnings", ()):
                    log.warning("policy: %s", warning)
                self._on_loaded()
            case "policy_rejected":
                self._count_reload("rejected")
                log.error("policy rejected, the running one stays: %s: %s", place, text)
            case "handler_failed" | "handler_overrun":
                self._metrics.counter("policy_handler_errors_total").labels(hook).inc()
                log.error("handler of %s failed: %s: %s", hook, place, text)
            case "breaker_open":
                self._metrics.gauge("policy_breaker_open").labels(hook).set(1)
                log.error("handler of %s is not run for %s s", hook, facts.get("pause_s"))
            case "breaker_closed":
                self._metrics.gauge("policy_breaker_open").labels(hook).set(0)
                log.info("handler of %s is run again", hook)
            case _:
                log.info("script: %s", text)

    def _count_reload(self, outcome: str) -> None:
        self._metrics.counter("policy_reload_total").labels(outcome).inc()
        self._metrics.counter("lua_load_count").labels().inc()
