"""Guessing takes time; who is right is not made to wait for those who guess."""

from __future__ import annotations

import pytest

from engine.base import login_brake
from engine.base.login_brake import BURST, INTERVAL_S, KNOWN_S, LoginBrake, network_of

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Guesser:
    """A brake, its clock, and somebody who guesses."""

    def __init__(self):
        self.now = 1000.0
        self.brake = LoginBrake(lambda: self.now)

    def login(self, credentials, *, is_right=False, address=HERE):
        """Return how long it has to wait; it is judged if that is 0."""
        attempt = self.brake.begin(address, credentials)
        if not attempt.wait_s:
            attempt.end(is_right)
        return attempt.wait_s

    def guess(self, count, address=HERE):
        """Return how many of so many different guesses are judged."""
        return sum(not self.login(f"guess {self.now} {n}", address=address) for n in range(count))


@pytest.fixture
def guesser():
    return Guesser()


def test_so_many_guesses_are_judged_and_then_one_now_and_then(guesser):
    assert guesser.guess(1000) == BURST
    assert 0 < guesser.login("another") <= INTERVAL_S

    guesser.now += 10 * INTERVAL_S + 0.01
    assert guesser.guess(1000) == 10


def test_guesses_that_are_not_judged_prolong_nothing(guesser):
    guesser.guess(100_000)
    guesser.now += INTERVAL_S + 0.01

    assert guesser.guess(1) == 1


def test_another_address_is_not_concerned(guesser):
    guesser.guess(1000)

    assert guesser.guess(1000, THERE) == BURST


def test_who_was_right_lately_is_judged_at_once_whoever_guesses_beside_him(guesser):
    guesser.login("ann", is_right=True)
    guesser.guess(1000)

    assert [guesser.login("ann", is_right=True) for _ in range(100)] == [0.0] * 100
    assert guesser.login("ann", address=THERE) == 0.0
    guesser.now += KNOWN_S + 1
    guesser.guess(1000)
    assert guesser.login("ann", is_right=True) > 0


def test_who_was_right_and_is_no_more_is_known_no_more(guesser):
    guesser.login("ann", is_right=True)
    guesser.guess(1000)

    assert guesser.login("ann") == 0.0
    assert sum(not guesser.login("ann") for _ in range(100)) == BURST


def test_who_is_right_for_the_first_time_waits_no_longer_than_for_one_guess(guesser):
    guesser.guess(1000)
    wait_s = guesser.login("ann", is_right=True)
    guesser.now += wait_s + 0.001

    assert guesser.login("ann", is_right=True) == 0.0


def test_right_credentials_take_no_guess(guesser):
    for number in range(1000):
        assert guesser.login(f"user {number}", is_right=True) == 0.0

    assert guesser.guess(1000) == BURST


def test_a_program_with_an_old_password_is_braked_by_itself(guesser):
    judged = sum(not guesser.login("old") for _ in range(1000))

    assert judged == BURST + 1
    assert guesser.guess(1000) == BURST - 1


def test_guesses_at_the_same_time_are_as_many_as_one_after_the_other(guesser):
    attempts = [guesser.brake.begin(HERE, f"guess {n}") for n in range(1000)]

    assert sum(not attempt.wait_s for attempt in attempts) == BURST


def test_the_same_credentials_over_many_connections_are_one_guess(guesser):
    attempts = [guesser.brake.begin(HERE, "ann") for _ in range(1000)]
    for attempt in attempts:
        attempt.end(True)

    assert not any(attempt.wait_s for attempt in attempts)
    assert guesser.brake._pending == {}
    assert guesser.guess(1000) == BURST


def test_what_nobody_could_judge_is_no_guess(guesser):
    for number in range(1000):
        attempt = guesser.brake.begin(HERE, f"user {number}")
        assert attempt.wait_s == 0.0
        attempt.end(None)

    assert guesser.guess(1000) == BURST


def test_from_addresses_without_number_there_is_an_end_to_guesses_and_to_memory(
    guesser, monkeypatch
):
    monkeypatch.setattr(login_brake, "KEPT_MAX", 50)

    judged = sum(guesser.guess(1, f"198.51.{n >> 8}.{n & 255}") for n in range(1000))

    brake = guesser.brake
    assert judged == 50 + BURST
    assert max(len(brake._tats), len(brake._wrong), len(brake._known)) <= 51
    guesser.now += 1000
    assert guesser.guess(1, "203.0.113.9") == 1


def test_credentials_are_not_kept(guesser):
    guesser.login("Basic c2VjcmV0", is_right=True)
    guesser.login("Basic d3Jvbmc=")

    brake = guesser.brake
    kept = [*brake._tats, *brake._known, *brake._wrong]
    assert kept and not any(b"Basic" in key for key in kept)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("/run/socket", "/run/socket"),
    ],
)
def test_one_host_is_one_address(address, network):
    assert network_of(address) == network
