"""Dispatchers and what ready queues ask of the node: started, watched, ended.

Place in flow: the ``ReadyPorts`` of ``engine.ready``; joins ready queues, dispatchers, settlement
and promotion. Made by ``engine.app``.

Invariants:
    * A message taken from a ready queue goes to a dispatcher, is settled, or goes back to its
      scheduled queue; no error on the way loses it.
    * A dispatcher that comes no further is ended, and the message in its hand is deferred.
    * What happens to whole ready queues holds the loop for one slice a turn, however many there
      are: a network that fails concerns all of them at once.

Failure: what cannot be judged may go on: its dispatcher will see.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.metrics import Metrics
from engine.control.admin_bounces import AdminBounceRegistry
from engine.control.source_health import SourceHealth
from engine.control.suspensions import SuspensionRegistry
from engine.deliver.dispatcher import SmtpDispatcher
from engine.deliver.local_socket import ProxySourceError, ProxyTroubleError, SourceUnplumbedError
from engine.deliver.maildir_dispatcher import MaildirDispatcher
from engine.deliver.outgoing_session import OutgoingSession
from engine.deliver.script_dispatcher import ScriptDispatcher
from engine.deliver.work import Services, Work
from engine.model.circumstances import Circumstances
from engine.model.egress import EgressSource
from engine.model.insert_reason import InsertReason
from engine.model.message import Message
from engine.model.queue_config import MaildirProtocol, ScriptProtocol, TransferProtocol
from engine.model.reply import make_reply
from engine.ready.ready_queue import ReadyQueue
from engine.ready.ready_registry import ReadyRegistry
from engine.schedule.pace import Pace
from engine.schedule.promotion import Promotion
from engine.schedule.settlement import Settlement
from engine.spool.spool_store import SpoolStore
from engine.throttle.shared_lease import NodeLeases

log = logging.getLogger("cirrus.node")

UNREACHABLE = make_reply(451, "4.4.1 too many consecutive connection failures")
#: How long cancelled dispatchers may take to give back what they hold, seconds.
GIVE_BACK_S = 5.0


class TransfersPort(Protocol):
    """What makes the dispatchers of transfers."""

    def make_dispatcher(self, work: Work, services: Services) -> OutgoingSession:
        """Return a dispatcher for a ready queue whose protocol is ``xfer``."""


class DispatchingNode(Protocol):
    """What dispatching needs from the node."""

    clock: Clock
    metrics: Metrics
    supervisor: Supervisor
    leases: NodeLeases
    suspensions: SuspensionRegistry
    bounces: AdminBounceRegistry
    source_health: SourceHealth
    store: SpoolStore
    ready: ReadyRegistry
    promotion: Promotion
    settlement: Settlement
    services: Services
    stopping: bool

    @property
    def transfers(self) -> TransfersPort:
        """Return its transfers."""


class Dispatching:
    """The dispatchers of a node.

    Attributes:
        dispatchers: Those at work, by their task.
    """

    def __init__(self, node: DispatchingNode) -> None:
        self._node = node
        self.leases = node.leases
        self.dispatchers: dict[asyncio.Task[Any], OutgoingSession] = {}
        self._pace = Pace(node.clock.mono)
        self._is_looking = self._must_look = False
        self._is_refreshing = self._must_refresh = False
        self._aborted = node.metrics.counter("dispatcher_watchdog_aborted_total")
        self._latency = node.metrics.histogram("deliver_message_latency_rollup")
        self._connections = node.metrics.counter("total_connection_count")
        #: Services of the ready queues whose connections are counted one by one, by queue.
        self._connected: dict[str, str] = {}

    # -- what ready queues ask ----------------------------------------------------------------

    def may_deliver(self) -> bool:
        """Return whether deliveries may start: their outcome can be noted."""
        return not self._node.stopping and self._node.store.trouble() is None

    def is_suspended(self, name: str, source: str) -> bool:
        """Return whether a ready queue, or its egress source, is suspended."""
        suspensions = self._node.suspensions
        return not suspensions.is_empty and suspensions.find_way(name, source) is not None

    def examine(self, message: Message) -> bool:
        """Return whether a message may still go; one that may not was settled or held."""
        try:
            return self._examine(message)
        except Exception:  # boundary: supervisor
            log.exception("message %s cannot be judged and goes on", message.id)
            return True

    def _examine(self, message: Message) -> bool:
        node = self._node
        if not node.bounces.is_empty:
            directive = node.bounces.find(message.queue_name)
            if directive is not None:
                node.settlement.bounce(message, directive)
                return False
        if not node.suspensions.is_empty and node.suspensions.find_scheduled(message.queue_name):
            node.promotion.insert(message)
            return False
        config = node.promotion.config_of(message.queue_name)
        if config is not None and node.settlement.expires(message, config.retry, 0.0):
            node.settlement.expire(message, node.clock.mono())
            return False
        return True

    def requeue(self, message: Message, reason: InsertReason, delay_s: float | None) -> None:
        """Give a message of a ready queue back to its scheduled queue, no attempt counted."""
        if not self._node.stopping:
            self._node.settlement.put_back(message, reason, delay_s)

    def start_dispatcher(self, queue: ReadyQueue) -> asyncio.Task[Any]:
        """Start a dispatcher for a ready queue and return its task."""
        kind: Callable[[Any, Services], Any] = SmtpDispatcher
        if isinstance(queue.protocol, ScriptProtocol):
            kind = ScriptDispatcher
            self.note_connected("script", queue.name)
        elif isinstance(queue.protocol, MaildirProtocol):
            kind = MaildirDispatcher
            self.note_connected("maildir", queue.name)
        elif isinstance(queue.protocol, TransferProtocol):
            kind = self._node.transfers.make_dispatcher
            self.note_connected(queue.protocol.label, queue.name)
        dispatcher = kind(queue, self._node.services)
        task = self._node.supervisor.start(dispatcher.run(), f"dispatcher {queue.name}")
        self.dispatchers[task] = dispatcher
        task.add_done_callback(lambda done: self.dispatchers.pop(done, None))
        return task

    def report_failures(self, queue: ReadyQueue) -> None:
        """Defer a whole ready queue after too many connection failures in a row."""
        self._node.supervisor.start(self._defer_queue(queue), "defer-unreachable")

    async def _defer_queue(self, queue: ReadyQueue) -> None:
        where = Circumstances(queue.name, queue.site_name, queue.source.name, "ESMTP")
        reason = InsertReason.TOO_MANY_CONNECTION_FAILURES
        # Those that are there now: what comes while others have the loop gets its own attempt.
        for _ in range(len(queue.messages)):
            await self.give_way()
            message = queue.take_nowait()
            if message is None:
                return
            message.context |= reason
            try:
                await self._node.settlement.defer_whole(message, UNREACHABLE, where)
            except Exception:  # boundary: supervisor
                log.exception("message %s cannot be deferred and goes back", message.id)
                self.requeue(message, reason, None)

    async def give_way(self) -> None:
        """Let others have the loop if what is done to whole queues has used its share."""
        if self._pace.is_spent():
            await self._pace.wait()

    def note_attempt(self, service: str, seconds: float) -> None:
        """Note how long an attempt took."""
        self._latency.labels(service).observe(seconds)

    def note_connected(self, service: str, queue: str) -> None:
        """Count a connection, or what stands for one, of a ready queue."""
        self._connected[queue] = service
        self._connections.labels(service).inc()
        self._connections.labels(f"{service}:{queue}").inc()

    def forget_series(self, gone: Iterable[str]) -> None:
        """Forget the counters of ready queues that are gone, given by their names."""
        for queue in gone:
            service = self._connected.pop(queue, None)
            if service is not None:
                self._connections.remove(f"{service}:{queue}")

    def note_source_trouble(self, source: EgressSource, error: Exception) -> None:
        """Note that a source cannot be used; it may be taken out for it."""
        # What says more goes first: a source that is out is not judged again.
        if isinstance(error, SourceUnplumbedError | ProxySourceError):
            self._node.source_health.note_unplumbed(source, str(error))
        if isinstance(error, ProxyTroubleError):
            self._node.source_health.note_proxy(source, str(error))

    # -- while running ------------------------------------------------------------------------

    def end_stuck(self) -> None:
        """End dispatchers that came no further for longer than their path allows."""
        now = self._node.clock.mono()
        for task, dispatcher in list(self.dispatchers.items()):
            limit_s = dispatcher.watchdog_s
            if dispatcher.phase != "Idle" and now - dispatcher.progress_mono > limit_s:
                log.error(
                    "%s made no progress in %s for %.0f s; ended",
                    task.get_name(),
                    dispatcher.phase,
                    now - dispatcher.progress_mono,
                )
                self._aborted.labels("smtp_client").inc()
                dispatcher.is_stuck = True
                task.cancel()

    def give_back_suspended(self) -> None:
        """Empty suspended ready queues: other sources may take the mail."""
        insert, reason = self._node.promotion.insert, InsertReason.READY_QUEUE_WAS_SUSPENDED
        for directive in self._node.suspensions.list_ready():
            queue = self._node.ready.find(directive.name)
            if queue is not None:
                queue.empty_into(insert, reason)
                queue.wake_all()
        out = {directive.name for directive in self._node.suspensions.list_sources()}
        reason = InsertReason.SOURCE_IS_UNHEALTHY_AND_SUSPENDED
        for queue in self._node.ready if out else ():
            if queue.source.name in out:
                queue.empty_into(insert, reason)
                queue.wake_all()

    def look_for_work(self) -> None:
        """Have every ready queue look for work: after a suspension or an outage ended."""
        self._must_look = True
        if not self._is_looking:
            self._is_looking = True
            self._node.supervisor.start(self._look_for_work(), "look-for-work")

    async def _look_for_work(self) -> None:
        try:
            while self._must_look:
                self._must_look = False
                for queue in self._node.ready:
                    await self.give_way()
                    queue.maintain()
        finally:
            self._is_looking = False

    def refresh_paths(self) -> None:
        """Have every ready queue ask for its path anew: what it is made of has changed."""
        self._must_refresh = True
        if not self._is_refreshing:
            self._is_refreshing = True
            self._node.supervisor.start(self._refresh_paths(), "refresh-paths")

    async def _refresh_paths(self) -> None:
        try:
            while self._must_refresh:
                self._must_refresh = False
                for queue in self._node.ready:
                    await self.give_way()
                    await self._node.ready.refresh_path(queue)
                    queue.maintain()
        finally:
            self._is_refreshing = False

    async def end_all(self, deadline_s: float) -> None:
        """Let dispatchers finish the message in hand; end at once those that only wait."""
        busy: set[asyncio.Task[Any]] = set()
        for task, dispatcher in list(self.dispatchers.items()):
            if dispatcher.phase == "DeliveringMessage":
                busy.add(task)
            else:
                task.cancel()
        if busy:
            await self._let_finish(busy, deadline_s)
        for task in list(self.dispatchers):
            task.cancel()
        if self.dispatchers:
            await asyncio.wait(set(self.dispatchers), timeout=GIVE_BACK_S)

    async def _let_finish(self, busy: set[asyncio.Task[Any]], deadline_s: float) -> None:
        """Wait for tasks to end; a path that gives its sessions less time cuts theirs short."""
        loop = asyncio.get_running_loop()
        alarms = [
            loop.call_later(self.dispatchers[task].shutdown_s, task.cancel)
            for task in busy
            if self.dispatchers[task].shutdown_s < deadline_s
        ]
        try:
            await asyncio.wait(busy, timeout=deadline_s)
        finally:
            for alarm in alarms:
                alarm.cancel()
