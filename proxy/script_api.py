"""``mta.proxy``: what the proxy's script declares in ``proxy_init``, and whom it lets in.

Place in flow: ``proxy.app`` makes one, loads the script with it and runs by the settings it gives;
``proxy.authentication`` asks it about passwords.

Invariants:
    * Declarations are taken while ``proxy_init`` runs, and are complete when it returned.
    * The event is tried before an epoch is taken: one that fails is an error of the load, and what
      ran before goes on.
    * A name that is no absolute path counts from the folder of the script.

Failure: a wrong keyword or value is an error of the script's line; a ``proxy_auth`` that fails lets
nobody in.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from engine.model.errors import EngineError
from engine.model.keyword_options import list_of, text
from engine.model.listener_options import format_listen
from engine.model.option_error import OptionError
from engine.model.proxy_header import Endpoint
from engine.route.dns_resolver import DnsResolver
from engine.route.resolver_options import read_name_servers
from engine.script_modules.script_log import expose_log
from policy.epoch import Epoch
from policy.errors import HookFailedError, ScriptRefusal
from policy.handler_call import Pending, WouldWaitError
from policy.hook_registry import PolicyFinding
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace, known_to_scripts
from policy.use_check import check_uses
from proxy.authentication import Ends, Identity
from proxy.errors import ConfigurationError
from proxy.hooks import HOOKS
from proxy.listener_options import (
    HTTP_OWNER,
    SOCKS_OWNER,
    read_http_options,
    read_socks_options,
)
from proxy.settings import ProxySettings, ZoneAnswers

log = logging.getLogger("cirrus.proxy")
MODULE = "mta.proxy"
INIT, AUTH = "proxy_init", "proxy_auth"
Severity = Literal["error", "warning"]


@known_to_scripts("Connection")
class ConnectionView:
    """A client's connection as ``proxy_auth`` sees it: named values."""

    __slots__ = ("_meta",)

    def __init__(self, ends: Ends) -> None:
        self._meta: dict[str, Any] = {
            "received_from": format_listen(ends.peer),
            "received_via": format_listen(ends.local),
            "reception_protocol": "SOCKS5",
        }

    def get_meta(self, name: str) -> Any:
        """Return a value of the connection, or None."""
        return self._meta.get(name)

    def set_meta(self, name: str, value: Any) -> None:
        """Set a value: text, a number or a truth value; it lasts as long as the call."""
        if not isinstance(name, str):
            raise TypeError("the name of a metadata value is text")
        if value is not None and not isinstance(value, str | int | float | bool):
            raise TypeError(f"wants a plain value, not {type(value).__name__}")
        self._meta[name] = value


class _Declaring(threading.local):
    """What ``proxy_init`` declared so far in this thread; a reload is tried in one of its own."""

    settings: ProxySettings | None = None


