"""Which records are wanted: each field, all together, and what is no filter."""

from __future__ import annotations

import msgspec
import pytest

from engine.model.log_record import (
    EnhancedCode,
    LogRecord,
    RecordKind,
    Response,
    encode_record,
    format_event_time,
)
from engine.model.record_filter import PATTERN_MAX, RecordFilter, compile_filter, parse_moment

NOW = 1_800_000_000.0
RECORD = LogRecord(
    kind=RecordKind.BOUNCE,
    id="0a" * 16,
    sender="News@acme.test",
    recipient=["Ann@a.test", "bob@a.test"],
    queue="spring:acme@a.test!mx.test",
    site="ip-1->mail.a.test@smtp",
    site_name="mail.a.test",
    ready_queue="ip-1->mail.a.test@smtp",
    egress_source="ip-1",
    response=Response(550, EnhancedCode(5, 1, 1), 'no such "user"'),
    event_time=format_event_time(NOW - 60),
    timestamp=int(NOW - 60),
    meta={"job": "j7"},
)
REJECTION = LogRecord(kind=RecordKind.REJECTION, recipient="x@B.test", timestamp=int(NOW - 60))


def fits(record=RECORD, **wanted):
    matcher = compile_filter(RecordFilter(**wanted), NOW)
    return matcher.fits(record) and matcher.fits_line(encode_record(record))


@pytest.mark.parametrize(
    ("wanted", "is_wanted"),
    [
        ({}, True),
        ({"type": ["bounce"]}, True),
        ({"type": ["Delivery", "Bounce"]}, True),
        ({"type": ["Delivery"]}, False),
        ({"id": ["0A" * 16]}, True),
        ({"id": ["0b" * 16]}, False),
        ({"sender": ["news@ACME.test"]}, True),
        ({"sender": ["news"]}, False),
        ({"recipient": ["BOB@a.test"]}, True),
        ({"recipient": ["carl@a.test"]}, False),
        ({"domain": ["A.test"]}, True),
        ({"domain": ["mx.test"]}, True),
        ({"domain": ["acme.test"]}, False),
        ({"tenant": ["acme"]}, True),
        ({"tenant": ["Acme"]}, False),
        ({"campaign": ["spring"]}, True),
        ({"campaign": ["fall"]}, False),
        ({"queue": ["spring:acme@a.test!mx.test"]}, True),
        ({"queue": ["a.test"]}, False),
        ({"site": ["mail.a.test"]}, True),
        ({"site": ["ip-1->mail.a.test@smtp"]}, True),
        ({"site": ["ip-1"]}, False),
        ({"source": ["ip-2", "ip-1"]}, True),
        ({"source": ["ip-2"]}, False),
        ({"code": ["550"]}, True),
        ({"code": ["551"]}, False),
        ({"code": ["5"]}, True),
        ({"code": ["4xx", "5XX"]}, True),
        ({"code": ["4"]}, False),
        ({"code": ["5.1.1"]}, True),
        ({"code": ["5.1"]}, True),
        ({"code": ["5.7"]}, False),
        ({"since": "2m"}, True),
        ({"since": "30s"}, False),
        ({"until": "30s"}, True),
        ({"until": "2m"}, False),
        ({"since": "2027-01-15T07:58:00Z", "until": "2027-01-15T08:59:30+01:00"}, True),
        ({"grep": "no such .*user"}, True),
        ({"grep": '"job":"j[0-9]"'}, True),
        ({"grep": "No such"}, False),
        ({"grep": "(?i)No such"}, True),
        ({"domain": ["a.test"], "code": ["4xx"]}, False),
    ],
)
def test_a_record_is_wanted_that_fits_every_field(wanted, is_wanted):
    assert fits(**wanted) is is_wanted


def test_what_a_record_does_not_have_does_not_fit():
    assert fits(REJECTION, domain=["b.test"])
    assert not any(
        fits(REJECTION, **{field: [value]})
        for field, value in (
            ("tenant", "acme"),
            ("campaign", "spring"),
            ("source", "ip-1"),
            ("code", "550"),
            ("code", "5"),
            ("code", "5.1"),
        )
    )


def test_a_record_without_microseconds_is_placed_by_its_seconds():
    other = msgspec.structs.replace(REJECTION, event_time="2027-01-15T07:59:00Z")

    assert fits(other, since="2m") and not fits(other, since="30s")
    assert fits(REJECTION, since="2m") and not fits(REJECTION, since="30s")


def test_domains_beyond_ascii_and_names_that_are_no_domains_are_found():
    queued = msgspec.structs.replace(RECORD, queue="xn--bcher-kva.test")

    assert fits(queued, domain=["bücher.test"])
    assert fits(msgspec.structs.replace(RECORD, queue="my log hook"), domain=["My log hook"])


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"type": ["Bounces"]}, "type: no record is of kind 'Bounces'; kinds: Reception,"),
        ({"code": ["abc"]}, "code: 550, 5xx or 5.1.1 is expected"),
        ({"code": ["650"]}, "code:"),
        ({"since": "yesterday"}, "since: a duration ago"),
        ({"since": "2027-01-15T07:58:00"}, "since: .* needs a zone"),
        ({"until": "-2h"}, "until:"),
        ({"grep": "("}, "grep: no regular expression: .*missing"),
        ({"grep": "\ud800"}, "grep:"),
        ({"grep": "x" * (PATTERN_MAX + 1)}, "grep: .* at most"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_field(wanted, complaint):
    with pytest.raises(ValueError, match=complaint):
        compile_filter(RecordFilter(**wanted), NOW)


def test_a_matcher_says_whether_lines_are_enough_and_how_far_back_it_goes():
    assert compile_filter(RecordFilter(grep="x"), NOW).is_by_line
    late = compile_filter(RecordFilter(since="1h", until="1m"), NOW)
    assert (late.is_by_line, late.since_at, late.until_at) == (False, NOW - 3600, NOW - 60)


def test_a_pattern_is_searched_in_octets_that_are_no_text():
    matcher = compile_filter(RecordFilter(grep="ä.b"), NOW)

    assert matcher.fits_line(b"\xff\xc3\xa4xb") and not matcher.fits_line(b"\xff\xa4xb")


def test_an_unknown_field_is_a_mistake():
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.json.decode(b'{"colour": ["red"]}', type=RecordFilter)


def test_a_moment_is_ago_or_an_instant():
    assert parse_moment("1h30m", NOW, "since") == NOW - 5400
    assert parse_moment("2027-01-15T08:00:00Z", NOW, "since") == NOW


def test_before_the_epoch_is_before_everything():
    assert fits(since="0001-01-01T00:00:00+23:59") and fits(since="5000w")
    assert not fits(until="5000w")
