"""What scripts may import as ``mta``: constructors, declarations of ``init``, logging.

Place in flow: ``engine.app`` exposes it in the policy's namespace before the first load.
``init`` writes into a ``Declarations``; ``engine.declared`` carries it out, at start and at each
reload.

Invariants:
    * Declaring is only possible while ``init`` runs; everything is checked when it is declared.
    * Options that are known but not in force become warnings of the epoch, never silence.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from engine.base.clock import Clock
from engine.base.disk_guard import FLOOR_BYTES_MAX, FLOOR_INODES_MAX, parse_floor
from engine.base.dkim_signer import SignerRegistry
from engine.hooks import HOOKS
from engine.model.cidr import CidrSet
from engine.model.console_options import make_console_options
from engine.model.duration import parse_duration
from engine.model.egress import make_egress_path, make_egress_pool, make_egress_source
from engine.model.keyword_options import closest, flag, key_source, list_of, text, whole
from engine.model.listener_domain import make_listener_domain
from engine.model.listener_options import make_listener_options, parse_listen, unsupported
from engine.model.queue_config import make_queue_config
from engine.script_access import AccessDeclarations
from engine.script_declarations import (
    AutomationDeclaration,
    Declarations,
    HttpListenerDeclaration,
    LogHookDeclaration,
    SpoolDeclaration,
)
from engine.script_dkim import expose_dkim
from engine.script_limits import LimitDeclarations
from engine.script_mail import ScriptMail
from engine.script_mime import expose_mimepart
from engine.script_refusals import disconnect, reject
from engine.script_resolver import ResolverDeclarations
from engine.script_throttle import Rates, ScriptThrottle
from engine.script_tracing import TracingDeclarations
from engine.script_transfer import ScriptTransfer
from policy.epoch import EPOCH_NAME
from policy.hook import CallLimits, OnFailure
from policy.hook_registry import PolicyFinding
from policy.script_api import ScriptNamespace

#: What scripts may set the limits of handlers to, seconds.
CPU_RANGE_S = (0.001, 10.0)
WAIT_RANGE_S = (0.1, 600.0)

script_log = logging.getLogger("cirrus.script")


class _Trial(threading.local):
    """What gathers while a thread tries an epoch; others, whose mail flows, see nothing of it."""

    declaring: Declarations | None = None
    noted: list[PolicyFinding] | None = None


class ScriptApi:
    """The functions behind ``mta``, bound to one node."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._trial = _Trial()
        self._warned: list[str] = []
        self._signers = SignerRegistry()
        #: ``engine.app`` fills their ports.
        self.mail = ScriptMail()
        self.transfer = ScriptTransfer()
        #: Port: what listeners call themselves that name nothing.
        self.own_name: Callable[[], str] = socket.gethostname

    # -- declaring ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def declaring(self) -> Iterator[Declarations]:
        """Open a fresh set of declarations for one run of ``init``."""
        declarations = Declarations()
        before, self._trial.declaring = self._trial.declaring, declarations
        try:
            yield declarations
        finally:
            self._trial.declaring = before

    @contextlib.contextmanager
    def noting(self) -> Iterator[list[PolicyFinding]]:
        """Gather what script calls give rise to, each with the line of the call."""
        noted: list[PolicyFinding] = []
        before, self._trial.noted = self._trial.noted, noted
        try:
            yield noted
        finally:
            self._trial.noted = before

    def _open(self, name: str) -> Declarations:
        if self._trial.declaring is None:
            raise RuntimeError(f"mta.{name} belongs into the init event")
        return self._trial.declaring

    def define_spool(
        self,
        *,
        path: str,
        durability: str = "strict",
        min_free_space: Any = None,
        min_free_inodes: Any = None,
    ) -> None:
        """Declare where accepted mail is kept.

        Args:
            path: A folder of its own; one node at a time owns it.
            durability: ``strict`` answers 250 after a synced write, ``relaxed`` after an unsynced.
            min_free_space: Below this no mail is taken: ``"10%"`` or octets.
            min_free_inodes: The same for inodes.
        """
        declarations = self._open("define_spool")
        if declarations.spool is not None:
            raise ValueError("the spool is declared twice")
        if not isinstance(path, str) or not path:
            raise ValueError("path: wants the name of a folder")
        if durability not in ("strict", "relaxed"):
            raise ValueError(f'durability: wants "strict" or "relaxed", not {durability!r}')
        declarations.spool = SpoolDeclaration(
            Path(path),
            durability,
            _named("min_free_space", parse_floor, min_free_space, FLOOR_BYTES_MAX),
            _named("min_free_inodes", parse_floor, min_free_inodes, FLOOR_INODES_MAX),
        )

    def start_esmtp_listener(self, **options: Any) -> None:
        """Declare an SMTP listener; the options are those of the reference page."""
        declarations = self._open("start_esmtp_listener")
        listener = make_listener_options(options, hostname=self.own_name())
        for note in unsupported(options):
            self.warn(f"start_esmtp_listener: {note}")
        for name in ("tls_certificate", "tls_private_key", "tls_required_client_ca"):
            self._look_for_file(name, options.get(name))
        self._claim(declarations, listener.listen)
        declarations.listeners[listener.listen] = listener

    def start_http_listener(
        self,
        *,
        listen: str = "127.0.0.1:8000",
        hostname: str | None = None,
        trusted_hosts: Any = ("127.0.0.1", "::1"),
        request_body_limit: int = 2 << 20,
        use_tls: bool = False,
        tls_certificate: Any = None,
        tls_private_key: Any = None,
    ) -> None:
        """Declare an HTTP listener: injection, liveness, metrics, administration."""
        declarations = self._open("start_http_listener")
        address = _named("listen", parse_listen, listen)
        self._claim(declarations, address)
        _named("request_body_limit", whole(1), request_body_limit)
        _named("use_tls", flag, use_tls)
        if hostname is not None:
            _named("hostname", text, hostname)
        for name, source in (
            ("tls_certificate", tls_certificate),
            ("tls_private_key", tls_private_key),
        ):
            if source is not None:
                _named(name, key_source, source)
                self._look_for_file(name, source)
        declarations.http_listeners[address] = HttpListenerDeclaration(
            address,
            hostname or self.own_name(),
            _named("trusted_hosts", CidrSet.parse, trusted_hosts),
            request_body_limit,
            use_tls,
            tls_certificate,
            tls_private_key,
        )

    def start_ssh_console(
        self,
        *,
        listen: str = "127.0.0.1:2022",
        host_key: str,
        authorized_keys: str,
        idle_timeout: Any = "30m",
        max_sessions: int = 16,
        password_roles: Any = None,
    ) -> None:
        """Declare an SSH console: the verbs of the command line, for those with a key."""
        declarations = self._open("start_ssh_console")
        options = make_console_options(
            {
                "listen": listen,
                "host_key": host_key,
                "authorized_keys": authorized_keys,
                "idle_timeout": idle_timeout,
                "max_sessions": max_sessions,
                "password_roles": password_roles,
            }
        )
        self._look_for_file("authorized_keys", authorized_keys)
        self._claim(declarations, options.listen)
        declarations.consoles[options.listen] = options

    def _look_for_file(self, name: str, source: Any) -> None:
        """Warn of a key that is not there: the node starts, and clients would find out."""
        if isinstance(source, str) and not Path(source).is_file():
            self.warn(f"{name}: there is no file {source}")

    @staticmethod
    def _claim(declarations: Declarations, address: tuple[str, int]) -> None:
        taken = (
            address in declarations.listeners
            or address in declarations.http_listeners
            or address in declarations.consoles
        )
        if taken and address[1]:
            raise ValueError(f"two listeners on {address[0]}:{address[1]}")

    def configure_local_logs(self, *, log_dir: str, **options: Any) -> None:
        """Declare a folder of log segments; the options are those of the reference page."""
        declarations = self._open("configure_local_logs")
        if not isinstance(log_dir, str) or not log_dir:
            raise ValueError("log_dir: wants the name of a folder")
        if log_dir in declarations.local_logs:
            raise ValueError(f"logs in {log_dir} are declared twice")
        self.check_local_logs({"log_dir": log_dir, **options})
        declarations.local_logs[log_dir] = {"log_dir": log_dir, **options}

    #: Set by ``engine.app``: raises when log options do not fit (the reader lives above).
    check_local_logs: Callable[[dict[str, Any]], None] = staticmethod(lambda _options: None)

    #: Set by ``engine.app``: returns ``per_record`` of a log hook as checked, or raises.
    check_hook_records: Callable[[Any], Mapping[str, Any]] = staticmethod(lambda value: value)

    def configure_log_hook(
        self,
        *,
        name: str,
        back_pressure: int = 128_000,
        meta: Any = (),
        headers: Any = (),
        per_record: Mapping[str, Any] | None = None,
        deferred_spool: bool = False,
    ) -> None:
        """Declare that records become queued messages; route them by get_queue_config."""
        declarations = self._open("configure_log_hook")
        _named("name", text, name)
        _named("back_pressure", whole(1), back_pressure)
        names_of = list_of(text)
        meta, headers = _named("meta", names_of, meta), _named("headers", names_of, headers)
        per_record = _named("per_record", self.check_hook_records, per_record or {})
        if name in declarations.log_hooks:
            raise ValueError(f"the log hook {name!r} is declared twice")
        del deferred_spool  # a record's message is always written unsynced
        declarations.log_hooks[name] = LogHookDeclaration(
            name, back_pressure, meta, headers, dict(per_record or {})
        )

    def declare_automation(self, declared: AutomationDeclaration) -> None:
        """Declare the daemons of the automation; helpers call it, scripts cannot."""
        self._open("shaping").automation = declared

    def _set_memory(self, name: str, octets: int) -> None:
        if isinstance(octets, bool) or not isinstance(octets, int) or octets < 1 << 20:
            raise ValueError("wants a number of octets, at least 1 MiB")
        self._open(f"set_memory_{name}").memory_limits[name] = octets

    def set_memory_hard_limit(self, octets: int) -> None:
        """Set the hard limit of memory, in octets."""
        self._set_memory("hard_limit", octets)

    def set_memory_soft_limit(self, octets: int) -> None:
        """Set the limit beyond which no mail is taken, in octets."""
        self._set_memory("soft_limit", octets)

    def set_memory_low_thresh(self, octets: int) -> None:
        """Set the mark beyond which the node saves memory, in octets."""
        self._set_memory("low_thresh", octets)

    def set_handler_limits(
        self, *, event: str | None = None, cpu: Any = None, wait: Any = None
    ) -> None:
        """Set what one call of a handler may use; of one event, or of all others and functions.

        Args:
            event: An event; None sets what holds for all, but not for init.
            cpu: CPU time (50 ms): all other work stands still for so long, so keep it short.
            wait: Time that an ``async def`` handler may take in all (30 s at reception, 10 s
                elsewhere).
        """
        declarations = self._open("set_handler_limits")
        if event is not None:
            _named("event", _event, event)
        if cpu is None and wait is None:
            raise ValueError("cpu or wait is expected")
        before = declarations.handler_limits.get(event, CallLimits())
        declarations.handler_limits[event] = CallLimits(
            before.cpu_s if cpu is None else _named("cpu", _between, cpu, *CPU_RANGE_S),
            before.wait_s if wait is None else _named("wait", _between, wait, *WAIT_RANGE_S),
        )

    # -- constructors -------------------------------------------------------------------------

    def _constructor(self, make: Callable[..., Any]) -> Callable[..., Any]:
        def construct(**options: Any) -> Any:
            try:
                made = make(**options)
            except (TypeError, ValueError) as error:
                self._note("error", str(error))
                raise
            unsupported = getattr(type(made), "unsupported", None)
            for note in unsupported(options) if unsupported is not None else ():
                self.warn(f"{make.__name__}: {note}")
            return made

        construct.__name__ = make.__name__
        construct.__doc__ = make.__doc__
        return construct

    def warn(self, text: str) -> None:
        """Note a warning once: on the declarations under way and in the diagnostic log."""
        if self._trial.declaring is not None:
            self._trial.declaring.warnings.append(text)
        self._note("warning", text)
        if text not in self._warned:
            if len(self._warned) < 1000:
                self._warned.append(text)
            script_log.warning("%s", text)

    def _note(self, severity: Literal["error", "warning"], text: str) -> None:
        """Note a finding at the line of the script that calls, where somebody gathers them."""
        if self._trial.noted is not None:
            finding = PolicyFinding(*_script_place(), severity, text)
            if finding not in self._trial.noted:
                self._trial.noted.append(finding)

    def make_throttle(self, name: str, spec: str) -> ScriptThrottle:
        """Return a throttle of this node, such as ``mta.make_throttle("t1", "100/min")``."""
        return ScriptThrottle(self._rates, name, spec)

    # -- exposing -----------------------------------------------------------------------------

    def expose(self, namespace: ScriptNamespace, *, version: str) -> None:
        """Make everything here importable by scripts."""
        for function in (
            self.define_spool,
            self.start_esmtp_listener,
            self.start_http_listener,
            self.start_ssh_console,
            self.configure_local_logs,
            self.configure_log_hook,
            self.set_memory_hard_limit,
            self.set_memory_soft_limit,
            self.set_memory_low_thresh,
            self.set_handler_limits,
        ):
            namespace.expose(function.__name__, _explain(function))
        namespace.expose("make_throttle", self.make_throttle)
        for make in (
            make_queue_config,
            make_egress_path,
            make_egress_pool,
            make_egress_source,
            make_listener_domain,
        ):
            namespace.expose(make.__name__, self._constructor(make))
        namespace.expose("reject", reject)
        namespace.expose("disconnect", disconnect)
        namespace.expose("parse_duration", parse_duration)
        namespace.expose("version", version)
        ResolverDeclarations(self._open, self.warn).expose(namespace)
        LimitDeclarations(self._open, self.warn).expose(namespace)
        TracingDeclarations(self._open).expose(namespace)
        AccessDeclarations(self._open).expose(namespace)
        expose_dkim(namespace, self._signers)
        expose_mimepart(namespace, Clock().wall)
        self.mail.expose(namespace)
        self.transfer.expose(namespace)


def _explain(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a clearer complaint about unknown keywords."""
    names = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    takes_any = len(names) != len(inspect.signature(function).parameters)

    def call(*args: Any, **options: Any) -> Any:
        for name in options:
            if name not in names and not takes_any:
                close = difflib.get_close_matches(name, names, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise TypeError(f"{function.__name__} has no option {name!r}{hint}")
        return function(*args, **options)

    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    return call


def _script_place() -> tuple[str, int | None]:
    """Return file and line of the innermost script call under way."""
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        if EPOCH_NAME in frame.f_globals:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return "policy", None


def _event(name: Any) -> None:
    known = [hook.name for hook in HOOKS if hook.on_failure is not OnFailure.FATAL]
    if name not in known:
        raise ValueError(
            f"no event with limits of its own is called {name!r}{closest(name, known)}"
        )


def _between(value: Any, least_s: float, most_s: float) -> float:
    seconds = parse_duration(value)
    if not least_s <= seconds <= most_s:
        raise ValueError(f"{least_s:g} to {most_s:g} seconds are expected, not {value!r}")
    return seconds


def _named(name: str, read: Callable[..., Any], *args: Any) -> Any:
    try:
        return read(*args)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error
