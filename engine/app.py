"""Composition root of a node: the only module that knows every stage.

Place in flow: ``engine.__main__`` runs a ``Node``: build, start, drain, stop.

Start order: policy, spool, logs, queues, listeners; mail is taken as soon as the spool is open,
while what it held is still being enumerated. Stop order: listeners, sessions, promotion,
dispatchers, ``shutdown``, logs, spool.

Invariants:
    * Only the first load of the policy may stop the node.
    * Every task belongs to the supervisor; the stop is bounded by ``drain_s``.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import resource
import socket
from collections.abc import Callable
from importlib import metadata
from typing import Any

from engine.admin.audit_log import AuditLog
from engine.admin.history_samples import History
from engine.admin.http_api import AdminApi
from engine.admin.shared_directives import SharedDirectives
from engine.automation import Automation
from engine.base.clock import Clock
from engine.base.disk_guard import DiskGuard
from engine.base.lifecycle import Supervisor
from engine.base.memory_guard import MemoryGuard
from engine.base.memory_relief import MemoryRelief
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.base.trace_hub import Tracing
from engine.console.console import Consoles
from engine.console_ports import desk_maker
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.source_health import SourceHealth
from engine.control.suspensions import SuspensionRegistry
from engine.declared import Declared
from engine.deliver.tls_policy import BrokenTlsMemory
from engine.deliver.work import Services
from engine.dispatching import Dispatching
from engine.dry_check import DryCheck
from engine.helpers.script_helpers import HelperPorts, ScriptHelpers
from engine.helpers.shaping_keeper import ShapingPorts
from engine.hooks import HOOKS
from engine.model.errors import ConfigurationError
from engine.model.listener_options import ListenerOptions
from engine.model.log_record import format_created_time
from engine.model.message import Message
from engine.node_history import NodeHistory
from engine.node_identity import settle_node_id
from engine.node_metrics import NodeMetrics
from engine.policy_check import check_local_logs
from engine.policy_report import PolicyReport
from engine.ready.ready_registry import ReadyRegistry
from engine.receive.admission import Admission
from engine.receive.smtp_listener import TlsContexts
from engine.receive.template_dialect import compile_for_scripts
from engine.records.log_hook import parse_hook_records
from engine.records.record_tap import RecordTap
from engine.records.recorder import Recorder
from engine.retired_epochs import RetiredEpochs
from engine.route.dns_resolver import DnsCounts, DnsResolver
from engine.schedule.promotion import Promotion
from engine.schedule.reinsertion import Reinsertion
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.schedule.settlement import Settlement
from engine.script_api import ScriptApi
from engine.script_declarations import Declarations
from engine.script_modules.all_modules import ModuleNeeds, expose_modules
from engine.script_modules.network_modules import expose_network
from engine.script_refusals import SmtpRefusal
from engine.script_views import MessageView, queue_name_of
from engine.settings import Settings
from engine.shared_limits import SharedLimits
from engine.span_tracing import SpanTracing
from engine.spool.disk_store import DiskStore
from engine.spool.recovery import Recovery
from engine.spool.spool_store import SpoolStore
from engine.submission import Submission
from engine.throttle.shared_lease import NodeLeases
from engine.throttle.shared_limiter import NodeLimiter
from engine.transfers import Transfers
from policy.errors import HookFailedError
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from policy.watcher import Watcher

log = logging.getLogger("cirrus.node")

#: How often what has no event of its own is looked at, seconds.
SWEEP_S = 1.0
#: Gap between releases of descriptors and the limit that the sum of sockets needs.
DESCRIPTORS_WANTED = 1 << 20


def version() -> str:
    """Return the version of the installed distribution."""
    try:
        return metadata.version("cirrus-mta")
    except metadata.PackageNotFoundError:
        return "0"


def raise_descriptor_limit() -> None:
    """Raise the limit of open files as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError) as error:
            log.warning("cannot raise the limit of open files above %d: %s", soft, error)


