"""``mta.tsa``: what the daemon's script declares in ``tsa_init``, gathered into settings.

Place in flow: ``tsa.app`` makes one, loads the script with it and runs by the settings it gives.

Invariants:
    * Declarations are taken while ``tsa_init`` runs, and are complete when it returned.
    * A name that is no absolute path counts from the folder of the script.

Failure: a wrong keyword or value is an error of the script's line.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.base.shaping_source import is_url
from engine.model.cidr import CidrSet
from engine.model.duration import parse_duration
from engine.model.keyword_options import flag, key_source, list_of, text
from engine.model.listener_options import parse_listen
from engine.route.resolver_options import read_name_servers
from policy.errors import HookFailedError, ScriptRefusal
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from tsa.errors import ConfigurationError
from tsa.hooks import HOOKS
from tsa.settings import TestResolver, TsaListener, TsaSettings

log = logging.getLogger("cirrus.tsa")
MODULE = "mta.tsa"


class TsaScript:
    """The script of one daemon.

    Args:
        path: The script.
        mono: Monotonic time in seconds.
    """

    def __init__(self, path: Path, mono: Callable[[], float]) -> None:
        self.path = path
        self._open: TsaSettings | None = None
        namespace = ScriptNamespace()
        self._expose(namespace)
        self.runtime = PolicyRuntime(HOOKS, namespace, mono=mono, report=self._report)

    def _expose(self, namespace: ScriptNamespace) -> None:
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
        for level in ("debug", "info", "warning", "error"):
            namespace.expose(f"log_{level}", getattr(log, level))

    def load(self) -> None:
        """Load the script for the first time.

        Raises:
            PolicyLoadError: It does not load.
        """
        self.runtime.swap(self.runtime.load(self.path))

    def settings(self) -> TsaSettings:
        """Return what ``tsa_init`` of the current epoch declares.

        Raises:
            ConfigurationError: It fails.
        """
        self._open = TsaSettings(listeners=())
        try:
            self.runtime.fire_nowait("tsa_init")
            declared = self._open
        except (HookFailedError, ScriptRefusal) as error:
            raise ConfigurationError(str(error)) from error
        finally:
            self._open = None
        if not declared.listeners:
            declared = replace(declared, listeners=(TsaListener(),))
        return replace(declared, shaping=self.sources())

    def sources(self) -> tuple[str, ...]:
        """Return what ``load_shaping_data`` names.

        Raises:
            ConfigurationError: It fails, or gives no list of names.
        """
        try:
            answer = self.runtime.fire_nowait("load_shaping_data")
            names = list_of(text)(answer if answer is not None else [])
        except (HookFailedError, ScriptRefusal) as error:
            raise ConfigurationError(str(error)) from error
        except ValueError as error:
            raise ConfigurationError(f"load_shaping_data: {error}") from error
        return tuple(name if is_url(name) else str(self.path.parent / name) for name in names)

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
        declared = self._declared("start_http_listener")
        listener = TsaListener(
            _named("listen", parse_listen, listen),
            _named("hostname", text, hostname) if hostname is not None else socket.gethostname(),
            _named("trusted_hosts", CidrSet.parse, trusted_hosts),
            _named("use_tls", flag, use_tls),
            _key("tls_certificate", tls_certificate),
            _key("tls_private_key", tls_private_key),
        )
        if any(one.listen == listener.listen for one in declared.listeners) and listener.listen[1]:
            raise ValueError(f"two listeners on {listen}")
        self._open = replace(declared, listeners=(*declared.listeners, listener))

    def configure_state(self, *, path: str) -> None:
        """Declare the folder in which decisions are kept."""
        declared = self._declared("configure_state")
        self._open = replace(declared, state=self.path.parent / _named("path", text, path))

    def configure_tsa_db_path(self, path: str) -> None:
        """Declare where decisions are kept, by the name of a file in the folder."""
        declared = self._declared("configure_tsa_db_path")
        self._open = replace(declared, state=self.path.parent / Path(text(path)).parent)

    def set_refresh_interval(self, duration: Any) -> None:
        """Set how often the shaping files are looked at."""
        declared = self._declared("set_refresh_interval")
        seconds = parse_duration(duration)
        if not seconds:
            raise ValueError("a duration above zero is expected")
        self._open = replace(declared, refresh_s=seconds)

    def switch_off(self) -> None:
        """Have the rules decide nothing until a reload says otherwise."""
        self._open = replace(self._declared("switch_off"), is_switched_off=True)

    def configure_test_resolver(self, *, zones: Any, servfail: Any = ()) -> None:
        """Answer DNS from these zone file texts only; names in servfail fail."""
        declared = self._declared("dns.configure_test_resolver")
        resolver = TestResolver(tuple(list_of(text)(zones)), tuple(list_of(text)(servfail)))
        self._open = replace(declared, test_resolver=resolver)

    def configure_resolver(self, *, name_servers: Any) -> None:
        """Ask these name servers, "address" or "address:port", instead of the system's."""
        declared = self._declared("dns.configure_resolver")
        servers, _ = read_name_servers(name_servers)
        self._open = replace(declared, name_servers=servers)

    def _declared(self, name: str) -> TsaSettings:
        if self._open is None:
            raise RuntimeError(f"mta.tsa.{name}() belongs into tsa_init")
        return self._open

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


def _named(name: str, convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _key(name: str, value: Any) -> Any:
    return None if value is None else _named(name, key_source, value)
