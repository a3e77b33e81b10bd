"""What a dispatcher needs of the ready queue it works for, and of the node: ports, declared here.

Place in flow: ``engine.ready.ready_queue`` implements ``Work``; ``engine.app`` fills ``Services``.

Invariants: a message that ``take_nowait`` returned is the dispatcher's until it was settled or
given back; exactly one of the two happens.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from engine.base.clock import Clock
from engine.base.trace_hub import OFF, TraceHub
from engine.deliver.attempt import RecipientOutcome
from engine.deliver.tls_policy import BrokenTlsMemory
from engine.model.circumstances import Circumstances
from engine.model.egress import EgressPath, EgressSource
from engine.model.insert_reason import InsertReason
from engine.model.message import Message
from engine.route.dns_resolver import DnsResolver
from engine.route.mx_plan import Route
from engine.spool.spool_store import SpoolStore
from engine.throttle.shared_limiter import NodeLimiter
from policy.runtime import PolicyRuntime

#: Port: make outcomes durable and visible. With ``final`` the message leaves the dispatcher, also
#: when it is cancelled: whoever is left is back in the queue by then.
Settle = Callable[[Message, list[RecipientOutcome], Circumstances, bool], Awaitable[None]]
#: Port: give a message back without an attempt, after a delay in seconds (None: spread).
GiveBack = Callable[[Message, InsertReason, float | None], None]


class Work(Protocol):
    """A ready queue as its dispatchers see it."""

    name: str
    site_name: str
    routing_domain: str
    source: EgressSource
    path: EgressPath
    route: Route | None
    protocol: Any

    def take_nowait(self) -> Message | None:
        """Return the next message, or None."""

    async def wait_message(self, timeout_s: float) -> Message | None:
        """Return the next message, or None after the time or when the queue wants no more."""

    def connected(self) -> None:
        """Note that a session was opened."""

    def connect_failed(self) -> None:
        """Note that a session could not be opened."""

    def return_all(self, reason: InsertReason, delay_s: float | None) -> None:
        """Give every message of the queue back."""

    def may_work(self) -> bool:
        """Return whether the queue is neither suspended nor stopping."""

    def renew_slots(self, task: Any) -> None:
        """Renew the connection leases of a dispatcher's task."""


async def _go_on() -> None:
    """Give way to nobody."""


@dataclass(slots=True)
class Services:
    """What all dispatchers of a node share."""

    clock: Clock
    store: SpoolStore
    runtime: PolicyRuntime
    resolver: Callable[[], DnsResolver]
    limiter: NodeLimiter
    hostname: str
    settle: Settle
    give_back: GiveBack
    broken_tls: BrokenTlsMemory
    rng: random.Random
    sleep: Callable[[float], Awaitable[None]]
    drop_damaged: Callable[[Message, str], None]
    #: Ports: note how long an attempt took (service, seconds), a connection (service, name of the
    #: ready queue), and a source that cannot be bound.
    note_attempt: Callable[[str, float], None] = lambda _service, _seconds: None
    note_connected: Callable[[str, str], None] = lambda _service, _queue: None
    note_unbound: Callable[[], None] = lambda: None
    #: Port: note that a source cannot be used: its address or its proxy is to blame.
    note_source_trouble: Callable[[EgressSource, Exception], None] = lambda _source, _error: None
    #: Who watches outgoing sessions.
    tracing: TraceHub = OFF
    #: Port: let others have the loop, between the messages of a queue that is settled as a whole.
    give_way: Callable[[], Awaitable[None]] = _go_on
