"""The brake on logins."""

from __future__ import annotations

import pytest

from engine.console.connection_brake import (
    ADDRESSES_MAX,
    FORGIVE_S,
    FREE_FAILURES,
    PENDING_MAX,
    PENDING_OF_ONE_MAX,
    WAIT_MAX_S,
    ConnectionBrake,
    wait_after,
)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, 0), (FREE_FAILURES - 1, 0), (FREE_FAILURES, 1), (FREE_FAILURES + 3, 8), (10**6, 15)],
)
def test_each_failure_past_the_first_few_doubles_the_wait(failures, seconds):
    assert wait_after(failures) == seconds
    assert seconds <= WAIT_MAX_S


def test_an_address_that_fails_waits_and_others_do_not():
    brake = ConnectionBrake()
    for _ in range(FREE_FAILURES):
        assert brake.refuse("192.0.2.1", 100.0) is None
        brake.note_failure("192.0.2.1", 100.0)

    assert brake.refuse("192.0.2.1", 100.5) == "too many logins failed"
    assert brake.refuse("192.0.2.2", 100.5) is None
    assert brake.refuse("192.0.2.1", 101.0) is None


def test_a_login_forgives_and_so_does_time():
    brake = ConnectionBrake()
    for _ in range(FREE_FAILURES + 3):
        brake.note_failure("a", 0.0)
        brake.note_failure("b", 0.0)
    brake.note_success("a")
    assert brake.refuse("a", 0.0) is None

    brake.note_failure("b", FORGIVE_S + 1)
    assert brake.refuse("b", FORGIVE_S + 1) is None


def test_those_who_have_not_logged_in_are_few():
    brake = ConnectionBrake()
    for _ in range(PENDING_OF_ONE_MAX):
        brake.begin("a")
    assert "one address" in brake.refuse("a", 0.0)
    assert brake.refuse("b", 0.0) is None
    brake.end("a")
    assert brake.refuse("a", 0.0) is None

    for number in range(PENDING_MAX):
        brake.begin(f"other-{number}")
    assert brake.refuse("c", 0.0) == "too many connections have not logged in"


def test_what_is_remembered_is_bounded():
    brake = ConnectionBrake()
    for number in range(ADDRESSES_MAX + 50):
        brake.note_failure(f"address-{number}", 0.0)

    assert len(brake._failures) == ADDRESSES_MAX
    brake.end("never begun")
    assert brake.pending == {}


def test_who_has_a_network_of_ipv6_does_not_begin_anew_with_each_address():
    brake = ConnectionBrake()
    for number in range(FREE_FAILURES):
        brake.begin(f"2001:db8::{number + 1}")
        brake.end(f"2001:db8::{number + 1}")
        brake.note_failure(f"2001:db8::{number + 1}", 0.0)

    assert brake.refuse("2001:db8::ffff", 0.0) == "too many logins failed"
    assert brake.refuse("2001:db8:0:1::1", 0.0) is None
    assert brake.pending == {}
