"""Leases of connections."""

from engine.deliver.connection_slots import limits_of, release_slots
from engine.model.egress import make_egress_path
from engine.throttle.lease import MemoryLeases


def make(**path):
    return MemoryLeases(lambda: 0.0), limits_of(make_egress_path(**path), "queue")


def test_the_smallest_limit_is_asked_first():
    _, limits = make(connection_limit=10, additional_connection_limits={"a": 20, "b": 5})

    assert limits == [("b", 5), ("connection_limit.queue", 10), ("a", 20)]


def test_all_limits_are_held_or_none():
    leases, limits = make(connection_limit=2, additional_connection_limits={"shared": 3})
    other = leases.acquire_nowait("shared", 3, 60)
    assert other is not None
    first = leases.acquire_all(limits, 60)
    second = leases.acquire_all(limits, 60)
    assert not isinstance(first, str)
    assert not isinstance(second, str)
    release_slots(first)
    leases.acquire_nowait("shared", 3, 60)

    assert leases.acquire_all(limits, 60) == "shared"
    assert leases.count("connection_limit.queue") == 1


def test_released_slots_are_free_again():
    leases, limits = make(connection_limit=1)
    taken = leases.acquire_all(limits, 60)
    assert leases.acquire_all(limits, 60) == "connection_limit.queue"

    release_slots(taken)

    assert not isinstance(leases.acquire_all(limits, 60), str)
