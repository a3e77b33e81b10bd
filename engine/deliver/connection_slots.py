"""Leases that bound the connections of one ready queue.

Place in flow: ``engine.ready.ready_queue`` takes the slots before it starts a dispatcher and gives
them back when the dispatcher ended.

Invariants: the smallest limit is asked first, so that a refusal is found before larger limits are
touched.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.egress import EgressPath
from engine.throttle.lease import Lease
from engine.throttle.shared_lease import LOCAL

#: The prefix of a path's own limit; shared limits use the operator's name.
_PREFIX = "connection_limit."


def limits_of(path: EgressPath, ready_queue: str) -> list[tuple[str, int]]:
    """Return keys and limits that a connection of this path needs, smallest first."""
    specs = {_PREFIX + ready_queue: path.connection_limit, **path.additional_connection_limits}
    limits = [(LOCAL + key if spec.force_local else key, spec.limit) for key, spec in specs.items()]
    return sorted(limits, key=lambda item: item[1])


def release_slots(taken: Sequence[Lease]) -> None:
    """Give leases back."""
    for lease in taken:
        lease.release()
