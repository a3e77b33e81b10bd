"""What a sink is told, and what it counts."""

from __future__ import annotations

import json

import pytest

from engine.tools.sink_options import (
    DEFAULT_EXTENSIONS,
    MAX_DOMAINS,
    Extension,
    SinkOptions,
    SinkReply,
    SinkStats,
    Stage,
    read_reply,
)


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("450 4.2.1 slow", SinkReply("450 4.2.1 slow")),
        ("250", SinkReply("250")),
        ("421 bye", SinkReply("421 bye", close=True)),
        ("drop", SinkReply("", close=True)),
        ("hang", SinkReply("", hang=True)),
    ],
)
def test_a_reply_is_read(text, reply):
    assert read_reply(text) == reply


@pytest.mark.parametrize("text", ["", "no", "199 x", "600 x", "45 x", "4500", "450 a\r\n250 b"])
def test_what_is_no_reply_is_refused(text):
    with pytest.raises(ValueError, match="a reply is a code from 200 to 599"):
        read_reply(text)


def test_chunking_is_offered_on_request_only():
    assert frozenset(Extension) - DEFAULT_EXTENSIONS == {Extension.CHUNKING}


@pytest.mark.parametrize("name", ["starttls", "tls_from_first_byte"])
def test_tls_needs_a_certificate(name):
    assert SinkOptions(**{name: True}).has_tls
    assert not SinkOptions().has_tls


def test_messages_are_counted_with_their_rate():
    stats = SinkStats()
    for at_mono in (10.0, 11.0, 12.0):
        stats.note_message(("a@X.test", "b@y.test"), 100, at_mono, "127.0.0.1")

    counted = stats.as_dict()
    assert (counted["messages"], counted["recipients"], counted["bytes"]) == (3, 6, 300)
    assert counted["domains"] == {"x.test": 3, "y.test": 3}
    assert counted["clients"] == {"127.0.0.1": 3}
    assert counted["messages_per_s"] == 1.0


def test_one_message_has_no_rate():
    stats = SinkStats()
    stats.note_message(("a@x.test",), 1, 5.0, "127.0.0.1")
    assert stats.per_s == 0.0


def test_replies_are_counted_by_stage_and_code():
    stats = SinkStats()
    for code in ("250", "451", "451"):
        stats.note_reply(Stage.RCPT, code)
    assert stats.count_of(Stage.RCPT, 451) == 2
    assert stats.as_dict()["replies"] == {"rcpt": {"250": 1, "451": 2}}


def test_domains_are_bounded_in_number_and_length():
    stats = SinkStats()
    for number in range(MAX_DOMAINS + 5):
        stats.note_message((f"u@{number}.{'x' * 1000}",), 1, 0.0, "127.0.0.1")
    assert len(stats.domains) == MAX_DOMAINS + 1
    assert stats.domains["(others)"] == 5
    assert max(map(len, stats.domains)) == 255


def test_clients_are_counted_by_address_and_bounded_in_number():
    stats = SinkStats()
    for number in range(MAX_DOMAINS + 5):
        stats.note_message(("u@x.test", "v@x.test"), 1, 0.0, f"2001:db8::{number:x}")
    assert stats.clients["2001:db8::0"] == 1
    assert stats.clients["(others)"] == 5


def test_counts_are_plain_values_whatever_clients_sent():
    stats = SinkStats()
    stats.note_message(("u@\udcff\x1b[31m",), 1, 0.0, "127.0.0.1")
    stats.note_violation("x")
    assert json.loads(json.dumps(stats.as_dict()))["violations"] == {"x": 1}
