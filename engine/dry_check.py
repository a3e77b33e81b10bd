"""Try a new epoch before it is swapped in: its init, and its answers for names in use.

Place in flow: ``policy.runtime`` calls it between loading and swapping; ``engine.app`` takes the
declarations it gathered.

Invariants:
    * Nothing is carried out: ``init`` only declares, ``get_*`` only answer.
    * A wrong type, an option that does not fit, or an error for a name in use, rejects the epoch.
      Another error for a made-up name is a warning: the script may know only its own names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.call_check import check_calls
from engine.hooks import NOT_YET_FIRED
from engine.model.egress import UNSPECIFIED, EgressPath, EgressPool, EgressSource
from engine.model.errors import ConfigurationError
from engine.model.listener_options import format_listen
from engine.model.queue_config import QueueConfig
from engine.model.queue_name import QueueName
from engine.route.dns_backend import ZoneBackend
from engine.script_api import ScriptApi
from engine.script_declarations import Declarations
from engine.script_refusals import SmtpRefusal
from engine.script_views import ConnectionView
from policy.epoch import Epoch
from policy.errors import HookFailedError
from policy.handler_call import Pending, WouldWaitError
from policy.hook_registry import PolicyFinding
from policy.runtime import PolicyRuntime
from policy.use_check import check_uses

#: Names in use that are asked for; a sample of a node with very many.
QUEUES_MAX = 50
_UNROUTED = (
    "records of a log hook go nowhere: no handler of should_enqueue_log_record names a queue for"
    ' them by msg.set_meta("queue", ...)'
)
_EXAMPLE = QueueName("example.com", None, None, None)


def _without_echoes(findings: list[PolicyFinding]) -> list[PolicyFinding]:
    """Leave out what repeats an error of the same line, as a warning or once more."""
    errors = {(one.file, one.line) for one in findings if one.severity == "error"}
    kept: dict[tuple[str, int | None, str, str], PolicyFinding] = {}
    told: set[tuple[str, int | None]] = set()
    for one in findings:
        place = (one.file, one.line)
        if one.severity == "error" and one.line is not None:
            if place in told:
                continue
            told.add(place)
        elif place in errors and one.line is not None:
            continue
        kept.setdefault((*place, one.severity, one.message), one)
    return list(kept.values())


class DryCheck:
    """Runs the checks; keeps what the last good ``init`` declared.

    Attributes:
        declarations: Of the epoch checked last.
        queues_in_use: Port: the queues whose answers are tried.
    """

    def __init__(self, runtime: PolicyRuntime, api: ScriptApi) -> None:
        self._runtime = runtime
        self._api = api
        self.declarations = Declarations()
        self.queues_in_use: Callable[[], list[QueueName]] = list

    def __call__(self, epoch: Epoch) -> list[PolicyFinding]:
        """Return what there is to say about an epoch; an error among it rejects it."""
        found_before = list(epoch.native.findings)
        is_sound = all(one.severity != "error" for one in found_before)
        with self._api.noting() as noted:
            findings = self._check(epoch, is_sound=is_sound)
            if is_sound:
                self._probe_others(epoch)
        # What is told where it stands, with a hint, comes before what a call said of it.
        found_before += check_calls(epoch.files)
        found_before += check_uses(epoch.files, self._runtime.namespace.names())
        findings = found_before + findings + noted
        for name in sorted(NOT_YET_FIRED & epoch.handlers.keys()):
            text = f"the event {name} is known but not yet in force: the handler never runs"
            findings.append(_finding(epoch, name, "warning", text))
        return _without_echoes(findings)

    def _check(self, epoch: Epoch, *, is_sound: bool) -> list[PolicyFinding]:
        with self._api.declaring() as declarations:
            for declare in epoch.native.before_init:
                declare()
            found = self._fire(epoch, "init", severity="error")
        findings = found[1] or _check_zones(epoch, declarations)
        if not findings:
            self.declarations = declarations
            self._runtime.limit_calls(epoch, declarations.handler_limits)
            if declarations.log_hooks and "should_enqueue_log_record" not in epoch.handlers:
                findings.append(_finding(epoch, "init", "warning", _UNROUTED))
        if not is_sound:
            # Answers made of data that is known to be wrong would only repeat what is wrong.
            return findings
        used = self.queues_in_use()[:QUEUES_MAX]
        for name in used or [_EXAMPLE]:
            self._check_queue(epoch, name, findings, "error" if used else "warning")
        return findings

    def _probe_others(self, epoch: Epoch) -> None:
        """Ask handlers for names that nobody uses: only a wrong option is worth a word."""
        listener = next(iter(self.declarations.listeners), ("127.0.0.1", 25))
        connection = ConnectionView({})
        for hook, arguments in (
            ("get_egress_pool", ("example",)),
            ("get_egress_source", ("example",)),
            ("get_listener_domain", (_EXAMPLE.domain, format_listen(listener), connection)),
        ):
            self._fire(epoch, hook, *arguments, severity="warning")

    def _check_queue(
        self, epoch: Epoch, name: QueueName, findings: list[PolicyFinding], severity: str
    ) -> None:
        config = self._ask(epoch, "get_queue_config", tuple(name), QueueConfig, findings, severity)
        pool_name = config.egress_pool if config is not None else None
        if pool_name in (None, UNSPECIFIED):
            self._check_path(epoch, name, UNSPECIFIED, findings, severity)
            return
        # The script named the pool itself: not to know it is an error whatever the domain.
        pool = self._ask(epoch, "get_egress_pool", (pool_name,), EgressPool, findings, "error")
        if pool is None:
            if not findings or findings[-1].severity != "error":
                text = f"get_queue_config names the pool {pool_name!r}, which does not exist"
                place = _handled(epoch, "get_egress_pool", "get_queue_config")
                findings.append(_finding(epoch, place, "error", text))
            return
        missing = []
        for entry in pool.entries:
            if entry.name != UNSPECIFIED:
                source = self._ask(
                    epoch, "get_egress_source", (entry.name,), EgressSource, findings, "error"
                )
                if source is None:
                    missing.append(repr(entry.name))
            self._check_path(epoch, name, entry.name, findings, severity)
        if missing:
            text = f"the pool {pool_name!r} names the source {missing[0]}, which does not exist"
            if len(missing) > 1:
                several = " and ".join(missing)
                text = f"the pool {pool_name!r} names the sources {several}, which do not exist"
            place = _handled(epoch, "get_egress_source", "get_egress_pool")
            findings.append(_finding(epoch, place, "error", text))

    def _check_path(
        self,
        epoch: Epoch,
        name: QueueName,
        source: str,
        findings: list[PolicyFinding],
        severity: str,
    ) -> None:
        domain = name.routing_domain or name.domain
        arguments = (domain, source, f"mx.{domain}")
        self._ask(epoch, "get_egress_path", arguments, EgressPath, findings, severity)

    def _ask(
        self,
        epoch: Epoch,
        hook: str,
        arguments: tuple[Any, ...],
        wanted: type,
        findings: list[PolicyFinding],
        severity: str,
    ) -> Any:
        answer, trouble = self._fire(epoch, hook, *arguments, severity=severity)
        findings.extend(trouble)
        if answer is None or trouble:
            return None
        if not isinstance(answer, wanted):
            text = f"{hook} answers an object {wanted.__name__}, not {type(answer).__name__}"
            findings.append(_finding(epoch, hook, "error", text))
            return None
        return answer

    def _fire(
        self, epoch: Epoch, hook: str, *arguments: Any, severity: str
    ) -> tuple[Any, list[PolicyFinding]]:
        try:
            answer = self._runtime.fire_nowait(hook, *arguments, epoch=epoch)
            if type(answer) is Pending:
                answer = answer.finish_nowait()
        except HookFailedError as error:
            # Whatever it was asked: no answer of the wrong type is right for another name.
            kind: Any = "error" if error.is_misanswer else severity
            return None, [PolicyFinding(error.file, error.line, kind, f"{hook}: {error.message}")]
        except SmtpRefusal as refusal:
            text = f"{hook} refuses with {refusal.reply.one_line()}"
            return None, [_finding(epoch, hook, severity, text)]
        except WouldWaitError:
            if hook != "init":
                # It asks the network: what it answers is seen when mail flows.
                return None, []
            return None, [_finding(epoch, hook, severity, "init cannot wait for the network")]
        return answer, []


def _check_zones(epoch: Epoch, declarations: Declarations) -> list[PolicyFinding]:
    """Read the zones that ``init`` gave; here, as large ones take longer than a script may."""
    if declarations.test_resolver is None:
        return []
    try:
        ZoneBackend(*declarations.test_resolver)
    except ConfigurationError as error:
        return [_finding(epoch, "init", "error", f"dns.configure_test_resolver: {error}")]
    return []


def _handled(epoch: Epoch, *hooks: str) -> str:
    """Return the first of some hooks that has a handler: what is missing is told there."""
    return next((hook for hook in hooks if epoch.handlers.get(hook)), hooks[0])


def _finding(epoch: Epoch, hook: str, severity: str, text: str) -> PolicyFinding:
    handlers = epoch.handlers.get(hook)
    kind: Any = severity
    if handlers:
        return PolicyFinding(handlers[0].file, handlers[0].line, kind, text)
    files = sorted(epoch.files)
    return PolicyFinding(str(files[0]) if files else "policy", None, kind, text)
