"""What a node is made of as far as scripts see it, without sockets, disks or other hosts.

Place in flow: ``engine.script_testing`` drives it. Put together as ``engine.app`` does it.

Invariants:
    * Listener, session, admission, script modules and helpers are those of a node. Made up are
      time, the DNS (given zones only), HTTP (canned answers), the spool (memory) and the queues
      (a list). Other servers cannot be reached.
    * Nothing runs between the calls of a test: ``settle`` does what a node does beside its mail.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from engine.base.clock import Clock
from engine.base.dkim_signer import DkimSigner
from engine.base.lifecycle import Supervisor
from engine.base.memory_guard import MemoryGuard
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Histogram, Metrics
from engine.base.trace_hub import Tracing
from engine.control.shaping_overrides import ShapingOverrides
from engine.dry_check import DryCheck
from engine.helpers.script_helpers import HelperPorts, ScriptHelpers
from engine.helpers.shaping_keeper import ShapingPorts
from engine.hooks import HOOKS
from engine.model.errors import DnsFailureError, RouteNotFoundError
from engine.model.listener_options import ListenerOptions
from engine.model.log_record import LogRecord, RecordKind
from engine.model.message import Message
from engine.policy_check import check_local_logs
from engine.receive.admission import Admission
from engine.receive.template_dialect import compile_for_scripts
from engine.records.log_hook import parse_hook_records
from engine.records.record_selection import make_selection
from engine.records.recorder import Recorder
from engine.route.dns_resolver import DnsResolver
from engine.route.mx_plan import resolve_route
from engine.script_api import ScriptApi
from engine.script_modules.all_modules import ModuleNeeds, expose_modules
from engine.script_modules.network_modules import NetworkModules, NetworkPorts
from engine.script_modules.open_connections import OpenConnections, Opening
from engine.script_modules.request_signing import RequestSigning
from engine.script_test_http import FakeHttp, FakeHttpClients
from engine.script_views import queue_name_of
from engine.spool.memory_store import MemoryStore
from engine.spool.spool_store import SpoolStore
from engine.throttle.limiter import MemoryLimiter
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from policy.testing import ManualTime

_T = TypeVar("_T")
HOSTNAME = "mx.example.com"


class _RecordList:
    """Keeps the records it is given."""

    is_hook = False
    must_wait = False

    def __init__(self) -> None:
        self.selection = make_selection()
        self.records: list[LogRecord] = []

    def wants(self, kind: RecordKind) -> bool:
        return True

    def write(self, record: LogRecord, message: Message | None) -> None:
        self.records.append(record)

    async def wait_capacity(self) -> None:
        return


class _Reachable(OpenConnections):
    """Opens files and canned HTTP; what is another server is not there."""

    @contextlib.asynccontextmanager
    async def use(self, opening: Opening[_T]) -> AsyncIterator[_T]:
        if opening.kind not in ("http", "sqlite"):
            raise ConnectionError("no server is there in a test")
        async with super().use(opening) as connection:
            yield connection


class ScriptTestNode:
    """The parts of a node that scripts reach.

    Args:
        path: The policy script.
        now: The instant at which time stands.
        report: Told what happens to the policy.
        http: What answers in the place of HTTP servers.

    Attributes:
        queued: Messages given to the queues, in order.
        injected: Messages that the script made and injected.
    """

    relaxed = False

    def __init__(
        self,
        path: Path,
        now: datetime,
        report: Callable[[str, dict[str, Any]], None],
        http: FakeHttp,
    ) -> None:
        self.path = path
        self.time = ManualTime()
        offset_s = now.astimezone(UTC).timestamp() - self.time()
        self.clock = Clock(self.time, lambda: self.time() + offset_s)
        self.supervisor = Supervisor()
        self.metrics = Metrics(ENGINE_METRICS)
        self.tracing = Tracing()
        self.memory = MemoryGuard({"CIRRUS_MEMORY_HARD_LIMIT": str(1 << 50)})
        self.store: SpoolStore = MemoryStore(self.clock.wall_of)
        self.queued: list[Message] = []
        self.injected: list[Message] = []
        self.http = http
        self._zones: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._site_hosts: dict[str, tuple[str, ...]] = {}
        self._fetches: list[Awaitable[Any]] = []
        self._resolver: tuple[Any, DnsResolver] | None = None
        self._records = _RecordList()
        self.recorder = Recorder(self.clock, "node-under-test", HOSTNAME)
        self.recorder.add_sink(self._records)
        self._build_policy(report)
        self.admission = Admission(self, self.queued.append)
        self.api.mail.connect(self.clock, self._submit)

    @property
    def records(self) -> list[LogRecord]:
        """Return the log records made so far."""
        return self._records.records

    def count_of(self, name: str, labels: Mapping[str, str]) -> float:
        """Return the sum of the series of a script's counter that have these labels.

        Raises:
            LookupError: There is no such counter.
        """
        family = self.metrics.counter(f"script_{name}")
        names = family.declaration.labels
        return sum(
            child
            for values, child in family.samples()
            if labels.items() <= dict(zip(names, values, strict=True)).items()
            and not isinstance(child, Histogram)
        )

    def _build_policy(self, report: Callable[[str, dict[str, Any]], None]) -> None:
        limiter = MemoryLimiter(self.clock.mono)
        self.api = ScriptApi(limiter)
        self.api.check_local_logs = check_local_logs
        self.api.check_hook_records = parse_hook_records
        self.api.own_name = lambda: HOSTNAME
        namespace = ScriptNamespace()
        self.api.expose(namespace, version="test")
        self.runtime = PolicyRuntime(HOOKS, namespace, mono=self.clock.mono, report=report)
        sources = expose_modules(
            namespace,
            ModuleNeeds(
                clock=self.clock,
                metrics=self.metrics,
                runtime=self.runtime,
                folder=lambda: self.path.parent,
                warn=self.api.warn,
                compile_template=compile_for_scripts,
            ),
        )
        self.network = NetworkModules(
            NetworkPorts(
                mono=self.clock.mono,
                wall=self.clock.wall,
                start=self._start,
                resolver=self.resolver,
                folders=lambda: (self.path.parent, *self.dry_check.declarations.data_folders),
                call_function=self.runtime.call_function,
                warn=self.api.warn,
                connections=_Reachable(self.clock.mono, self._start),
                ask_vault=self.http.ask_vault,
            )
        )
        self.network.expose(namespace)
        sources.load_from_vault = self.network.key_sources.load_from_vault
        self._expose_http(namespace)
        shaping = ShapingPorts(
            wall=self.clock.wall,
            mono=self.clock.mono,
            start=None,
            resolver=self.resolver,
            overrides=ShapingOverrides(),
            mx_hosts=self._site_hosts.get,
            rules_changed=lambda _shaping: None,
            paths_changed=lambda: None,
            count_load=lambda _result: None,
            read_url=self.http.read_url,
        )
        ports = HelperPorts(
            self.clock.mono, self._start_fetch, self.resolver, sources.load, shaping
        )
        self.helpers = ScriptHelpers(self.api, self.runtime, limiter, ports)
        self.helpers.expose(namespace)
        self.dry_check = DryCheck(self.runtime, self.api)

    def _expose_http(self, namespace: ScriptNamespace) -> None:
        signing = RequestSigning(self.network.key_sources.load, self.clock.wall)
        clients = FakeHttpClients(
            self.network.connections, self.resolver, self.clock.mono, signing.make
        )
        clients.fake = self.http
        clients.expose(namespace)

    def _start(self, work: Coroutine[Any, Any, Any], name: str) -> Any:
        return self.supervisor.start(work, name)

    def resolver(self) -> DnsResolver:
        """Return what answers questions: from zones of the test, or those that init declares."""
        known = self._zones or self.dry_check.declarations.test_resolver or ((), ())
        if self._resolver is None or self._resolver[0] != known:
            zones, servfail = known
            made = DnsResolver(clock=self.clock.mono, zones=list(zones), servfail=list(servfail))
            self._resolver = (known, made)
        return self._resolver[1]

    def set_zones(self, zones: Iterable[str], servfail: Iterable[str]) -> None:
        """Answer from these zones, whatever init declares."""
        self._zones = (tuple(zones), tuple(servfail))

    async def find_site(self, domain: str) -> str:
        """Return the name of the site that takes mail for a domain; else the domain itself."""
        try:
            route = await resolve_route(self.resolver(), domain)
        except (DnsFailureError, RouteNotFoundError):
            return domain
        self._site_hosts[route.site_name] = tuple(host.name for host in route.hosts)
        return route.site_name

    async def settle(self) -> None:
        """Have what helpers keep beside the mail be what files, DNS and HTTP say now."""
        await self.helpers.shaping.load_now()
        fetches, self._fetches = self._fetches, []
        await asyncio.gather(*fetches)

    def _start_fetch(self, work: Coroutine[Any, Any, Any], name: str) -> Any:
        task = self._start(work, name)
        self._fetches.append(task)
        return task

    async def _submit(self, message: Message, signers: list[DkimSigner], relaxed: bool) -> None:
        message.queue_name = queue_name_of(message)
        self.injected.append(message)

    # -- ports of the listener

    def gate(self) -> str | None:
        """Return None: mail is taken."""
        return None

    def tls_context(self, options: ListenerOptions) -> Any:
        """Return None: there is no TLS without sockets."""
        return None

    async def close(self) -> None:
        """End what is under way."""
        await self.network.close()
        await self.helpers.close()
        await self.supervisor.stop()
