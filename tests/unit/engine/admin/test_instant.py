"""Instants and durations of callers."""

from __future__ import annotations

import pytest

from engine.admin.errors import OperationRefusedError, Refusal
from engine.admin.instant import FAR_AWAY, duration_of, format_instant, parse_instant


def test_an_instant_is_read_with_its_zone_and_shown_in_utc():
    assert parse_instant("1970-01-01T01:00:10+01:00", "since") == 10.0
    assert format_instant(10.4) == "1970-01-01T00:00:10Z"
    assert format_instant(1e300) == FAR_AWAY


@pytest.mark.parametrize("text", ["tomorrow", "1970-01-01T00:00:00", "", "0001-01-01"])
def test_what_is_no_instant_is_refused_with_its_argument(text):
    with pytest.raises(OperationRefusedError) as refused:
        parse_instant(text, "since")

    assert (refused.value.refusal, refused.value.field) == (Refusal.WRONG, "since")


def test_a_directive_lasts_until_its_end_or_for_its_duration_or_five_minutes():
    assert duration_of("2h", "1970-01-01T00:01:00Z", 50.0) == 10.0
    assert duration_of(None, "1970-01-01T00:01:00Z", 70.0) == 0.0
    assert duration_of("2h", None, 0.0) == 7200.0
    assert duration_of(0, None, 0.0) == 0.0
    assert duration_of(None, None, 0.0) == 300.0
    with pytest.raises(OperationRefusedError):
        duration_of("soon", None, 0.0)
