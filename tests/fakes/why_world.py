"""A world to administer whose sessions are real: dispatchers, connections, health of sources.

What ``tests.fakes.queue_world`` has in the place of dispatchers is taken out; mail goes over
loopback to a scripted host, or to nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from engine.admin.explanations import WHY, Explanation
from engine.control.source_health import SourceHealth
from engine.deliver.tls_policy import BrokenTlsMemory
from engine.deliver.work import Services
from engine.dispatching import Dispatching
from engine.model.message import Message
from engine.route.dns_resolver import DnsResolver
from tests.fakes.admin_world import AdminWorld, admin_world
from tests.fakes.queue_world import policy

#: A port of loopback on which nobody listens: connections are refused at once.
NOBODY = "127.0.0.1:1"


def sending_to(peer: str, config: str = "", path: str = "", **parts: str) -> str:
    """Return a script whose mail goes to one host, without TLS."""
    smtp = f'protocol={{"smtp": {{"mx_list": ["{peer}"]}}}}, {config}'
    return policy(smtp, f'enable_tls="Disabled", prohibited_hosts=[], {path}', **parts)


class _Hands(set[bytes]):
    """What is in a hand: of settlement, and of each session."""

    def __init__(self, dispatching: Dispatching) -> None:
        super().__init__()
        self._dispatching = dispatching

    def __iter__(self) -> Iterator[bytes]:
        found = set(super().__iter__())
        for session in self._dispatching.dispatchers.values():
            found.update(message.spool_id for message in session._hand.messages)
        return iter(found)


class WhyWorld:
    """An administered world with real sessions.

    Attributes:
        admin: What operators act on.
    """

    def __init__(self, admin: AdminWorld) -> None:
        self.admin = admin
        world = admin.world
        world.source_health = SourceHealth(world.suspensions, world.clock.mono)
        dispatching = Dispatching(world)
        admin.dispatching = dispatching
        world.hands = _Hands(dispatching)
        world.services = Services(
            clock=world.clock,
            store=world.store,
            runtime=world.runtime,
            resolver=lambda: world.resolver,
            limiter=world.limiter,
            hostname="mx.test",
            settle=world.settlement.settle,
            give_back=world.settlement.put_back,
            broken_tls=BrokenTlsMemory(world.clock.mono),
            rng=random.Random(1),
            sleep=asyncio.sleep,
            drop_damaged=world.settlement.drop_damaged,
            note_attempt=dispatching.note_attempt,
            note_connected=dispatching.note_connected,
            give_way=dispatching.give_way,
            note_source_trouble=dispatching.note_source_trouble,
        )
        world.start_dispatcher = dispatching.start_dispatcher
        world.report_failures = dispatching.report_failures
        world.suspensions.on_change[:] = [self._control_changed]

    def _control_changed(self) -> None:
        """Do as ``engine.app`` does."""
        self.admin.dispatching.give_back_suspended()
        self.promotion.release_held()
        self.admin.dispatching.look_for_work()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.admin, name)

    async def why(self, message: Message, after_s: float = 2.0) -> Explanation:
        """Return what holds a message, when everything that needs no operator has happened."""
        await self.sleep(after_s)
        return await self.admin.act(WHY, id=message.id)

    async def why_of(self, **what: str) -> Explanation:
        """Return what holds a queue."""
        return await self.admin.act(WHY, **what)

    def answer_dns_by(self, zone: str, servfail: tuple[str, ...] = ()) -> None:
        """Have the DNS answer from a zone from now on, and fail for some names."""
        self.admin.world.resolver = DnsResolver(
            clock=self.clock.mono, zones=[zone], servfail=list(servfail)
        )


@contextlib.asynccontextmanager
async def why_world(folder: Path, script: str = "", **options: Any) -> AsyncIterator[WhyWorld]:
    """Run a node's queues and sessions, and administer them."""
    async with admin_world(folder, script, **options) as admin:
        world = WhyWorld(admin)
        try:
            yield world
        finally:
            await admin.dispatching.end_all(0.0)
            await world.sleep(0.1, step_s=0.1)
