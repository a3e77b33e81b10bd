"""The world around one dispatcher: a ready queue, settlement and spool in memory.

Everything that a dispatcher tells the node ends in a list, so that tests assert on what became of
mail: ``settled`` and ``given_back`` together must hold each message exactly once.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.base.clock import loop_clock
from engine.deliver.attempt import RecipientOutcome
from engine.deliver.tls_policy import BrokenTlsMemory
from engine.deliver.work import Services
from engine.model.circumstances import Circumstances
from engine.model.disposition import Disposition
from engine.model.egress import EgressPath, EgressSource, make_egress_path, make_egress_source
from engine.model.errors import SpoolEntryDamagedError
from engine.model.insert_reason import InsertReason
from engine.model.message import FLAG_8BIT, Message, new_spool_id
from engine.route.dns_resolver import DnsResolver
from engine.route.mx_plan import Route, RouteHost
from engine.spool.memory_store import MemoryStore
from engine.throttle.limiter import MemoryLimiter

BODY = b"Subject: hello\r\n\r\nhello\r\n"


@dataclass
class Settled:
    """One call of the settlement port."""

    message: Message
    outcomes: list[RecipientOutcome]
    where: Circumstances
    final: bool

    def lines(self) -> list[str]:
        """Return recipient, disposition and reply of each outcome as one line."""
        return [
            f"{one.recipient} {one.disposition.name} {one.reply.one_line()}"
            for one in self.outcomes
            if one.disposition is not None
        ]


@dataclass
class GivenBack:
    """One message that came back without an attempt."""

    message: Message
    reason: InsertReason
    delay_s: float | None
    recipients: list[str] = field(default_factory=list)


class FakeRuntime:
    """A policy that handles ``rewrite_delivery_status`` and senders with plain functions."""

    def __init__(self) -> None:
        self.rewrite: Any = None

    def is_handled(self, name: str) -> bool:
        return name == "rewrite_delivery_status" and self.rewrite is not None

    async def fire(self, _name: str, *args: Any) -> Any:
        return await self.rewrite(*args)

    async def call_function(self, function: Any, *args: Any) -> Any:
        return await function(*args)


class DispatchWorld:
    """A ready queue for dispatchers, and all that they report.

    Attributes:
        settled: What was settled, in order.
        given_back: What came back without an attempt, in order.
        connect_failures: How often a session could not be opened.
    """

    def __init__(self, *, hosts: Sequence[RouteHost] = (), zones: str = "", **path: Any) -> None:
        loop = asyncio.get_running_loop()
        clock = loop_clock(loop)
        self.name = "src->site@smtp_client"
        self.site_name = "site"
        self.routing_domain = "y.test"
        self.source: EgressSource = make_egress_source(name="src")
        defaults = {"prohibited_hosts": [], "enable_tls": "Disabled"}
        self.path: EgressPath = make_egress_path(**{**defaults, **path})
        self.route: Route | None = Route("site", tuple(hosts), is_null=False, domain="y.test")
        self.protocol: Any = None
        self.messages: deque[Message] = deque()
        self.settled: list[Settled] = []
        self.given_back: list[GivenBack] = []
        self.damaged: list[Message] = []
        self.connect_failures = 0
        self.sessions = 0
        self.is_open = True
        self.settle_error: BaseException | None = None
        self.settle_gate: asyncio.Event | None = None
        self.store = MemoryStore(clock.wall_of)
        self.runtime = FakeRuntime()
        self.limiter = MemoryLimiter(clock.mono)
        self._resolver = DnsResolver(clock=clock.mono, zones=[zones])
        self._arrived = asyncio.Event()
        self.services = Services(
            clock=clock,
            store=self.store,
            runtime=self.runtime,  # type: ignore[arg-type]
            resolver=lambda: self._resolver,
            limiter=self.limiter,
            hostname="client.test",
            settle=self._settle,
            give_back=self._give_back,
            broken_tls=BrokenTlsMemory(clock.mono),
            rng=random.Random(1),
            sleep=asyncio.sleep,
            drop_damaged=lambda message, _why: self.damaged.append(message),
        )

    # -- the mail

    def add(
        self,
        *recipients: str,
        sender: str = "a@x.test",
        body: bytes = BODY,
        flags: int = 0,
        **meta: str,
    ) -> Message:
        """Put a message into the queue."""
        if not body.isascii():
            flags |= FLAG_8BIT
        message = Message(
            new_spool_id(),
            sender,
            list(recipients or ("b@y.test",)),
            data=body,
            size=len(body),
            created_at=0.0,
            flags=flags,
            meta=dict(meta),
        )
        message.queue_name = "y.test"
        self.messages.append(message)
        self._arrived.set()
        return message

    def dispositions(self, message: Message) -> dict[str, Disposition]:
        """Return the last disposition of each recipient of a message."""
        found = {}
        for call in self.settled:
            if call.message is message:
                for one in call.outcomes:
                    assert one.disposition is not None
                    found[one.recipient] = one.disposition
        return found

    def ends(self, message: Message) -> int:
        """Return how often a message left the dispatcher; anything but 1 is a defect."""
        finals = sum(call.message is message and call.final for call in self.settled)
        return finals + sum(back.message is message for back in self.given_back)

    @property
    def lines(self) -> list[str]:
        """Return all outcomes, in order, as text."""
        return [line for call in self.settled for line in call.lines()]

    # -- the ready queue

    def take_nowait(self) -> Message | None:
        return self.messages.popleft() if self.messages else None

    async def wait_message(self, timeout_s: float) -> Message | None:
        self._arrived.clear()
        try:
            async with asyncio.timeout(timeout_s):
                while not self.messages and self.is_open:
                    await self._arrived.wait()
        except TimeoutError:
            return None
        return self.take_nowait()

    def connected(self) -> None:
        self.sessions += 1

    def connect_failed(self) -> None:
        self.connect_failures += 1

    def return_all(self, reason: InsertReason, delay_s: float | None) -> None:
        while self.messages:
            self._give_back(self.messages.popleft(), reason, delay_s)

    def may_work(self) -> bool:
        return self.is_open

    def renew_slots(self, task: Any) -> None:
        return

    # -- the ports

    async def _settle(
        self,
        message: Message,
        outcomes: list[RecipientOutcome],
        where: Circumstances,
        final: bool,
    ) -> None:
        """Do as ``engine.schedule.settlement`` does: narrow, then go on to what may wait."""
        if self.settle_error is not None:
            error, self.settle_error = self.settle_error, None
            raise error
        done = {one.recipient for one in outcomes if one.disposition is not Disposition.DEFERRED}
        remaining = [one for one in message.recipients if one not in done]
        if remaining:
            message.recipients = remaining
            if final and self.settle_gate is not None:
                try:
                    await self.settle_gate.wait()
                except asyncio.CancelledError:
                    # It has put back what was left.
                    self.settled.append(Settled(message, list(outcomes), where, True))
                    raise
        self.settled.append(Settled(message, list(outcomes), where, final or not remaining))

    def _give_back(self, message: Message, reason: InsertReason, delay_s: float | None) -> None:
        back = GivenBack(message, reason, delay_s, list(message.recipients))
        self.given_back.append(back)


class DamagedStore(MemoryStore):
    """A store whose bodies cannot be read."""

    def load_body(self, body_id: Any) -> bytes:
        raise SpoolEntryDamagedError("the body is missing")


def host(peer: Any, name: str = "mx.test", pref: int = 0) -> RouteHost:
    """Return the route to a scripted peer."""
    return RouteHost(pref, name, peer.port, (peer.address[0],))
