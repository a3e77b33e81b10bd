"""Bounds of a tree: counted before anything is done."""

from __future__ import annotations

import pytest

from engine.model.mime_tally import OCTETS_MAX, PARTS_MAX, Tally


def test_a_tree_grows_up_to_its_bounds_and_shrinks_again():
    tally = Tally(0)

    tally.grow(PARTS_MAX - 1, OCTETS_MAX)
    for parts, octets in ((1, 0), (0, 1)):
        with pytest.raises(ValueError):
            tally.grow(parts, octets)
    tally.grow(0, -5)
    tally.grow(0, 5)

    assert (tally.parts, tally.octets) == (PARTS_MAX, OCTETS_MAX)


def test_a_message_that_came_in_large_may_be_made_smaller():
    tally = Tally(2 * OCTETS_MAX)
    tally.grow(1, -1)
    assert tally.octets == 2 * OCTETS_MAX - 1


def test_small_messages_are_looked_at_often_and_large_ones_by_their_size():
    with pytest.raises(ValueError):
        for _ in range(200):
            Tally(0).scan(1 << 30, 1 << 20)
    tally = Tally(0)
    for _ in range(10):
        tally.scan(50 << 20, 50 << 20)
    with pytest.raises(ValueError):
        tally.scan(1 << 20, 50 << 20)
