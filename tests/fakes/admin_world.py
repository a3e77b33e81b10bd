"""A node's queues with what administration needs beside them, and operators of it by two doors."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec

from engine.admin.admin_node import SharedLimitsStatus
from engine.admin.audit_log import AuditEntry, AuditLog
from engine.admin.decision_book import DecisionBook
from engine.admin.history_samples import History
from engine.admin.http_api import AdminApi
from engine.admin.operation import NOTHING, NoArguments, Operation, perform
from engine.admin.shared_directives import SharedDirectives
from engine.admin.web_page import WebPage
from engine.base.http_service import HttpService
from engine.base.memory_guard import MemoryGuard
from engine.base.trace_hub import Tracing
from engine.deliver.outgoing_session import OutgoingSession
from engine.model.caller import Caller
from engine.model.message import Message
from engine.ready.ready_queue import ReadyQueue
from engine.records.record_tap import RecordTap
from policy.epoch import Epoch
from tests.fakes.queue_world import QueueWorld, queue_world

ANN = Caller("ann", "192.0.2.1", "console")


class AdminWorld:
    """Everything of a queue world, and what administration needs beside it.

    Attributes:
        reload: What loading the policy again does.
        transactions: How many go by each epoch of the policy, by its serial.
        old_epochs: Epochs that others took the place of.
        book: Decisions of the automation.
        automation_is_off: Whether the automation was switched off; None where there is none.
    """

    def __init__(self, world: QueueWorld, folder: Path) -> None:
        self.world = world
        self.audit = AuditLog(world.clock.wall)
        self.shared_directives = SharedDirectives(world)
        self.audit.open(folder / "audit")
        self.history = History()
        self.reload: Any = None
        self.memory = MemoryGuard({})
        self.tracing = Tracing()
        RecordTap(world.recorder, self.tracing.records)
        self.node_id, self.version = "node-1", "1.2.3"
        self.online_since = "2026-01-01T00:00:00Z"
        self.dispatching = SimpleNamespace(dispatchers={})
        self.transactions: dict[int, int] = {}
        self.declared = SimpleNamespace(transactions=lambda: self.transactions)
        self.old_epochs: list[Epoch] = []
        self.retired = SimpleNamespace(held=lambda: self.old_epochs)
        self.automation_is_off: bool | None = False
        if not hasattr(world, "transfers"):
            self.transfers = SimpleNamespace(drain=SimpleNamespace(is_recovering=False))
        self.sharing = SharedLimitsStatus(configured=False, shared=False, nodes=1, trouble=None)
        self.shared_limits = SimpleNamespace(status=lambda: self.sharing)
        self.book = DecisionBook(world.suspensions, world.bounces, world.clock)
        self.automation = SimpleNamespace(
            book=self.book,
            overrides=world.overrides,
            switch=self._switch,
            status=lambda: {"is_off": self.automation_is_off},
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)

    async def reload_policy(self) -> None:
        if self.reload is not None:
            raise self.reload

    async def _switch(self, *, is_off: bool) -> bool:
        if self.automation_is_off is None:
            return False
        self.automation_is_off = is_off
        return True

    async def act(self, operation: Operation, caller: Caller = ANN, **arguments: Any) -> Any:
        """Perform an operation as a console does."""
        is_plain = operation.request is NoArguments
        request = NOTHING if is_plain else msgspec.convert(arguments, operation.request)
        return await perform(self, operation, caller, request)

    def readdress(self, message: Message, sender: str, *recipients: str) -> Message:
        """Have a waiting message be from and for others."""
        queue = self.queue(message.queue_name)
        queue.discard(queue.entries[message.spool_id])
        message.sender, message.recipients = sender, list(recipients)
        self.store.update(message)
        self.promotion.insert(message)
        return message

    def give_sessions(self, queue: ReadyQueue) -> list[OutgoingSession]:
        """Put a session behind each dispatcher of a ready queue, as the real ones have."""
        services = SimpleNamespace(clock=self.clock, tracing=self.tracing.client)
        for task in queue.dispatchers:
            self.dispatching.dispatchers[task] = OutgoingSession(queue, services)
        return [self.dispatching.dispatchers[task] for task in queue.dispatchers]

    def audited(self) -> list[AuditEntry]:
        """Return what the audit log holds, the oldest first."""
        return self.audit.reader()(lambda entry: True, 1000)[::-1]


@contextlib.asynccontextmanager
async def admin_world(folder: Path, script: str = "", **options: Any) -> AsyncIterator[AdminWorld]:
    """Run the queues of a node and administer them."""
    async with queue_world(folder, script, **options) as world:
        made = AdminWorld(world, folder)
        yield made
        made.audit.close()


class Operator:
    """Somebody with HTTP access to a world."""

    def __init__(self, world: AdminWorld, service: HttpService, session: Any) -> None:
        self.world = world
        self.service = service
        self.base = f"http://127.0.0.1:{service.port}"
        self.session = session

    async def __call__(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        """Return status and answer; the arguments are the body, or the query of a GET."""
        options = {"params": body} if method == "GET" else {"json": body}
        async with self.session.request(method, self.base + path, **options) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.text()

    async def ok(self, method: str, path: str, **body: Any) -> Any:
        """Return the answer of a call that has to be taken."""
        status, answer = await self(method, path, **body)
        assert status == 200, answer
        return answer


@contextlib.asynccontextmanager
async def operating(folder: Path, script: str = "", **listener: Any) -> AsyncIterator[Operator]:
    """Administer a world by HTTP."""
    async with admin_world(folder, script) as world:
        listener.setdefault("trusted_hosts", ["127.0.0.1"])
        api = AdminApi(world)
        service = HttpService(
            ("127.0.0.1", 0),
            "mx.test",
            metrics=world.metrics,
            on_denied=api.note_denied,
            **listener,
        )
        api.add_to(service)
        api.tracing.add_to(service)
        WebPage().add_to(service)
        await service.start()
        async with aiohttp.ClientSession() as session:
            yield Operator(world, service, session)
        await service.stop(1.0)
