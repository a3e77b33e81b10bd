"""Instants and spans, as they are shown and taken."""

from __future__ import annotations

import click
import pytest

from engine.cli.instants import (
    read_instant,
    read_since,
    show_age,
    show_clock_time,
    show_since,
    show_until,
)
from tests.fakes.operator_session import NOW_AT

NOW = "2026-03-01T03:00:00Z"


def test_an_instant_without_a_zone_is_in_utc():
    assert read_instant(NOW) == read_instant("2026-03-01T03:00:00") == NOW_AT
    assert read_instant("soon") is None


def test_what_began_is_shown_with_how_long_ago_that_was():
    assert show_since("2026-03-01T00:55:00Z", NOW_AT) == "2026-03-01 00:55:00 (2h 5m ago)"
    assert show_since("2026-03-01T04:55:00+04:00", NOW_AT) == "2026-03-01 00:55:00 (2h 5m ago)"
    assert show_age("2026-03-01T00:55:00Z", NOW_AT) == "2h 5m"
    assert show_since(None, NOW_AT) == show_age(None, NOW_AT) == show_clock_time(None) == ""


def test_what_ends_is_shown_with_how_soon_that_is():
    assert show_until("2026-03-01T03:35:00Z", NOW_AT) == "2026-03-01 03:35:00 (in 35m)"
    assert show_until(NOW, NOW_AT) == "2026-03-01 03:00:00 (now)"
    assert show_until("9999-12-31T23:59:59Z", NOW_AT) == "somebody ends it"


def test_what_is_no_instant_is_shown_as_it_came():
    assert show_since("soon", NOW_AT) == show_until("soon", NOW_AT) == "soon"


def test_a_beginning_is_a_span_or_an_instant():
    assert read_since("2h", NOW_AT) == "2026-03-01T01:00:00+00:00"
    assert read_since("2026-03-01T03:00Z", NOW_AT) == "2026-03-01T03:00:00+00:00"


@pytest.mark.parametrize("text", ["yesterday", "", "99999999999d"])
def test_another_beginning_is_wrong_usage(text):
    with pytest.raises(click.BadParameter):
        read_since(text, NOW_AT)
