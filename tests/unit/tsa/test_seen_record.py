"""A record as rules look at it: read from any writer's line, known again by its key."""

from __future__ import annotations

import json

import msgspec
import pytest

from engine.model.log_record import (
    EnhancedCode,
    LogRecord,
    PeerAddress,
    RecordKind,
    Response,
    encode_record,
)
from tests.fakes.tsa_world import NOON, record_fields, record_line, seen
from tsa.seen_record import cause_of, decode_seen


def test_what_a_node_writes_is_read():
    record = LogRecord(
        kind=RecordKind.TRANSIENT_FAILURE,
        record_id="0123",
        recipient=["a@One.Example", "b@one.example", "c@two.example"],
        queue="news:acme@one.example",
        ready_queue="ip-1->mx.test@smtp_client",
        site_name="mx.test",
        response=Response(421, EnhancedCode(4, 7, 28), "too fast", "RCPT TO:<a@one.example>"),
        peer_address=PeerAddress("mx.test", "192.0.2.1"),
        timestamp=int(NOON),
        event_time="2027-01-15T08:00:00.250000Z",
        egress_source="ip-1",
    )

    found = decode_seen(encode_record(record))

    assert (found.at, found.key, found.line) == (NOON + 0.25, "0123", "421 4.7.28 too fast")
    assert found.domains == ["one.example", "two.example"]
    assert (found.site_text, found.source) == ("mx.test", "ip-1")
    assert found.ready_queue_name == "ip-1->mx.test@smtp_client"
    assert not found.is_internal


def test_a_record_without_the_newer_fields_is_read_from_the_older_ones():
    old = {
        "type": "Bounce",
        "id": "m1",
        "recipient": "user@a.example",
        "site": "ip-1->(a|b).mx.test@smtp_client",
        "timestamp": int(NOON),
        "response": {"code": 550, "content": "gone", "command": "RCPT"},
    }

    found = decode_seen(json.dumps(old).encode())

    assert found.ready_queue_name == old["site"]
    assert found.site_text == "(a|b).mx.test"
    assert (found.at, found.source) == (NOON, "unspecified")


def test_a_site_in_another_form_is_taken_as_it_is():
    assert seen(site_name="", site="loopback").site_text == "loopback"


@pytest.mark.parametrize("text", ["", "yesterday", "2027-13-01T00:00:00Z", "99999-01-01"])
def test_a_time_that_is_none_leaves_the_whole_seconds(text):
    assert seen(NOON, event_time=text).at == NOON


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"type": "Parcel"}',
        b'{"type": 3}',
        b'{"type": "Bounce", "timestamp": "soon"}',
        b'{"type": "Bounce", "recipient": {"a": 1}}',
        b'{"type": "Bounce", "response": {"code": "550"}}',
        b"\xff\xfe",
        b'{"type": "Bounce", "queue": "\\ud800"}',
        b'{"type": "Bounce", "meta": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda line: str(line[:30]),
)
def test_a_line_that_is_no_record_is_a_value_error_and_nothing_else(line):
    try:
        found = decode_seen(line)
    except ValueError as error:
        assert "no log record" in str(error)
    else:
        assert found.key, "what can be read has a key"


def test_fields_that_are_not_known_are_skipped():
    assert decode_seen(record_line(colour="blue")).kind is RecordKind.TRANSIENT_FAILURE


def test_a_record_is_known_by_its_own_id_and_never_by_its_messages():
    one, other = seen(record_id="r1", id="m1"), seen(record_id="r2", id="m1")

    assert (one.key, other.key) == ("r1", "r2")


def test_without_an_id_it_is_known_by_what_it_says_in_whatever_order_the_fields_stand():
    fields = record_fields(record_id="")
    shuffled = dict(reversed(fields.items()))
    later = fields | {"event_time": "2027-01-15T08:00:01.000000Z"}

    first, same, other = (
        decode_seen(msgspec.json.encode(one)) for one in (fields, shuffled, later)
    )

    assert first.key == same.key != other.key
    assert len(first.key) == 32


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (None, True),
        ({"code": 451, "content": "4.4.1 failed to connect", "command": None}, True),
        ({"code": 451, "content": "failed", "command": ""}, True),
        ({"code": 451, "content": "KumoMTA internal: suspended", "command": "x"}, True),
        ({"code": 451, "content": "later", "command": "RCPT TO:<a@b>"}, False),
        ({"code": 250, "content": "taken", "command": "."}, False),
    ],
)
def test_what_answers_no_command_is_the_nodes_own(response, expected):
    assert seen(response=response).is_internal is expected


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("user@Big.Example", ["big.example"]),
        ('"a@b"@big.example', ["big.example"]),
        ("postmaster", []),
        ("", []),
        ([], []),
        (["a@x.example", "postmaster", "b@x.example", "c@y.example"], ["x.example", "y.example"]),
    ],
)
def test_domains_are_those_of_its_recipients_each_once(recipient, expected):
    assert seen(recipient=recipient).domains == expected


def test_a_decision_knows_of_a_record_what_it_needs():
    record = seen(NOON, record_id="r1", recipient=["a@one.example", "b@two.example"])

    cause = cause_of(record, "two.example", record.at)

    assert (cause.record_key, cause.at, cause.domain) == ("r1", NOON, "two.example")
    assert (cause.site_domain, cause.source) == ("one.example", "ip-1")
    assert (cause.site, cause.peer) == ("mx.big.example", "mx.big.example")
    assert cause_of(seen(peer_address=None), "x", NOON).peer == ""
