"""A record as a line: what it says, in which place, and nothing that harms a terminal."""

from __future__ import annotations

import msgspec
import pytest

from engine.model.log_record import EnhancedCode, LogRecord, PeerAddress, RecordKind, Response
from engine.model.record_line import printable, show_record

RECORD = LogRecord(
    kind=RecordKind.TRANSIENT_FAILURE,
    id="0a" * 16,
    recipient="ann@a.test",
    queue="acme@a.test",
    site="ip-1->mail.a.test@smtp",
    site_name="mail.a.test",
    egress_source="ip-1",
    peer_address=PeerAddress("mx1.a.test", "192.0.2.7"),
    response=Response(451, EnhancedCode(4, 7, 1), "try later"),
    event_time="2027-01-15T08:00:00.123456Z",
)


def changed(**fields):
    return msgspec.structs.replace(RECORD, **fields)


def test_a_line_says_when_what_whose_where_to_and_what_was_said():
    assert show_record(RECORD).split() == [
        "2027-01-15",
        "08:00:00.123",
        "TransientFailure",
        "0a" * 16,
        "acme@a.test",
        "ann@a.test",
        "ip-1->mx1.a.test[192.0.2.7]",
        "451",
        "4.7.1",
        "try",
        "later",
    ]


def test_columns_stand_below_each_other():
    other = changed(
        kind=RecordKind.OOB,
        id="",
        queue="b.test",
        recipient="",
        peer_address=None,
        egress_source=None,
    )

    assert show_record(RECORD).index("451") == show_record(other).index("451")


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        (changed(recipient=["ann@a.test", "bob@a.test", "carl@a.test"]), "ann@a.test +2 "),
        (changed(peer_address=None), "ip-1->mail.a.test "),
        (changed(peer_address=None, site_name=""), "ip-1->ip-1->mail.a.test@smtp "),
        (changed(peer_address=PeerAddress("localhost", "")), "ip-1->localhost "),
        (changed(site=""), "<-mx1.a.test[192.0.2.7] "),
        (changed(site="", peer_address=None), "ann@a.test                   - "),
        (changed(response=None), "[192.0.2.7]      -"),
        (changed(response=Response(250)), " 250"),
        (changed(bounce_classification="BadDomain"), "try later [BadDomain]"),
    ],
)
def test_what_is_missing_or_more_than_one_is_said_briefly(record, shown):
    assert shown in show_record(record) + " "
    assert not show_record(record).endswith(" ")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b]0;title\x07 hello", r"\x1b]0;title\x07 hello"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b31m", r"\x9b31m"),
        ("\udcff", r"\udcff"),
        ("grüße ✓", "grüße ✓"),
        ("\u2028", r"\u2028"),
    ],
)
def test_a_peer_cannot_write_to_the_terminal(said, shown):
    assert printable(said) == shown
    line = show_record(changed(response=Response(550, None, said)))
    assert line.endswith(f"550 {shown}") and line.isprintable()
