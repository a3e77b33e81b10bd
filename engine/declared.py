"""What ``init`` declared, carried out: listeners, logs and hooks, at start and at each reload.

Place in flow: ``engine.app`` hands the declarations of each new epoch here.

Invariants:
    * What did not change is not touched: established sessions and open segments go on.
    * A new listener that cannot be opened is reported; the others, old ones included, stay.
    * What cannot change while running (the spool's folder) is reported as needing a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Protocol

from engine.admin.http_api import AdminApi
from engine.admin.web_page import WebPage
from engine.automation import Automation
from engine.base.disk_guard import DiskGuard
from engine.base.http_service import HttpService
from engine.base.memory_guard import MemoryGuard
from engine.base.os_reason import os_reason
from engine.base.tls_files import ServerTls
from engine.console.console import Consoles
from engine.http_callers import HttpCallers
from engine.model.errors import ConfigurationError, EngineError
from engine.model.message import Message
from engine.receive.http_injection import HttpInjection, NewMessage
from engine.receive.incoming import Incoming
from engine.receive.smtp_listener import ListenerPorts, SmtpListener
from engine.records.local_log import FilterEvent, LocalLogSink, parse_local_log_options
from engine.records.log_hook import LogHookSink, parse_hook_records
from engine.records.recorder import HookSink
from engine.script_declarations import Declarations, HttpListenerDeclaration, LogHookDeclaration
from engine.script_refusals import SmtpRefusal
from engine.script_views import MessageView
from engine.shared_limits import SharedLimits
from engine.span_tracing import SpanTracing
from engine.spool.spool_store import SpoolStore
from policy.errors import HookFailedError
from policy.handler_call import Pending

log = logging.getLogger("cirrus.node")

#: How long closing a sink may take, seconds.
CLOSE_S = 10.0


class RoutesPort(Protocol):
    """What has routes for each HTTP listener."""

    def add_to(self, service: HttpService) -> None:
        """Add the routes to a listener."""


class DeclaredPorts(ListenerPorts, Protocol):
    """What carrying out declarations needs from the node."""

    admin: AdminApi
    consoles: Consoles
    automation: Automation
    shared_limits: SharedLimits
    span_tracing: SpanTracing
    memory: MemoryGuard
    disk_guards: list[DiskGuard]
    store: SpoolStore
    hostname: str
    version: str

    @property
    def transfers(self) -> RoutesPort:
        """Return its transfers."""

    def liveness(self) -> str | None:
        """Return why the node takes no mail, with the cause."""

    def set_resolver(self, declarations: Declarations) -> None:
        """Ask the name servers that the policy names."""

    def submit_hook(self, message: Message, hook_name: str) -> Awaitable[None]:
        """Queue the message that a log hook made, if the script wants it."""


class Declared:
    """The listeners, logs and hooks of a node as the running policy declares them."""

    def __init__(self, node: DeclaredPorts) -> None:
        self._node = node
        self._last: Declarations | None = None
        self._resolver_key: Any = None
        self.listeners: dict[tuple[str, int], SmtpListener] = {}
        self._leaving: list[SmtpListener] = []
        self.http: dict[tuple[str, int], tuple[HttpListenerDeclaration, HttpService]] = {}
        self.log_sinks: dict[str, LocalLogSink] = {}
        self.hooks: dict[str, tuple[LogHookDeclaration, LogHookSink, asyncio.Task[Any]]] = {}
        self._disposition = HookSink("log_disposition", self._tell_disposition)
        self._has_disposition = False
        self.injection = HttpInjection(node.clock, self._admit, node.gate, node.memory.grow)
        self.callers = HttpCallers(node.runtime)
        self._page = WebPage()
        self._one_at_a_time = asyncio.Lock()
        self._is_ending = False

    @property
    def data_folders(self) -> tuple[Path, ...]:
        """Return the folders that scripts may keep data in."""
        return self._last.data_folders if self._last is not None else ()

    @property
    def receiving(self) -> int:
        """Return how many SMTP sessions are in the middle of a transaction with recipients."""
        listeners = [*self.listeners.values(), *self._leaving]
        return sum(bool(session.recipients) for one in listeners for session in one.sessions)

    def transactions(self) -> Counter[int]:
        """Return how many SMTP transactions go by each epoch, by its serial."""
        listeners = [*self.listeners.values(), *self._leaving]
        return Counter(
            session.epoch.serial
            for listener in listeners
            for session in listener.sessions
            if session.epoch is not None
        )

    async def carry_out(self, declarations: Declarations) -> None:
        """Make the node as declared; once it ends nothing is opened any more.

        Raises:
            EngineError: At the first call only: something declared cannot be had.
        """
        async with self._one_at_a_time:
            first = self._last is None
            node = self._node
            self._reconcile_spool(declarations)
            node.memory.set_limits(declarations.memory_limits)
            self.callers.has_default_lists = declarations.has_default_access_lists
            resolver_key = (
                declarations.test_resolver,
                declarations.nameservers,
                declarations.resolver_options,
            )
            if first or resolver_key != self._resolver_key:
                self._resolver_key = resolver_key
                node.set_resolver(declarations)
            for step in (
                self._reconcile_logs,
                self._reconcile_hooks,
                self._reconcile_automation,
                self._reconcile_shared_limits,
                self._reconcile_tracing,
                self._reconcile_listeners,
                self._reconcile_http,
                self._reconcile_consoles,
            ):
                if self._is_ending:
                    return
                try:
                    await step(declarations)
                except (EngineError, OSError) as error:
                    if first:
                        raise _as_engine_error(error) from error
                    log.error("the reloaded policy cannot be carried out in full: %s", error)
            self._last = declarations

    def _reconcile_spool(self, declarations: Declarations) -> None:
        node, spool = self._node, declarations.spool
        last = self._last.spool if self._last is not None else None
        if last is not None and (spool is None or spool.path != last.path):
            log.warning("define_spool changed: this needs a restart; the running spool stays")
        if spool is not None:
            node.relaxed = spool.durability == "relaxed"
            for guard in node.disk_guards:
                guard.set_floors(spool.min_free_space, spool.min_free_inodes)

    # -- logs ---------------------------------------------------------------------------------

    async def _reconcile_logs(self, declarations: Declarations) -> None:
        """Open what is new before what is gone is closed: no record falls between the two.

        Raises:
            EngineError: A folder cannot be had; all logs stay as they were.
        """
        node = self._node
        wanted = {
            name: parse_local_log_options(**options)
            for name, options in declarations.local_logs.items()
        }
        kept = {
            name: sink
            for name, sink in self.log_sinks.items()
            if name in wanted and sink.adopt(wanted[name])
        }
        opened: dict[str, LocalLogSink] = {}
        try:
            for name in wanted.keys() - kept.keys():
                sink = LocalLogSink(wanted[name], node.clock, node.metrics, self._make_filter)
                sink.start()
                opened[name] = sink
        except (EngineError, OSError):
            for sink in opened.values():
                await sink.close(CLOSE_S)
            raise
        gone = [sink for name, sink in self.log_sinks.items() if name not in kept]
        self.log_sinks = kept | opened
        for sink in opened.values():
            node.recorder.add_sink(sink)
        for sink in gone:
            node.recorder.remove_sink(sink)
        for sink in gone:
            await sink.close(CLOSE_S)

    def _make_filter(self, function: Any) -> FilterEvent:
        """Return what asks a function of the script whether a message's records are written."""
        node = self._node

        def passes(message: Message) -> bool:
            view = MessageView(message, node.store.load_body, node.clock)
            return node.runtime.call_function_nowait(function, view) is True

        return passes

    async def _reconcile_automation(self, declarations: Declarations) -> None:
        if declarations.spool is not None:
            automation = declarations.automation
            await self._node.automation.reconcile(automation, declarations.spool.path)

    async def _reconcile_shared_limits(self, declarations: Declarations) -> None:
        await self._node.shared_limits.reconcile(declarations.shared_limits)

    async def _reconcile_tracing(self, declarations: Declarations) -> None:
        await self._node.span_tracing.reconcile(declarations.tracing)

    async def _reconcile_hooks(self, declarations: Declarations) -> None:
        node = self._node
        for name, (declared, sink, task) in list(self.hooks.items()):
            if declarations.log_hooks.get(name) != declared:
                node.recorder.remove_sink(sink)
                del self.hooks[name]
                await sink.drain()
                task.cancel()
        for name, declared in declarations.log_hooks.items():
            if name not in self.hooks:
                sink = LogHookSink(
                    name,
                    node.clock,
                    node.submit_hook,
                    back_pressure=declared.back_pressure,
                    meta=declared.meta,
                    headers=declared.headers,
                    records=parse_hook_records(declared.per_record),
                )
                node.recorder.add_sink(sink)
                task = node.supervisor.start(sink.run(), f"log-hook {name}")
                self.hooks[name] = (declared, sink, task)
        handled = node.runtime.is_handled("log_disposition")
        if handled != self._has_disposition:
            self._has_disposition = handled
            change = node.recorder.add_sink if handled else node.recorder.remove_sink
            change(self._disposition)

    def _tell_disposition(self, record: Any, message: Any) -> None:
        """Show a record to the script; its failure is logged by the runtime and ignored."""
        import msgspec  # noqa: PLC0415 - only where the event is handled

        node = self._node
        view = MessageView(message, node.store.load_body, node.clock) if message else None
        try:
            answer = node.runtime.fire_nowait("log_disposition", view, msgspec.to_builtins(record))
        except (HookFailedError, SmtpRefusal):
            return
        if type(answer) is Pending:
            node.supervisor.start(_forget_failure(answer), "log_disposition")

    # -- listeners ----------------------------------------------------------------------------

    async def _reconcile_listeners(self, declarations: Declarations) -> None:
        for address, listener in list(self.listeners.items()):
            if address not in declarations.listeners:
                log.info("closing the SMTP listener on %s:%s", *listener.address)
                listener.stop_accepting()
                del self.listeners[address]
                self._leaving = [one for one in self._leaving if one.sessions]
                self._leaving.append(listener)
        failures: list[EngineError] = []
        for address, options in declarations.listeners.items():
            known = self.listeners.get(address)
            if known is not None:
                known.options = options
                continue
            listener = SmtpListener(options, self._node)
            try:
                await listener.start()
            except EngineError as error:
                failures.append(error)
            else:
                self.listeners[address] = listener
        _raise_all(failures)

    async def _reconcile_http(self, declarations: Declarations) -> None:
        for address in self.http.keys() - declarations.http_listeners.keys():
            _, service = self.http.pop(address)
            await service.stop(CLOSE_S)
        failures: list[EngineError] = []
        for address, declared in declarations.http_listeners.items():
            if address in self.http and self.http[address][0] == declared:
                continue
            try:
                await self._replace_http(address, declared)
            except EngineError as error:
                failures.append(error)
        _raise_all(failures)

    async def _reconcile_consoles(self, declarations: Declarations) -> None:
        await self._node.consoles.reconcile(declarations.consoles)

    async def _replace_http(
        self, address: tuple[str, int], declared: HttpListenerDeclaration
    ) -> None:
        """Open a listener; one that has the address already goes on if the new one is no good.

        Raises:
            EngineError: It cannot be made or opened.
        """
        service = self._make_http(declared)
        if address in self.http:
            _, old = self.http.pop(address)
            await old.stop(CLOSE_S)
        try:
            await service.start()
        except OSError as error:
            host, port = address
            reason = os_reason(error)
            raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}") from error
        self.http[address] = (declared, service)
        log.info("HTTP listener on %s:%s", address[0], service.port)

    def _make_http(self, declared: HttpListenerDeclaration) -> HttpService:
        node = self._node
        tls = None
        if declared.use_tls:
            tls = ServerTls(
                declared.hostname,
                certificate=declared.tls_certificate,
                private_key=declared.tls_private_key,
                mono=node.clock.mono,
            )
        service = HttpService(
            declared.listen,
            declared.hostname,
            metrics=node.metrics,
            trusted_hosts=declared.trusted_hosts,
            request_body_limit=declared.request_body_limit,
            tls=tls,
            authenticate=self.callers.authenticate,
            access=self.callers,
            on_denied=node.admin.note_denied,
            liveness=node.liveness,
            title="Cirrus node",
            version=node.version,
        )
        self.injection.add_to(service)
        node.admin.add_to(service)
        node.admin.tracing.add_to(service)
        self._page.add_to(service)
        node.transfers.add_to(service)
        return service

    async def _admit(self, messages: list[NewMessage]) -> list[str | None]:
        """Admit injected messages together, so that they share a flush."""
        node = self._node
        results = await asyncio.gather(
            *(node.admission.admit(self._incoming(message)) for message in messages)
        )
        return [None if admitted.spool_ids else admitted.reply.one_line() for admitted in results]

    def _incoming(self, message: NewMessage) -> Incoming:
        node = self._node
        domain = message.sender.rpartition("@")[2] or "unspecified"
        return Incoming(
            sender=message.sender,
            recipients=message.recipients,
            content=message.data,
            conn_meta=message.meta,
            epoch=node.runtime.epoch,
            trace=message.trace,
            hostname=str(message.meta.get("hostname") or node.hostname),
            client=domain,
            peer_ip=str(message.meta.get("received_from", "")),
            own_ip=str(message.meta.get("received_via", "")),
            protocol="HTTP",
            relaxed=message.relaxed or node.relaxed,
            smtputf8=message.smtputf8,
            is_smtp=False,
        )

    # -- stop ---------------------------------------------------------------------------------

    async def stop_listeners(self, deadline_s: float) -> None:
        """Take no new work; let what is under way finish."""
        self._is_ending = True
        listeners = [*self.listeners.values(), *self._leaving]
        await asyncio.gather(*(one.drain(deadline_s, asyncio.sleep) for one in listeners))

    async def close(self) -> None:
        """Close consoles, HTTP, hooks and logs, in this order."""
        # Behind a reload under way: what that opens has to be closed here.
        async with self._one_at_a_time:
            await self._node.consoles.close()
            for _, service in self.http.values():
                await service.stop(CLOSE_S)
            self.injection.close()
            for _, sink, task in self.hooks.values():
                await sink.drain()
                task.cancel()
            await self._node.automation.close()
            for log_sink in self.log_sinks.values():
                lost = await log_sink.close(CLOSE_S)
                if lost:
                    log.error("%d log records could not be written", lost)
            await self._node.span_tracing.close()


def _raise_all(failures: list[EngineError]) -> None:
    """Raise what went wrong, if anything did, as one error."""
    if failures:
        raise ConfigurationError("; ".join(str(error) for error in failures))


def _as_engine_error(error: Exception) -> EngineError:
    return error if isinstance(error, EngineError) else ConfigurationError(str(error))


async def _forget_failure(pending: Pending) -> None:
    try:
        await pending.finish()
    except (HookFailedError, SmtpRefusal):
        return
