"""The queues of a node in the test's own process: from insertion to a dispatcher's hand.

Scheduled and ready queues, settlement, script and records are real; the spool is in memory, the
DNS answers from zones, and a dispatcher is a task that settles what it takes. No socket is opened.
Time is the loop's.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import textwrap
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from engine.base.clock import Clock, loop_clock
from engine.base.lifecycle import Supervisor
from engine.base.metric_names import ENGINE_METRICS
from engine.base.metrics import Metrics
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.shaping_overrides import ShapingOverrides
from engine.control.suspensions import SuspensionRegistry
from engine.deliver.attempt import RecipientOutcome
from engine.deliver.verdict import judge_reply
from engine.dry_check import DryCheck
from engine.helpers.script_helpers import HelperPorts, ScriptHelpers
from engine.helpers.shaping_keeper import ShapingPorts
from engine.hooks import HOOKS
from engine.model.circumstances import Circumstances
from engine.model.errors import ConfigurationError, SpoolUnavailableError
from engine.model.insert_reason import InsertReason
from engine.model.log_record import LogRecord, RecordKind
from engine.model.message import Message, message_from, new_spool_id
from engine.model.reply import SmtpReply, make_reply
from engine.model.suspension import Criteria
from engine.ready.ready_queue import ReadyQueue
from engine.ready.ready_registry import ReadyRegistry
from engine.records.recorder import Recorder
from engine.route.dns_resolver import DnsResolver
from engine.schedule.promotion import Promotion
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.scheduled_registry import ScheduledRegistry
from engine.schedule.settlement import Settlement
from engine.schedule.transferring import Transferring
from engine.script_api import ScriptApi
from engine.script_views import queue_name_of
from engine.spool.memory_store import MemoryStore
from engine.throttle.lease import MemoryLeases
from engine.throttle.limiter import MemoryLimiter
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from tests.fakes.smtp_node import ListSink

HEADER = "import mta\nfrom mta import on\n\n"
ZONE = """
$ORIGIN test.
a MX 10 mx.a
b MX 10 mx.b
c MX 10 mx.c
alias MX 10 mx.a
null MX 0 .
bad MX 10 mx.bad
"""
DELIVERED = make_reply(250, "2.0.0 taken")


class SlipperyStore(MemoryStore):
    """A store that can be away."""

    def __init__(self, wall_of: Callable[[float], float]) -> None:
        super().__init__(wall_of)
        self.is_away = False
        self.loads = 0

    def load(self, spool_id: Any) -> Any:
        self.loads += 1
        if self.is_away:
            raise SpoolUnavailableError("the disk is away")
        return super().load(spool_id)

    def remove(self, message: Message) -> None:
        # No body is shared here, and looking for sharers would cost the square of the messages.
        self.envelopes.pop(message.spool_id, None)
        self.bodies.pop(message.body_id, None)

    def trouble(self) -> str | None:
        return "the disk is away" if self.is_away else None


class QueueWorld:
    """What the queues need from a node, and what came of their mail.

    Attributes:
        gate: Dispatchers carry mail while it is set.
        reply_of: What the far side says to a message.
        carry_s: How long a dispatcher is at a message.
        told: What scripts said with ``mta.tell``; ``mta.pause`` has them wait.
        carried: Each message that a dispatcher took to its end: when, from which ready queue, id.
    """

    def __init__(self, folder: Path, script: str, servfail: list[str]) -> None:
        loop = asyncio.get_running_loop()
        base = loop_clock(loop)
        self.wall_step_s = 0.0
        self.clock = Clock(base.mono, lambda: base.wall() + self.wall_step_s)
        self.supervisor = Supervisor()
        self.metrics = Metrics(ENGINE_METRICS)
        self.limiter = MemoryLimiter(self.clock.mono)
        self.leases = MemoryLeases(self.clock.mono)
        self.suspensions = SuspensionRegistry(self.clock.mono)
        self.bounces = AdminBounceRegistry(self.clock.mono)
        self.sink = ListSink()
        self.recorder = Recorder(self.clock, "node-1", "mx.test")
        self.recorder.add_sink(self.sink)
        self.store = SlipperyStore(self.clock.wall_of)
        self.stopping = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.reply_of: Callable[[Message], SmtpReply] = lambda message: DELIVERED
        self.carry_s = 0.0
        self.carried: list[tuple[float, str, str]] = []
        self.hands: set[bytes] = set()
        self.sessions_started = 0
        self.broken_starts = 0
        self.api = ScriptApi(self.limiter)
        namespace = ScriptNamespace()
        self.api.expose(namespace, version="test")
        self.told: list[str] = []
        namespace.expose("pause", asyncio.sleep)
        namespace.expose("tell", self.told.append)
        self.runtime = PolicyRuntime(HOOKS, namespace, mono=self.clock.mono)
        self._check = DryCheck(self.runtime, self.api)
        self.overrides = ShapingOverrides()
        self.helpers = ScriptHelpers(self.api, self.runtime, self.limiter, self._helper_ports())
        self.helpers.expose(namespace)
        self._path = folder / "init.py"
        self.load(script)
        self.resolver = DnsResolver(clock=self.clock.mono, zones=[ZONE], servfail=servfail)
        self.queues = ScheduledRegistry()
        self.ready = ReadyRegistry(self, self.runtime, lambda: self.resolver, self.clock)
        self.promotion = Promotion(self, self.queues, self.ready, lambda: self.settlement)
        self.transferring = Transferring(self)
        self.settlement = Settlement(
            clock=self.clock,
            store=self.store,
            recorder=self.recorder,
            runtime=self.runtime,
            metrics=self.metrics,
            config_of=self.promotion.config_of,
            requeue=self.transferring.take_back,
            rng=random.Random(7),
        )
        self._defer, self.settlement.defer = self.settlement.defer, self._seen_defer
        self.suspensions.on_change.append(self._control_changed)
        self.bounces.on_change.append(self.promotion.bounce_waiting)

    def load(self, script: str) -> None:
        """Load a script and make it the current epoch."""
        self._path.write_text(HEADER + textwrap.dedent(script), encoding="utf-8")
        self.runtime.swap(self.runtime.load(self._path))
        self.helpers.begin(self.runtime.epoch)

    def _helper_ports(self) -> HelperPorts:
        shaping = ShapingPorts(
            wall=self.clock.wall,
            mono=self.clock.mono,
            start=None,
            resolver=lambda: self.resolver,
            overrides=self.overrides,
            mx_hosts=lambda name: self.ready.hosts_of(name),
            rules_changed=lambda _shaping: None,
            paths_changed=lambda: None,
            count_load=lambda _result: None,
        )
        return HelperPorts(
            self.clock.mono,
            self.supervisor.start,
            lambda: self.resolver,
            self._no_secret,
            shaping,
        )

    async def _no_secret(self, _source: Any) -> bytes:
        raise ConfigurationError("no such secret")

    def fail_names(self, *names: str) -> None:
        """Have the DNS fail for these names from now on."""
        self.resolver = DnsResolver(clock=self.clock.mono, zones=[ZONE], servfail=list(names))

    # -- ports, as engine.app fills them in

    def may_deliver(self) -> bool:
        return not self.stopping and self.store.trouble() is None

    def is_suspended(self, name: str, source: str) -> bool:
        return not self.suspensions.is_empty and self.suspensions.find_way(name, source) is not None

    def examine(self, message: Message) -> bool:
        directive = self.bounces.find(message.queue_name)
        if directive is not None:
            self.settlement.bounce(message, directive)
            return False
        if self.suspensions.find_scheduled(message.queue_name):
            self.promotion.insert(message)
            return False
        config = self.promotion.config_of(message.queue_name)
        if config is not None and self.settlement.expires(message, config.retry, 0.0):
            self.settlement.expire(message, self.clock.mono())
            return False
        return True

    def requeue(self, message: Message, reason: InsertReason, delay_s: float | None) -> None:
        if not self.stopping:
            self.settlement.put_back(message, reason, delay_s)

    def report_failures(self, queue: ReadyQueue) -> None:
        raise AssertionError("no connection is opened here")

    def start_dispatcher(self, queue: ReadyQueue) -> asyncio.Task[Any]:
        if self.broken_starts:
            self.broken_starts -= 1
            raise RuntimeError("no more tasks")
        self.sessions_started += 1
        return self.supervisor.start(self._dispatch(queue), f"dispatcher {queue.name}")

    async def _dispatch(self, queue: ReadyQueue) -> None:
        await self.gate.wait()
        while queue.may_work():
            message = queue.take_nowait() or await queue.wait_message(queue.path.idle_timeout_s)
            if message is None:
                return
            self.hands.add(message.spool_id)
            try:
                if self.carry_s:
                    await asyncio.sleep(self.carry_s)
            except asyncio.CancelledError:
                self.hands.discard(message.spool_id)
                self.settlement.put_back(message, InsertReason.DISPATCHER_DROP)
                raise
            # From here on settlement owns the message.
            self.hands.discard(message.spool_id)
            await self._carry(queue, message)

    async def _carry(self, queue: ReadyQueue, message: Message) -> None:
        queue.renew_slots(asyncio.current_task())
        reply = self.reply_of(message)
        verdict = judge_reply(reply)
        outcomes = [RecipientOutcome(one, reply, "", verdict) for one in message.recipients]
        where = Circumstances(queue.name, queue.site_name, queue.source.name, "ESMTP")
        self.carried.append((self.clock.mono(), queue.name, message.id))
        await self.settlement.settle(message, outcomes, where, True)

    async def _seen_defer(self, message: Message, *args: Any, **kw: Any) -> None:
        """Have a message counted as in a hand while a handler is asked about it."""
        self.hands.add(message.spool_id)
        try:
            await self._defer(message, *args, **kw)
        finally:
            self.hands.discard(message.spool_id)

    def _control_changed(self) -> None:
        for queue in self.ready:
            if queue.is_suspended:
                messages, queue.messages = list(queue.messages), type(queue.messages)()
                for message in messages:
                    message.context |= InsertReason.READY_QUEUE_WAS_SUSPENDED
                    self.promotion.insert(message)
                queue.wake_all()
        self.promotion.release_held()
        self.maintain_all()

    def maintain_all(self) -> None:
        """Have every ready queue look for work."""
        for queue in self.ready:
            queue.maintain()

    # -- mail

    def submit(
        self,
        domain: str = "a.test",
        count: int = 1,
        *,
        tenant: str | None = None,
        due_in_s: float = 0.0,
        age_s: float = 0.0,
        data: bytes = b"Subject: x\r\n\r\nhello\r\n",
    ) -> list[Message]:
        """Store messages and insert them, as admission does."""
        messages = []
        for _ in range(count):
            message = Message(
                new_spool_id(),
                "s@from.test",
                [f"r@{domain}"],
                data=data,
                size=len(data),
                created_at=self.clock.wall() - age_s,
                due_mono=self.clock.mono() + due_in_s,
                meta={"tenant": tenant} if tenant else {},
            )
            message.queue_name = queue_name_of(message)
            message.context = InsertReason.RECEIVED
            self.store.bodies[message.body_id] = data
            self.store.update(message)
            messages.append(message)
        for message in messages:
            self.promotion.insert(message)
        return messages

    async def sleep(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass, sweeping as the node does (a step is at most so long)."""
        until = self.clock.mono() + seconds
        while (left_s := until - self.clock.mono()) > 0:
            await asyncio.sleep(min(step_s, left_s))
            self.promotion.sweep()
        await asyncio.sleep(0)

    async def settle_down(self) -> None:
        """Let everything run that needs no time, however slow this machine is."""
        for _ in range(300):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)

    def suspend(self, reason: str = "spam", duration_s: float = 300.0, **criteria: Any) -> Any:
        """Suspend scheduled queues."""
        return self.suspensions.add_scheduled(Criteria(**criteria), reason, "ann", duration_s)

    def suspend_ready(self, name: str, duration_s: float = 300.0) -> Any:
        return self.suspensions.add_ready(name, "blocked", "tsa", duration_s)

    def bounce(self, **criteria: Any) -> Any:
        return self.bounces.add(Criteria(**criteria), "purged", "ann", 300.0)

    # -- what the tests look at

    def records(self, kind: RecordKind) -> list[LogRecord]:
        return [record for record in self.sink.records if record.kind is kind]

    def kinds(self) -> Counter[str]:
        return Counter(str(record.kind.value) for record in self.sink.records)

    def queue(self, name: str) -> ScheduledQueue:
        found = self.queues.find(name)
        assert found is not None, f"there is no queue {name}"
        return found

    def only_ready(self) -> ReadyQueue:
        (found,) = self.ready
        return found

    def stored(self, message: Message) -> Message:
        """Return a message as the spool has it."""
        stored = self.store.load(message.spool_id)
        assert stored is not None, f"{message.id} left the spool"
        return message_from(message.spool_id, stored, self.clock.mono_of(stored.due_at))

    def places(self) -> Counter[bytes]:
        """Return in how many places each message is, from which it can still go on."""
        places: Counter[bytes] = Counter()
        wheel = self.promotion._due_times._wheel
        armed = {id(entry) for bucket in wheel._buckets.values() for entry in bucket}
        for queue in self.queues:
            running = queue.draining or queue.retry_handle is not None
            backlog = {id(entry) for entry in queue.backlog} if running else set()
            held = {id(entry) for entry in queue.held.values()}
            for spool_id, entry in queue.entries.items():
                places[spool_id] += sum(id(entry) in where for where in (armed, backlog, held))
        for ready in self.ready:
            for message in ready.messages:
                places[message.spool_id] += 1
        places.update(self.hands)
        return places

    def assert_each_in_one_place(self) -> None:
        """Fail if a stored message is nowhere, or anywhere twice."""
        places = self.places()
        wrong = {key.hex(): places[key] for key in self.store.envelopes if places[key] != 1}
        assert not wrong, f"messages in so many places: {wrong}"
        ghosts = [key.hex() for key in places if key not in self.store.envelopes]
        assert not ghosts, f"queued, though they left the spool: {ghosts}"

    async def stop(self) -> None:
        self.stopping = True
        self.promotion.stop()
        for queue in self.ready:
            queue.retire()
        await self.supervisor.stop()


@contextlib.asynccontextmanager
async def queue_world(
    folder: Path, script: str = "", *, servfail: tuple[str, ...] = ()
) -> AsyncIterator[QueueWorld]:
    """Run the queues of a node; every stored message must be in one place at the end."""
    world = QueueWorld(folder, script, list(servfail))
    try:
        yield world
        world.assert_each_in_one_place()
    finally:
        await world.stop()
    assert world.supervisor.defects == 0, "a task ended with an unknown error"


def policy(config: str = "", path: str = "", pool: str = '[{"name": "s1"}]', more: str = "") -> str:
    """Return a script with one pool; the arguments are those of its constructors."""
    return f"""
@on("get_queue_config")
def get_queue_config(domain, tenant, campaign, routing_domain):
    return mta.make_queue_config(egress_pool="p", {config})


@on("get_egress_pool")
def get_egress_pool(name):
    return mta.make_egress_pool(name=name, entries={pool})


@on("get_egress_source")
def get_egress_source(name):
    return mta.make_egress_source(name=name)


@on("get_egress_path")
def get_egress_path(routing_domain, egress_source, site_name):
    return mta.make_egress_path({path})

""" + textwrap.dedent(more)
