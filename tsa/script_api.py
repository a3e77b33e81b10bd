"""``mta.tsa``: what the daemon's script declares in ``tsa_init``, gathered into settings.

Place in flow: ``tsa.app`` makes one, loads the script with it and runs by the settings it gives.

Invariants:
    * Declarations are taken while ``tsa_init`` runs, and are complete when it returned.
    * Both events are tried before an epoch is taken: one that fails is an error of the load, and
      what ran before goes on.
    * A name that is no absolute path counts from the folder of the script.

Failure: a wrong keyword or value is an error of the script's line.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from engine.base.shaping_source import is_url
from engine.model.cidr import CidrSet
from engine.model.duration import parse_duration
from engine.model.errors import EngineError
from engine.model.keyword_options import flag, key_source, list_of, text
from engine.model.listener_options import parse_listen
from engine.model.option_error import OptionError
from engine.route.dns_resolver import DnsResolver
from engine.route.resolver_options import read_name_servers
from engine.script_modules.script_log import expose_log
from policy.epoch import Epoch
from policy.errors import HookFailedError, ScriptRefusal
from policy.handler_call import Pending, WouldWaitError
from policy.hook_registry import PolicyFinding
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from policy.use_check import check_uses
from tsa.errors import ConfigurationError
from tsa.hooks import HOOKS
from tsa.settings import TestResolver, TsaListener, TsaSettings

log = logging.getLogger("cirrus.tsa")
MODULE = "mta.tsa"
Severity = Literal["error", "warning"]


class _Declaring(threading.local):
    """What ``tsa_init`` has declared so far in this thread; a reload is tried in one of its own."""

    settings: TsaSettings | None = None


class TsaScript:
    """The script of one daemon.

    Attributes:
        namespace: What it may import.
        runtime: Loads it and fires its events.

    Args:
        path: The script.
        mono: Monotonic time in seconds.
    """

    def __init__(self, path: Path, mono: Callable[[], float]) -> None:
        self.path = path
        self._declaring = _Declaring()
        self.namespace = ScriptNamespace()
        self._expose(self.namespace, mono)
        self.runtime = PolicyRuntime(HOOKS, self.namespace, mono=mono, report=self._report)

    def _expose(self, namespace: ScriptNamespace, mono: Callable[[], float]) -> None:
        for function in (
            self.start_http_listener,
            self.configure_state,
            self.configure_tsa_db_path,
            self.set_refresh_interval,
            self.switch_off,
        ):
            namespace.expose(function.__name__, function, module=MODULE)
        for ask in (self.configure_test_resolver, self.configure_resolver):
            namespace.expose(ask.__name__, ask, module="mta.dns")
        expose_log(namespace, mono)

    def load(self) -> None:
        """Load the script for the first time.

        Raises:
            PolicyLoadError: It does not load.
        """
        self.runtime.swap(self.runtime.load(self.path, dry_check=self.check))

    def check(self, epoch: Epoch) -> list[PolicyFinding]:
        """Return what there is to say about an epoch; an error among it rejects it."""
        findings = list(epoch.native.findings)
        for hook, ask in (("tsa_init", self._declare), ("load_shaping_data", self._name_sources)):
            try:
                ask(epoch)
            except HookFailedError as error:
                text = f"{hook}: {error.message}"
                findings.append(PolicyFinding(error.file, error.line, "error", text))
            except (ScriptRefusal, WouldWaitError, ValueError) as error:
                findings.append(self.finding(hook, "error", _reason(error), epoch=epoch))
        if "load_shaping_data" not in epoch.handlers:
            text = "there is no handler of load_shaping_data, and so there are no rules"
            findings.append(PolicyFinding(str(self.path), None, "warning", text))
        told = {(one.file, one.line) for one in findings}
        used = check_uses(epoch.files, self.namespace.names())
        return findings + [one for one in used if (one.file, one.line) not in told]

    def finding(
        self, hook: str, severity: Severity, text: str, *, epoch: Epoch | None = None
    ) -> PolicyFinding:
        """Return a finding at the handler of an event, of the current epoch if none is given."""
        handlers = (epoch or self.runtime.epoch).handlers.get(hook)
        if handlers:
            return PolicyFinding(handlers[0].file, handlers[0].line, severity, f"{hook}: {text}")
        return PolicyFinding(str(self.path), None, severity, text)

    def settings(self) -> TsaSettings:
        """Return what the current epoch declares.

        Raises:
            ConfigurationError: ``tsa_init`` or ``load_shaping_data`` fails.
        """
        epoch = self.runtime.epoch
        with _as_configuration_error("tsa_init"):
            declared = self._declare(epoch)
        return replace(declared, shaping=self.sources())

    def sources(self) -> tuple[str, ...]:
        """Return what ``load_shaping_data`` names.

        Raises:
            ConfigurationError: It fails, or gives no list of names.
        """
        with _as_configuration_error("load_shaping_data"):
            return self._name_sources(self.runtime.epoch)

    def _declare(self, epoch: Epoch) -> TsaSettings:
        self._declaring.settings = TsaSettings(listeners=())
        try:
            self._fire("tsa_init", epoch)
            declared = self._declaring.settings
        finally:
            self._declaring.settings = None
        return declared if declared.listeners else replace(declared, listeners=(TsaListener(),))

    def _name_sources(self, epoch: Epoch) -> tuple[str, ...]:
        answer = self._fire("load_shaping_data", epoch)
        names = list_of(text)(list(answer) if answer is not None else [])
        return tuple(name if is_url(name) else str(self.path.parent / name) for name in names)

    def _fire(self, hook: str, epoch: Epoch) -> Any:
        answer = self.runtime.fire_nowait(hook, epoch=epoch)
        return answer.finish_nowait() if type(answer) is Pending else answer

    # -- what scripts call --

    def start_http_listener(
        self,
        *,
        listen: str = "127.0.0.1:8008",
        hostname: str | None = None,
        trusted_hosts: Any = ("127.0.0.1", "::1"),
        use_tls: bool = False,
        tls_certificate: Any = None,
        tls_private_key: Any = None,
    ) -> None:
        """Declare a listener for nodes and operators."""
        declared = self._declared("tsa.start_http_listener")
        listener = TsaListener(
            _named("listen", parse_listen, listen),
            _named("hostname", text, hostname) if hostname is not None else socket.gethostname(),
            _named("trusted_hosts", CidrSet.parse, trusted_hosts),
            _named("use_tls", flag, use_tls),
            self._key("tls_certificate", tls_certificate),
            self._key("tls_private_key", tls_private_key),
        )
        if any(one.listen == listener.listen for one in declared.listeners) and listener.listen[1]:
            raise ValueError(f"two listeners on {listen}")
        self._declaring.settings = replace(declared, listeners=(*declared.listeners, listener))

    def configure_state(self, *, path: str) -> None:
        """Declare the folder in which decisions are kept."""
        declared = self._declared("tsa.configure_state")
        self._declaring.settings = replace(
            declared, state=self.path.parent / _named("path", text, path)
        )

    def configure_tsa_db_path(self, path: str) -> None:
        """Declare where decisions are kept, by the name of a file in the folder."""
        declared = self._declared("tsa.configure_tsa_db_path")
        self._declaring.settings = replace(
            declared, state=self.path.parent / Path(text(path)).parent
        )

    def set_refresh_interval(self, duration: Any) -> None:
        """Set how often the shaping files are looked at."""
        declared = self._declared("tsa.set_refresh_interval")
        seconds = parse_duration(duration)
        if not seconds:
            raise ValueError("a duration above zero is expected")
        self._declaring.settings = replace(declared, refresh_s=seconds)

    def switch_off(self) -> None:
        """Have the rules decide nothing until a reload says otherwise."""
        self._declaring.settings = replace(self._declared("tsa.switch_off"), is_switched_off=True)

    def configure_test_resolver(self, *, zones: Any, servfail: Any = ()) -> None:
        """Answer DNS from these zone file texts only; names in servfail fail."""
        declared = self._declared("dns.configure_test_resolver")
        resolver = TestResolver(list_of(_zone)(zones), list_of(text)(servfail))
        _try_resolver(zones=resolver.zones, servfail=resolver.servfail)
        self._declaring.settings = replace(declared, test_resolver=resolver)

    def configure_resolver(self, *, name_servers: Any) -> None:
        """Ask these name servers, "address" or "address:port", instead of the system's."""
        declared = self._declared("dns.configure_resolver")
        servers, _ = read_name_servers(name_servers)
        _try_resolver(nameservers=servers)
        self._declaring.settings = replace(declared, name_servers=servers)

    def _declared(self, name: str) -> TsaSettings:
        settings = self._declaring.settings
        if settings is None:
            raise RuntimeError(f"mta.{name}() belongs into tsa_init")
        return settings

    def _key(self, name: str, value: Any) -> Any:
        source = None if value is None else _named(name, key_source, value)
        return str(self.path.parent / source) if isinstance(source, str) else source

    def _report(self, event: str, facts: dict[str, Any]) -> None:
        place = f"{facts.get('file')}:{facts.get('line')}" if facts.get("file") else ""
        what = facts.get("message", facts.get("text", ""))
        match event:
            case "policy_loaded":
                log.info("policy loaded, epoch %s", facts["serial"])
                for warning in facts.get("warnings", ()):
                    log.warning("policy: %s", warning)
            case "policy_rejected":
                log.error("policy rejected, the running one stays: %s: %s", place, what)
            case "handler_failed":
                log.error("handler of %s failed: %s: %s", facts.get("hook"), place, what)
            case "script_print":
                log.info("script: %s", what)


@contextlib.contextmanager
def _as_configuration_error(hook: str) -> Iterator[None]:
    try:
        yield
    except HookFailedError as error:
        raise ConfigurationError(str(error)) from error
    except (ScriptRefusal, WouldWaitError, ValueError) as error:
        raise ConfigurationError(f"{hook}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, WouldWaitError):
        return "it cannot wait for the network"
    return str(error)


def _named(name: str, convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _try_resolver(**options: Any) -> None:
    """Make a resolver that nobody uses, so that what is wrong is told where it stands."""
    try:
        DnsResolver(clock=lambda: 0.0, **options)
    except EngineError as error:
        raise ValueError(str(error)) from error


def _zone(value: Any) -> str:
    if not isinstance(value, str):
        raise OptionError(f"the text of a zone file is expected, not {value!r:.80}")
    return value
