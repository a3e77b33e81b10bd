"""The overlay in force: replaced as a whole, told of when it says something else."""

from __future__ import annotations

import pytest

from engine.control.shaping_overrides import ShapingOverrides
from engine.model.shaping_section import ShapingLayer

A, B = ShapingLayer("a"), ShapingLayer("b")


@pytest.fixture
def told():
    return []


@pytest.fixture
def overrides(told):
    made = ShapingOverrides()
    made.on_change.append(lambda: told.append(made.layers))
    return made


def test_an_overlay_takes_the_place_of_the_one_before(overrides, told):
    assert overrides.replace("http://one", b"1", A)
    assert overrides.replace("http://two", b"2", B)
    assert overrides.layers == (B,)
    assert overrides.origin == "http://two"
    assert told == [(A,), (B,)]


def test_the_same_overlay_again_is_no_news(overrides, told):
    overrides.replace("http://one", b"1", A)
    assert not overrides.replace("http://one", b"1", ShapingLayer("a"))
    assert told == [(A,)]


def test_the_same_text_of_another_daemon_is_taken(overrides):
    overrides.replace("http://one", b"1", A)
    assert overrides.replace("http://two", b"1", B)


def test_a_cleared_overlay_is_laid_over_nothing(overrides, told):
    overrides.replace("http://one", b"1", A)
    assert overrides.clear()
    assert overrides.layers == ()
    assert not overrides.clear()
    assert told[1:] == [()]
