"""Constraints on when a message is tried."""

from datetime import datetime

import pytest

from engine.model.schedule_window import Schedule, adjust_due, parse_schedule

OFFICE = {"dow": "Mon,Tue,wednesday", "tz": "Europe/Berlin", "start": "09:00:00", "end": "17:00:00"}


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_reads_instants():
    schedule = parse_schedule(
        {"first_attempt": "2030-01-31T08:00:00Z", "expires": "2030-02-01T08:00:00.5+01:00"}
    )

    assert schedule.first_attempt_at == at("2030-01-31T08:00:00+00:00")
    assert schedule.expires_at == at("2030-02-01T07:00:00.5+00:00")


def test_what_is_written_is_read_back():
    schedule = parse_schedule({**OFFICE, "first_attempt": "2030-01-31T08:00:00Z"})

    assert parse_schedule(schedule.to_dict()) == schedule
    assert schedule.to_dict()["dow"] == "Mon,Tue,Wed"


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ({"first": "x"}, "unknown field"),
        ({"first_attempt": "tomorrow"}, "first_attempt"),
        ({"first_attempt": "2030-01-31T08:00:00"}, "first_attempt"),
        ({"expires": "2030-02-31T08:00:00Z"}, "expires"),
        ({"expires": 5}, "expires"),
        ({"dow": "Mon"}, "missing: tz, start, end"),
        ({**OFFICE, "dow": "Mo"}, "dow"),
        ({**OFFICE, "dow": ""}, "dow"),
        ({**OFFICE, "dow": 1}, "dow"),
        ({**OFFICE, "tz": "PST"}, "tz"),
        ({**OFFICE, "tz": "../../etc/passwd"}, "tz"),
        ({**OFFICE, "tz": 1}, "tz"),
        ({**OFFICE, "start": "18:00:00"}, "after end"),
        ({**OFFICE, "start": "25:00:00"}, "start"),
        ("Mon", "table"),
    ],
)
def test_says_what_is_wrong(value, hint):
    with pytest.raises(ValueError, match=hint):
        parse_schedule(value)


def test_nothing_given_changes_nothing():
    assert adjust_due(Schedule(), 12345.678) == 12345.678


def test_waits_for_the_first_attempt():
    schedule = parse_schedule({"first_attempt": "2030-01-31T08:00:00Z"})

    assert adjust_due(schedule, 0.0) == at("2030-01-31T08:00:00+00:00")
    assert adjust_due(schedule, at("2031-01-01T00:00:00+00:00")) == at("2031-01-01T00:00:00+00:00")


@pytest.mark.parametrize(
    ("due", "adjusted"),
    [
        ("2030-01-07T10:00:00.25+01:00", "2030-01-07T10:00:00.25+01:00"),  # a Monday, inside
        ("2030-01-07T08:59:59+01:00", "2030-01-07T09:00:00+01:00"),
        ("2030-01-07T17:00:00+01:00", "2030-01-08T09:00:00+01:00"),
        ("2030-01-09T17:00:01+01:00", "2030-01-14T09:00:00+01:00"),  # after Wednesday: next Monday
        ("2030-01-12T10:00:00+01:00", "2030-01-14T09:00:00+01:00"),
        ("2030-07-06T10:00:00+02:00", "2030-07-08T09:00:00+02:00"),  # in summer time
        ("2030-03-30T10:00:00+01:00", "2030-04-01T09:00:00+02:00"),  # over the change of the clocks
    ],
)
def test_moves_into_the_window(due, adjusted):
    assert adjust_due(parse_schedule(OFFICE), at(due)) == at(adjusted)


def test_a_window_of_no_length_opens_for_its_moment():
    schedule = parse_schedule({"dow": "Mon", "tz": "UTC", "start": "09:00:00", "end": "09:00:00"})

    assert adjust_due(schedule, at("2030-01-07T09:00:01+00:00")) == at("2030-01-14T09:00:00+00:00")
    assert adjust_due(schedule, at("2030-01-14T09:00:00+00:00")) == at("2030-01-14T09:00:00+00:00")


def test_never_moves_past_the_end_of_the_calendar():
    late = at("9999-12-31T23:00:00+00:00")

    assert adjust_due(parse_schedule(OFFICE), late) == late
    assert adjust_due(parse_schedule(OFFICE), 1e18) == 1e18