class Node:
    """One running MTA."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.supervisor = Supervisor()
        self.retired = RetiredEpochs(self.supervisor.start)
        self.metrics = Metrics(ENGINE_METRICS)
        self.limiter = NodeLimiter(self.clock.mono)
        self.leases = NodeLeases(self.clock.mono)
        self.suspensions = SuspensionRegistry(self.clock.mono)
        self.bounces = AdminBounceRegistry(self.clock.mono)
        self.audit = AuditLog(self.clock.wall)
        self.history = History()
        self.source_health = SourceHealth(self.suspensions, self.clock.mono)
        self.memory = MemoryGuard()
        self.tracing = Tracing()
        self.relief = MemoryRelief(self.clock.mono)
        self.rng = random.Random()  # noqa: S311 - spreading load, not secrets
        self.hostname = socket.gethostname()
        self.version = version()
        self.online_since = format_created_time(self.clock.wall())
        self.node_id = ""
        self.relaxed = False
        self.stopping = False
        self._unrouted_hooks: set[str] = set()
        self.recovery: Recovery | None = None
        self.disk_guards: list[DiskGuard] = []
        self._tls = TlsContexts(self.clock.mono)
        self.dns_counts = DnsCounts()
        self.resolver = DnsResolver(clock=self.clock.mono, counts=self.dns_counts)

        self.recorder: Recorder
        self.automation = Automation(self)
        self.shared_directives = SharedDirectives(self)
        self.shared_limits = SharedLimits(self)
        self.span_tracing = SpanTracing(self)
        self._build_policy()
        self.store: SpoolStore
        self.disk_store: DiskStore
        self.admission: Admission
        self.settlement: Settlement
        self.queues = ScheduledRegistry()
        self.dispatching = Dispatching(self)
        self.ready = ReadyRegistry(
            self.dispatching, self.runtime, lambda: self.resolver, self.clock
        )
        self.promotion = Promotion(self, self.queues, self.ready, lambda: self.settlement)
        self.transfers = Transfers(self)
        self.dry_check.queues_in_use = lambda: [queue.parsed for queue in self.queues]
        self.services: Services
        self.declared: Declared
        self.admin = AdminApi(self)
        self.consoles = Consoles(desk_maker(self))

    def _build_policy(self) -> None:
        """Make the runtime of scripts and what they may import."""
        self.script_api = ScriptApi(self.limiter)
        self.script_api.check_local_logs = check_local_logs
        self.script_api.check_hook_records = parse_hook_records
        self.namespace = ScriptNamespace()
        self.script_api.expose(self.namespace, version=self.version)
        report = PolicyReport(self.metrics, self._policy_loaded)
        self.runtime = PolicyRuntime(
            HOOKS,
            self.namespace,
            mono=self.clock.mono,
            report=report,
            watch=self._watch_handlers,
        )
        self.key_sources = expose_modules(
            self.namespace,
            ModuleNeeds(
                clock=self.clock,
                metrics=self.metrics,
                runtime=self.runtime,
                folder=lambda: self.settings.policy.absolute().parent,
                warn=self.script_api.warn,
                compile_template=compile_for_scripts,
            ),
        )
        self.watcher = Watcher(self.runtime, interval_s=self.settings.reload_interval_s)
        self.dry_check = DryCheck(self.runtime, self.script_api)
        self.network = expose_network(self.namespace, self)
        loads = self.metrics.counter("shaping_load_total")
        shaping = ShapingPorts(
            wall=self.clock.wall,
            mono=self.clock.mono,
            start=self.supervisor.start,
            resolver=lambda: self.resolver,
            overrides=self.automation.overrides,
            mx_hosts=lambda name: self.ready.hosts_of(name),  # noqa: PLW0108 - made later
            rules_changed=self.automation.set_rules,
            paths_changed=lambda: self.dispatching.refresh_paths(),  # noqa: PLW0108
            count_load=lambda result: loads.labels(result).inc(),
        )
        ports = HelperPorts(
            self.clock.mono,
            self.supervisor.start,
            lambda: self.resolver,
            self.key_sources.load,
            shaping,
        )
        self.helpers = ScriptHelpers(self.script_api, self.runtime, self.limiter, ports)
        self.helpers.expose(self.namespace)

    # -- start --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring the node up.

        Raises:
            PolicyLoadError: The policy cannot be loaded.
            EngineError: Something it declares cannot be had.
        """
        raise_descriptor_limit()
        self._freeze()
        epoch = self.runtime.load(self.settings.policy, dry_check=self.dry_check)
        self.runtime.swap(epoch)
        declarations = self.dry_check.declarations
        if declarations.spool is None:
            raise ConfigurationError("init declares no spool: call mta.define_spool(path=...)")
        self._open_spool(declarations)
        self._build()
        self.recovery = self._prepare_recovery()
        self.declared = Declared(self)
        await self.declared.carry_out(declarations)
        self.supervisor.start(self.recovery.run(), "recovery")
        self.transfers.begin()
        self.supervisor.start(self._sweep_forever(), "sweep")
        self.supervisor.start(NodeHistory(self, self.history).run(asyncio.sleep), "history")
        self.supervisor.start(self.watcher.run(asyncio.sleep), "policy-watcher")
        # While queues are made by the thousand all objects survive: the middle generation is looked
        # at often, when it is small, and the oldest as rarely as ever.
        gc.set_threshold(20_000, 4, 250)
        log.info("node %s is up, version %s", self.node_id, self.version)

    def _open_spool(self, declarations: Declarations) -> None:
        spool = declarations.spool
        assert spool is not None
        self.relaxed = spool.durability == "relaxed"
        self.disk_store = DiskStore(spool.path, self.clock, asyncio.get_running_loop())
        self.disk_store.open()
        self.disk_store.on_change = self._spool_changed
        self.store = self.disk_store
        self.audit.open(spool.path / "audit")
        self.node_id = settle_node_id(self.settings.node_id, spool.path)
        self.disk_guards = [
            DiskGuard(spool.path, spool.min_free_space, spool.min_free_inodes, self.clock.mono)
        ]

    def _build(self) -> None:
        self.recorder = Recorder(self.clock, self.node_id, self.hostname, self._load_for_records)
        RecordTap(self.recorder, self.tracing.records)
        self.settlement = Settlement(
            clock=self.clock,
            store=self.store,
            recorder=self.recorder,
            runtime=self.runtime,
            metrics=self.metrics,
            config_of=self.promotion.config_of,
            requeue=self.transfers.transferring.take_back,
            rng=self.rng,
        )
        self.services = Services(
            clock=self.clock,
            store=self.store,
            runtime=self.runtime,
            resolver=lambda: self.resolver,
            limiter=self.limiter,
            hostname=self.hostname,
            settle=self.settlement.settle,
            give_back=self.settlement.put_back,
            broken_tls=BrokenTlsMemory(self.clock.mono),
            rng=self.rng,
            sleep=asyncio.sleep,
            drop_damaged=self.settlement.drop_damaged,
            note_attempt=self.dispatching.note_attempt,
            note_connected=self.dispatching.note_connected,
            give_way=self.dispatching.give_way,
            tracing=self.tracing.client,
            note_unbound=self.metrics.counter("bind_failures").labels().inc,
            note_source_trouble=self.dispatching.note_source_trouble,
        )
        self.admission = Admission(self, self.promotion.insert)
        self.script_api.mail.connect(self.clock, Submission(self).submit)
        self.transfers.open(self.disk_store.path, self.script_api.transfer)
        self.suspensions.on_change.append(self._control_changed)
        self.bounces.on_change.append(self.promotion.bounce_waiting)
        NodeMetrics(self).bind()
        self.automation.bind_metrics()
        self.shared_limits.bind_metrics()
        failing = self.metrics.gauge("shaping_load_failing").labels()
        failing.set_function(lambda: self.helpers.shaping.failing)

    @staticmethod
    def _freeze() -> None:
        """Keep full garbage collections from holding the loop.

        The program itself stays: freezing takes it out of every later collection. Scripts do not
        stay, so it is done before they are loaded. Waiting messages are unknown to the collector
        (``timer_wheel.Waiting``), so what is left is small.
        """
        gc.collect()
        gc.freeze()

    # -- recovery -----------------------------------------------------------------------------

    def _prepare_recovery(self) -> Recovery:
        """Take stock of the spool before the first listener opens: what comes later is live."""
        reinsertion = Reinsertion(self)
        reinsert = self.transfers.noting(reinsertion.reinsert)
        return Recovery(self.store.enumerate(), self.clock, reinsert, reinsertion.report_damaged)

    # -- ports of the stages ------------------------------------------------------------------

    def gate(self) -> str | None:
        """Return why no mail is taken now, or None."""
        if self.stopping:
            return "shutting down"
        if (draining := self.transfers.drain.reason()) is not None:
            return draining
        reason = self.memory.trouble() or self.store.trouble()
        if reason is not None:
            return reason if reason.startswith("load") else "cannot store mail now"
        for guard in self.disk_guards:
            if guard.trouble() is not None:
                return "too little disk space"
        for sink in self.declared.log_sinks.values():
            if sink.disk_state() is not None:
                return "too little disk space for logs"
        return None

    def may_deliver(self) -> bool:
        """Return whether deliveries may start: their outcome can be noted."""
        return self.dispatching.may_deliver()

    def liveness(self) -> str | None:
        """Return why the node takes no mail, with the cause, for operators."""
        reason = self.gate()
        if reason is None:
            return None
        causes = [self.store.trouble(), *(guard.trouble() for guard in self.disk_guards)]
        return "; ".join([reason, *(cause for cause in causes if cause)])

    def tls_context(self, options: ListenerOptions) -> Any:
        """Return the server side TLS context for a listener's options."""
        return self._tls.context(options)

    def _load_for_records(self, message: Message) -> bytes | None:
        try:
            return self.store.load_body(message.body_id)
        except Exception:  # boundary: record sink
            log.exception("headers of %s cannot be read for its record", message.id)
            return None

    async def submit_hook(self, message: Message, hook_name: str) -> None:
        """Queue the message that a log hook made, if the script wants it."""
        view = MessageView(message, None, self.clock)
        try:
            unrouted = queue_name_of(message)
            wanted = await self.runtime.fire("should_enqueue_log_record", view, hook_name)
            message.queue_name = queue_name_of(message)
        except (HookFailedError, SmtpRefusal, ValueError) as error:
            log.error("the log hook %s failed: %s", hook_name, error)
            return
        if wanted is False or message.queue_name == "null":
            return
        if message.queue_name == unrouted:
            # It would go to those whose mail it is about.
            if hook_name not in self._unrouted_hooks:
                self._unrouted_hooks.add(hook_name)
                log.error(
                    "records of the log hook %s go nowhere: should_enqueue_log_record names no"
                    ' queue for them by msg.set_meta("queue", ...)',
                    hook_name,
                )
            return
        self._unrouted_hooks.discard(hook_name)
        await self.store.commit([message], relaxed=True)
        self.promotion.insert(message)

    # -- while running ------------------------------------------------------------------------

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                self._sweep()
            except Exception:  # boundary: supervisor
                log.exception("the sweep met a defect; it goes on in a second")

    def _sweep(self) -> None:
        self.memory.sample()
        if self.memory.is_low:
            self._save_memory()
        self.promotion.sweep()
        self.shared_limits.sweep()
        self.dispatching.end_stuck()
        if not self.suspensions.is_empty:
            self.dispatching.give_back_suspended()
        gone = self.ready.reap(self.clock.mono())
        self.settlement.forget_series(gone)
        self.dispatching.forget_series(gone)

    def _save_memory(self) -> None:
        """Let bodies go that are on disk, and the memory with them."""
        for queue in self.ready:
            queue.drop_bodies()
        if self.relief.relieve_nowait():
            log.warning("memory is low: %d MiB in use", self.memory.usage >> 20)

    def _control_changed(self) -> None:
        self.dispatching.give_back_suspended()
        self.promotion.release_held()
        self.dispatching.look_for_work()

    def _spool_changed(self, trouble: str | None) -> None:
        if trouble is None:
            self.dispatching.look_for_work()

    def _watch_handlers(self, event: str) -> tuple[Callable[[], None], Callable[[float], None]]:
        started = self.metrics.counter("lua_event_started").labels(event)
        latency = self.metrics.histogram("lua_event_latency").labels(event)
        return started.inc, latency.observe

    def _policy_loaded(self) -> None:
        self.helpers.begin(self.runtime.epoch)
        self.retired.begin(self.runtime.epoch)
        if hasattr(self, "declared"):
            self.supervisor.start(self.declared.carry_out(self.dry_check.declarations), "reconcile")

    def set_resolver(self, declarations: Declarations) -> None:
        """Ask the name servers that the policy names."""
        zones, servfail = declarations.test_resolver or (None, None)
        self.resolver = DnsResolver(
            clock=self.clock.mono,
            counts=self.dns_counts,
            nameservers=list(declarations.nameservers) if declarations.nameservers else None,
            zones=list(zones) if zones is not None else None,
            servfail=list(servfail) if servfail is not None else None,
            options=declarations.resolver_options,
        )

    async def reload_policy(self) -> None:
        """Load the policy again whether or not it changed; the running one stays if it fails.

        Raises:
            PolicyLoadError: It was rejected, which the diagnostic log has; the running one goes on.
        """
        await self.watcher.reload_now()

    # -- stop ---------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Drain and stop; what is under way gets ``drain_s`` seconds."""
        log.info("stopping")
        started = self.clock.mono()
        deadline_s = self.settings.drain_s
        await self.declared.stop_listeners(deadline_s)
        self.stopping = True
        self.promotion.stop()
        for queue in self.ready:
            queue.retire()
        await self.dispatching.end_all(max(1.0, deadline_s - (self.clock.mono() - started)))
        try:
            await self.runtime.fire("shutdown")
        except (HookFailedError, SmtpRefusal) as error:
            log.error("shutdown handler failed: %s", error)
        await self.declared.close()
        await self.shared_limits.close()
        await self.transfers.close()
        await self.network.close()
        await self.helpers.close()
        await self.supervisor.stop()
        await self.store.close()
        log.info("stopped")
