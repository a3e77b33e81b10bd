"""What happens to the policy, said aloud: diagnostic log and metrics.

Place in flow: ``policy.runtime`` reports to it; ``engine.app`` is told of each new epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from engine.base.clock import Clock
from engine.base.metrics import Metrics
from policy.errors import ScriptFrame

log = logging.getLogger("cirrus.node")
#: How often failures at one line of a script are told, seconds.
FAILURE_PAUSE_S = 1.0


class PolicyReport:
    """Takes the runtime's reports.

    Args:
        metrics: The node's metrics.
        on_loaded: Called after a new epoch was loaded.
        mono: Monotonic time in seconds.
    """

    def __init__(
        self,
        metrics: Metrics,
        on_loaded: Callable[[], None],
        mono: Callable[[], float] | None = None,
    ) -> None:
        self._metrics = metrics
        self._on_loaded = on_loaded
        self._mono = mono or Clock().mono
        #: When each place may be told of next, and how many failures there were left out.
        self._places: dict[tuple[str, str], tuple[float, int]] = {}
        #: What was last told of each event: the same lines are not shown again and again.
        self._told: dict[str, tuple[ScriptFrame, ...]] = {}
        #: Events with a handler that is not run.
        self._open: set[str] = set()
        # From the start: of a counter that begins with 1, nobody sees that it has grown.
        for outcome in ("loaded", "rejected"):
            metrics.counter("policy_reload_total").labels(outcome)

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
                self._begin_anew()
                self._on_loaded()
            case "policy_rejected":
                self._count_reload("rejected")
                log.error("policy rejected, the running one stays: %s: %s", place, text)
                _show_lines(facts.get("trace", ()))
            case "handler_failed":
                self._metrics.counter("policy_handler_errors_total").labels(hook).inc()
                if self._tell_failure(hook, place, text):
                    self._show_once(hook, facts.get("trace", ()))
            case "handler_overrun":
                # The failure itself was told just before.
                self._metrics.counter("policy_handler_overruns_total").labels(hook).inc()
            case "breaker_open":
                self._open.add(hook)
                self._metrics.gauge("policy_breaker_open").labels(hook).set(1)
                log.error("handler of %s is not run for %s s", hook, facts.get("pause_s"))
            case "breaker_closed":
                self._open.discard(hook)
                self._metrics.gauge("policy_breaker_open").labels(hook).set(0)
                log.info("handler of %s is run again", hook)
            case _:
                log.info("script: %s", text)

    def _tell_failure(self, hook: str, place: str, text: str) -> bool:
        """Log a failure, once a second for each line of a script; return whether it was."""
        now = self._mono()
        due_mono, left_out = self._places.get((hook, place), (now, 0))
        if now < due_mono:
            self._places[hook, place] = due_mono, left_out + 1
            return False
        self._places[hook, place] = now + FAILURE_PAUSE_S, 0
        more = f" ({left_out} more at this line)" if left_out else ""
        log.error("handler of %s failed: %s: %s%s", hook, place, text, more)
        return True

    def _begin_anew(self) -> None:
        """Forget what handlers of the old epoch did: the new ones have done nothing yet."""
        self._told.clear()
        self._places.clear()
        while self._open:
            self._metrics.gauge("policy_breaker_open").labels(self._open.pop()).set(0)

    def _show_once(self, hook: str, trace: tuple[ScriptFrame, ...]) -> None:
        """Show the lines of a script that led to an error, if they are not those shown last."""
        if trace and self._told.get(hook) != trace:
            self._told[hook] = trace
            _show_lines(trace)

    def _count_reload(self, outcome: str) -> None:
        self._metrics.counter("policy_reload_total").labels(outcome).inc()
        self._metrics.counter("lua_load_count").labels().inc()


def _show_lines(trace: Iterable[ScriptFrame]) -> None:
    """Write the lines of scripts that led to an error, the innermost last."""
    for frame in trace:
        log.error("  at %s", frame)
