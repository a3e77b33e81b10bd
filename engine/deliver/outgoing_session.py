"""What every dispatcher is to the node: whom it works for, what it does, when it last came further.

Place in flow: the dispatchers of each protocol are made on it; ``engine.dispatching`` watches it.

Invariants: ``progress_mono`` grows with each step; a session that only waits for messages is in
phase ``Idle``, one that ends when it is let alone in ``DeliveringMessage``.
"""

from __future__ import annotations

import uuid
from typing import NamedTuple

from engine.deliver.hand import Hand
from engine.deliver.outgoing_trace import OutgoingTrace
from engine.deliver.rate_gate import RateGate
from engine.deliver.work import Services, Work
from engine.model.insert_reason import InsertReason
from engine.model.message import Message


class SessionSnapshot(NamedTuple):
    """A session at one moment; instants are monotonic, numbers are of recipients."""

    session_id: str
    began_mono: float
    entered_mono: float
    phase: str
    detail: str
    delivered: int
    deferred: int
    failed: int
    delivered_this_connection: int


class OutgoingSession:
    """One session of a ready queue, whatever its protocol.

    Attributes:
        session_id: Correlates the records of the session.
        began_mono: When it was started.
        phase: What it does now, as operators see it.
        is_stuck: Set by who ends the session because it comes no further.
        trace: What tells those who watch it.
    """

    def __init__(self, work: Work, services: Services) -> None:
        self._work = work
        self._services = services
        self._hand = Hand(services)
        self._gate = RateGate(work, services, self._enter)
        self.session_id = str(uuid.uuid4())
        self.phase = "Starting"
        self.is_stuck = False
        self._delivered = 0
        self._entered_mono = self.began_mono = services.clock.mono()
        self.trace = OutgoingTrace(services.tracing, services.clock.wall)
        self.trace.begin(
            session_id=self.session_id, ready_queue=work.name, egress_source=work.source.name
        )

    def carries(self, spool_id: bytes) -> bool:
        """Return whether a message is in its hand."""
        return any(message.spool_id == spool_id for message in self._hand.messages)

    @property
    def ready_queue(self) -> str:
        """Return the name of the ready queue that it works for."""
        return self._work.name

    @property
    def held(self) -> int:
        """Return how many messages are in its hand."""
        return len(self._hand.messages)

    @property
    def progress_mono(self) -> float:
        """Return when the session last came further."""
        return self._entered_mono

    @property
    def delivered_this_connection(self) -> int:
        """Return how many messages were tried over the connection in use."""
        return self._delivered

    @property
    def detail(self) -> str:
        """Return with whom or what it is occupied, for operators."""
        return ""

    def snapshot(self) -> SessionSnapshot:
        """Return the session as it is now."""
        return SessionSnapshot(
            self.session_id,
            self.began_mono,
            self._entered_mono,
            self.phase,
            self.detail,
            self._hand.delivered,
            self._hand.deferred,
            self._hand.failed,
            self.delivered_this_connection,
        )

    @property
    def watchdog_s(self) -> float:
        """Return how long the session may come no further, seconds."""
        return self._work.path.watchdog_s

    @property
    def shutdown_s(self) -> float:
        """Return how long it may go on with the message in hand when the node stops, seconds."""
        return self._work.path.shutdown_s

    async def _next(self) -> Message | None:
        """Return the next message, or None at the end of the session."""
        work = self._work
        if not work.may_work():
            return None
        message = work.take_nowait()
        if message is None:
            self._enter("Idle")
            message = await work.wait_message(work.path.idle_timeout_s)
        return message

    async def _has_turn(self, count: int = 1) -> bool:
        """Wait for the message rates; return False if all went back, for it would take too long."""
        wait_s = await self._gate.wait_messages(count)
        if wait_s > 0.0:
            self._hand.give_back(InsertReason.MESSAGE_RATE_THROTTLE, wait_s)
            self._work.return_all(InsertReason.MESSAGE_RATE_THROTTLE, wait_s)
        return wait_s <= 0.0

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self._entered_mono = self._services.clock.mono()
