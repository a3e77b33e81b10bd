"""What every dispatcher is to the node: whom it works for, what it does, when it last came further.

Place in flow: the dispatchers of each protocol are made on it; ``engine.dispatching`` watches it.

Invariants: ``progress_mono`` grows with each step; a session that only waits for messages is in
phase ``Idle``, one that ends when it is let alone in ``DeliveringMessage``.
"""

from __future__ import annotations

import uuid

from engine.deliver.hand import Hand
from engine.deliver.rate_gate import RateGate
from engine.deliver.work import Services, Work


class OutgoingSession:
    """One session of a ready queue, whatever its protocol.

    Attributes:
        session_id: Correlates the records of the session.
        phase: What it does now, as operators see it.
        is_stuck: Set by who ends the session because it comes no further.
    """

    def __init__(self, work: Work, services: Services) -> None:
        self._work = work
        self._services = services
        self._hand = Hand(services)
        self._gate = RateGate(work, services, self._enter)
        self.session_id = str(uuid.uuid4())
        self.phase = "Starting"
        self.is_stuck = False
        self._entered_mono = services.clock.mono()

    @property
    def progress_mono(self) -> float:
        """Return when the session last came further."""
        return self._entered_mono

    @property
    def pool(self) -> str | None:
        """Return the egress pool whose mail it carries, or last did."""
        return self._hand.pool

    @property
    def watchdog_s(self) -> float:
        """Return how long the session may come no further, seconds."""
        return self._work.path.watchdog_s

    @property
    def shutdown_s(self) -> float:
        """Return how long it may go on with the message in hand when the node stops, seconds."""
        return self._work.path.shutdown_s

    def _enter(self, phase: str) -> None:
        self.phase = phase
        self._entered_mono = self._services.clock.mono()
