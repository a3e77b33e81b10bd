"""Leases in memory."""

import pytest

from engine.throttle.lease import MemoryLeases


class Time:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def leases(time):
    return MemoryLeases(time)


def test_gives_as_many_as_the_limit(leases):
    assert leases.acquire_nowait("k", 2, 10)
    assert leases.acquire_nowait("k", 2, 10)
    assert leases.acquire_nowait("k", 2, 10) is None
    assert leases.count("k") == 2
    assert leases.acquire_nowait("other", 1, 10)


def test_a_limit_of_none_gives_none(leases):
    assert leases.acquire_nowait("k", 0, 10) is None
    assert leases.count("k") == 0


def test_a_released_slot_is_free_once(leases):
    freed = []
    leases.on_free.append(freed.append)
    first = leases.acquire_nowait("k", 1, 10)
    first.release()
    first.release()

    assert freed == ["k"]
    assert leases.acquire_nowait("k", 1, 10)
    assert leases.acquire_nowait("k", 1, 10) is None


def test_releasing_an_old_lease_frees_nobody_else(leases, time):
    old = leases.acquire_nowait("k", 1, 10)
    time.now = 11
    leases.acquire_nowait("k", 1, 10)
    old.release()

    assert leases.acquire_nowait("k", 1, 10) is None


def test_an_expired_lease_frees_its_slot(leases, time):
    leases.acquire_nowait("k", 1, 10)
    time.now = 10

    assert leases.count("k") == 0
    assert leases.acquire_nowait("k", 1, 10)


def test_a_renewed_lease_lasts(leases, time):
    lease = leases.acquire_nowait("k", 1, 10)
    time.now = 9

    assert lease.renew(10)
    time.now = 18
    assert leases.acquire_nowait("k", 1, 10) is None
    assert leases.next_expiry_mono("k") == 19


def test_a_lost_lease_cannot_be_renewed(leases, time):
    lease = leases.acquire_nowait("k", 1, 10)
    time.now = 11
    leases.acquire_nowait("k", 1, 10)

    assert not lease.renew(10)


def test_a_late_renewal_is_fine_while_nobody_wanted_the_slot(leases, time):
    lease = leases.acquire_nowait("k", 1, 10)
    time.now = 11

    assert lease.renew(10)
    assert leases.count("k") == 1


def test_a_lowered_limit_counts_at_the_next_acquisition(leases):
    leases.acquire_nowait("k", 2, 10)
    second = leases.acquire_nowait("k", 2, 10)
    second.release()

    assert leases.acquire_nowait("k", 1, 10) is None
    assert leases.next_expiry_mono("none") is None
