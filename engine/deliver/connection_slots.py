"""Leases that bound the connections of one ready queue.

Place in flow: ``engine.ready.ready_queue`` takes the slots before it starts a dispatcher and gives
them back when the dispatcher ended.

Invariants: all limits of a path are held, or none; the smallest is asked first, so that a refusal
is found before larger limits are touched.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.egress import EgressPath
from engine.throttle.lease import Lease, MemoryLeases

#: The prefix of a path's own limit; shared limits use the operator's name.
_PREFIX = "connection_limit."


def limits_of(path: EgressPath, ready_queue: str) -> list[tuple[str, int]]:
    """Return keys and limits that a connection of this path needs, smallest first."""
    limits = [(_PREFIX + ready_queue, path.connection_limit.limit)]
    limits += [(name, spec.limit) for name, spec in path.additional_connection_limits.items()]
    return sorted(limits, key=lambda item: item[1])


def acquire_slots(
    leases: MemoryLeases, limits: Sequence[tuple[str, int]], ttl_s: float
) -> list[Lease] | str:
    """Return the leases of one connection, or the name of the limit that is reached."""
    taken: list[Lease] = []
    for key, limit in limits:
        lease = leases.acquire_nowait(key, limit, ttl_s)
        if lease is None:
            release_slots(taken)
            return key
        taken.append(lease)
    return taken


def release_slots(taken: Sequence[Lease]) -> None:
    """Give leases back."""
    for lease in taken:
        lease.release()
