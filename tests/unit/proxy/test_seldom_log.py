"""A client that is turned away a thousand times fills no log."""

from __future__ import annotations

import logging

import pytest

from proxy import seldom_log
from proxy.seldom_log import EVERY_S, SeldomLog


class World:
    def __init__(self):
        self.now = 100.0
        self.log = SeldomLog(logging.getLogger("cirrus.proxy"), lambda: self.now)


@pytest.fixture
def world():
    return World()


def test_one_line_says_it_and_the_next_one_counts_what_was_left_out(world, caplog):
    for _ in range(5):
        world.log.warn("network", "192.0.2.9", "may not enter")
    world.now += EVERY_S
    world.log.warn("network", "192.0.2.9", "may not enter")
    world.now += EVERY_S
    world.log.warn("network", "192.0.2.9", "may not enter")

    assert caplog.messages == [
        "192.0.2.9: may not enter",
        "192.0.2.9: may not enter (4 more like this since the last line)",
        "192.0.2.9: may not enter",
    ]


def test_other_clients_and_other_reasons_have_lines_of_their_own(world, caplog):
    world.log.warn("network", "192.0.2.9", "may not enter")
    world.log.warn("network", "192.0.2.8", "may not enter")
    world.log.warn("limit", "192.0.2.9", "too many")

    assert len(caplog.messages) == 3


def test_what_is_remembered_is_bounded(world, caplog, monkeypatch):
    monkeypatch.setattr(seldom_log, "PLACES_MAX", 2)
    for number in range(3):
        world.log.warn("network", f"192.0.2.{number}", "may not enter")
    world.log.warn("network", "192.0.2.0", "may not enter")

    assert len(caplog.messages) == 4
    assert len(world.log._places) == 2