class ProxyScript:
    """The script of one proxy.

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
        for function in (self.start_proxy_listener, self.start_http_listener):
            self.namespace.expose(function.__name__, function, module=MODULE)
        for ask in (self.configure_test_resolver, self.configure_resolver):
            self.namespace.expose(ask.__name__, ask, module="mta.dns")
        expose_log(self.namespace, mono)
        self.runtime = PolicyRuntime(HOOKS, self.namespace, mono=mono, report=self._report)

    def load(self) -> None:
        """Load the script for the first time.

        Raises:
            PolicyLoadError: It does not load.
        """
        self.runtime.swap(self.runtime.load(self.path, dry_check=self.check))

    def check(self, epoch: Epoch) -> list[PolicyFinding]:
        """Return what there is to say about an epoch; an error among it rejects it."""
        findings = list(epoch.native.findings)
        try:
            findings += self._judge(self._declare(epoch), epoch)
        except HookFailedError as error:
            said = f"{INIT}: {error.message}"
            findings.append(PolicyFinding(error.file, error.line, "error", said))
        except (ScriptRefusal, WouldWaitError) as error:
            findings.append(self.finding("error", _reason(error), epoch=epoch))
        told = {(one.file, one.line) for one in findings}
        used = check_uses(epoch.files, self.namespace.names())
        return findings + [one for one in used if (one.file, one.line) not in told]

    def _judge(self, declared: ProxySettings, epoch: Epoch) -> list[PolicyFinding]:
        """Return what there is to say about listeners that contradict the rest of the script."""
        if not declared.listeners:
            return [self.finding("error", "declares no listener for clients", epoch=epoch)]
        findings = []
        for one in declared.listeners:
            if one.users_file is not None or AUTH in epoch.handlers:
                continue
            place = f"the listener on {one.listen[0]}:{one.listen[1]}"
            if one.require_auth:
                said = f"{place} requires passwords, and there is nothing to judge them"
                findings.append(self.finding("error", said, epoch=epoch))
            elif any(rule.users or rule.groups for rule in one.access.rules):
                said = f"{place} has rules for users, and there is nothing to judge passwords"
                findings.append(self.finding("warning", said, epoch=epoch))
        return findings

    def finding(
        self, severity: Severity, said: str, *, epoch: Epoch | None = None
    ) -> PolicyFinding:
        """Return a finding at the handler of ``proxy_init``, of the current epoch by default."""
        handlers = (epoch or self.runtime.epoch).handlers.get(INIT)
        if handlers:
            return PolicyFinding(handlers[0].file, handlers[0].line, severity, f"{INIT}: {said}")
        return PolicyFinding(str(self.path), None, severity, f"{INIT}: {said}")

    @property
    def can_judge(self) -> bool:
        """Return whether the current epoch judges passwords."""
        return AUTH in self.runtime.epoch.handlers

    def settings(self) -> ProxySettings:
        """Return what the current epoch declares.

        Raises:
            ConfigurationError: ``proxy_init`` fails.
        """
        try:
            return self._declare(self.runtime.epoch)
        except HookFailedError as error:
            raise ConfigurationError(str(error)) from error
        except (ScriptRefusal, WouldWaitError) as error:
            raise ConfigurationError(f"{INIT}: {_reason(error)}") from error

    async def authenticate(self, user: str, password: str, ends: Ends) -> Identity | None:
        """Return who shows a user name and a password, by the script's judgement."""
        try:
            answer = await self.runtime.fire(AUTH, user, password, ConnectionView(ends))
            return read_identity(answer, user)
        except HookFailedError:
            return None  # the runtime's report has it in the log already
        except ScriptRefusal:
            return None
        except ValueError as error:
            log.error("handler of %s: %s", AUTH, error)
            return None

    def _declare(self, epoch: Epoch) -> ProxySettings:
        self._declaring.settings = ProxySettings()
        try:
            answer = self.runtime.fire_nowait(INIT, epoch=epoch)
            if type(answer) is Pending:
                answer.finish_nowait()
            return self._declaring.settings
        finally:
            self._declaring.settings = None

    # -- what scripts call --

    def start_proxy_listener(self, **options: Any) -> None:
        """Declare a listener for clients."""
        declared = self._declared(SOCKS_OWNER)
        listener = read_socks_options(options, self.path.parent)
        _refuse_twice(listener.listen, declared)
        self._declaring.settings = replace(declared, listeners=(*declared.listeners, listener))

    def start_http_listener(self, **options: Any) -> None:
        """Declare a listener for operators and for metrics."""
        declared = self._declared(HTTP_OWNER)
        listener = read_http_options(options, self.path.parent)
        _refuse_twice(listener.listen, declared)
        self._declaring.settings = replace(declared, http=(*declared.http, listener))

    def configure_test_resolver(self, *, zones: Any, servfail: Any = ()) -> None:
        """Answer DNS from these zone file texts only; names in servfail fail."""
        declared = self._declared("mta.dns.configure_test_resolver")
        resolver = ZoneAnswers(list_of(_zone)(zones), list_of(text)(servfail))
        _try_resolver(zones=resolver.zones, servfail=resolver.servfail)
        self._declaring.settings = replace(declared, test_resolver=resolver)

    def configure_resolver(self, *, name_servers: Any) -> None:
        """Ask these name servers, "address" or "address:port", instead of the system's."""
        declared = self._declared("mta.dns.configure_resolver")
        servers, _ = read_name_servers(name_servers)
        _try_resolver(nameservers=servers)
        self._declaring.settings = replace(declared, name_servers=servers)

    def _declared(self, name: str) -> ProxySettings:
        settings = self._declaring.settings
        if settings is None:
            raise RuntimeError(f"{name}() belongs into {INIT}")
        return settings

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


def read_identity(answer: object, user: str) -> Identity | None:
    """Return who somebody is by what ``proxy_auth`` answered.

    Args:
        answer: True, False, None, or a dict with ``identities`` and ``groups``.
        user: The name that was shown.

    Raises:
        ValueError: It is a dict that says something else.
    """
    if not isinstance(answer, Mapping):
        return Identity(frozenset({user})) if answer is True else None
    unknown = set(answer) - {"identities", "groups", "peer_address"}
    if unknown:
        raise ValueError(f"the answer has no place for {sorted(map(str, unknown))}")
    names = frozenset(_name_of(one) for one in answer.get("identities") or ())
    if not names:
        raise ValueError("the answer is a dict without identities")
    groups = answer.get("groups") or ()
    if isinstance(groups, str) or not all(isinstance(one, str) for one in groups):
        raise ValueError("groups are a list of text")
    return Identity(names, frozenset(groups))


def _name_of(identity: object) -> str:
    name = identity.get("identity") if isinstance(identity, Mapping) else identity
    if not isinstance(name, str) or not name:
        raise ValueError("an identity is text, or a dict that holds one as identity")
    return name


def _refuse_twice(listen: Endpoint, declared: ProxySettings) -> None:
    taken = [one.listen for one in declared.listeners] + [one.listen for one in declared.http]
    if listen[1] and listen in taken:
        raise ValueError(f"two listeners on {format_listen(listen)}")


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


def _reason(error: BaseException) -> str:
    if isinstance(error, WouldWaitError):
        return "it cannot wait for the network"
    return str(error)
