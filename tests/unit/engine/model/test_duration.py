"""Durations as operators write them."""

import pytest

from engine.model.duration import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20m", 1200),
        ("5 minutes", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("500ms", 0.5),
        ("7d", 604800),
        ("1.5h", 5400),
        ("2 Weeks", 1209600),
        (0, 0),
        (90, 90),
        (0.25, 0.25),
    ],
)
def test_reads_what_operators_write(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("5", "needs a unit"),
        ("5 parsecs", "unknown unit"),
        ("-5m", "negative"),
        (-1, "negative"),
        ("", "empty"),
        ("m", "not a duration"),
        ("5m!", "not a duration"),
        (True, "number of seconds"),
        (None, "number of seconds"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (10**400, "finite"),
        ("1s" * 100, "at most"),
    ],
)
def test_says_what_is_wrong(value, hint):
    with pytest.raises(ValueError, match=hint):
        parse_duration(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-3, "0s"),
        (59.6, "1m"),
        (1799, "29m 59s"),
        (3600, "1h"),
        (90061, "1d 1h 1m 1s"),
    ],
)
def test_what_is_shown_is_what_people_write_and_can_be_read_again(seconds, text):
    assert format_duration(seconds) == text
    assert parse_duration(text) == max(0, round(seconds))
