"""The wire schema of log records."""

from __future__ import annotations

import json
import re

import pytest

from engine.model.log_record import (
    EnhancedCode,
    LogRecord,
    PeerAddress,
    RecordKind,
    Response,
    SourceAddress,
    decode_record,
    encode_record,
    format_event_time,
    format_segment_name,
    new_record_id,
)

ALWAYS = {
    "type", "record_id", "id", "sender", "recipient", "queue", "site", "ready_queue", "site_name",
    "size", "response", "peer_address", "timestamp", "event_time", "created", "created_time",
    "num_attempts", "bounce_classification", "egress_pool", "egress_source", "source_address",
    "feedback_report", "meta", "headers", "delivery_protocol", "reception_protocol", "nodeid",
}  # fmt: skip


def test_a_bare_record_has_every_field_but_those_that_are_absent_when_unknown():
    fields = json.loads(encode_record(LogRecord(kind=RecordKind.REJECTION)))

    assert set(fields) == ALWAYS
    assert fields["type"] == "Rejection"
    assert fields["response"] is None
    assert fields["bounce_classification"] == "Uncategorized"


def test_nested_values_have_the_names_processors_know():
    record = LogRecord(
        kind=RecordKind.DELIVERY,
        response=Response(250, EnhancedCode(2, 0, 0), "ok", "."),
        peer_address=PeerAddress("mx.example", "127.0.0.1"),
        source_address=SourceAddress("127.0.0.1:4", "127.0.0.2:1080", "socks5"),
        tls_cipher="X",
        tls_protocol_version="TLSv1.3",
        tls_peer_subject_name=["C=x"],
        provider_name="p",
        session_id="s",
    )

    fields = json.loads(encode_record(record))

    assert fields["response"] == {
        "code": 250,
        "enhanced_code": {"class": 2, "subject": 0, "detail": 0},
        "content": "ok",
        "command": ".",
    }
    assert fields["peer_address"] == {"name": "mx.example", "addr": "127.0.0.1"}
    assert fields["source_address"] == {
        "address": "127.0.0.1:4",
        "server": "127.0.0.2:1080",
        "protocol": "socks5",
    }
    assert fields["tls_peer_subject_name"] == ["C=x"]
    assert decode_record(encode_record(record)) == record


def test_a_source_address_without_a_proxy_names_none():
    fields = json.loads(
        encode_record(LogRecord(kind=RecordKind.BOUNCE, source_address=SourceAddress("a")))
    )

    assert fields["source_address"] == {"address": "a"}


def test_a_reader_takes_records_with_fields_it_does_not_know_and_without_newer_ones():
    record = decode_record(b'{"type":"Bounce","id":"a","recipient":["x","y"],"novel":{"a":1}}')

    assert record.record_id == ""
    assert record.recipients == ["x", "y"]


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"type":"Nonsense"}', b'{"type":"Bounce","size":"x"}', b"\xff"]
)
def test_what_is_no_record_is_refused(line):
    with pytest.raises(ValueError, match="no log record"):
        decode_record(line)


def test_octets_that_are_no_text_are_replaced_and_not_lost():
    record = LogRecord(kind=RecordKind.REJECTION, sender="a\udcff@x", meta={"k\udc80": ["\ud800"]})

    fields = json.loads(encode_record(record))

    assert fields["sender"].startswith("a\ufffd")
    assert fields["sender"].endswith("@x")


def test_metadata_that_json_does_not_know_is_written_as_text():
    fields = json.loads(encode_record(LogRecord(kind=RecordKind.BOUNCE, meta={"z": 1 + 2j})))

    assert fields["meta"] == {"z": "(1+2j)"}


def test_a_line_holds_no_line_break_but_its_last():
    line = encode_record(LogRecord(kind=RecordKind.BOUNCE, sender="a\nb\r\u2028"))

    assert line.count(b"\n") == 1
    assert b"\r" not in line


def test_record_ids_are_32_digits_and_differ():
    ids = {new_record_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_times_always_show_six_digits():
    assert format_event_time(0) == "1970-01-01T00:00:00.000000Z"
    assert format_event_time(1_700_000_000.25) == "2023-11-14T22:13:20.250000Z"
    assert format_segment_name(1_700_000_000.25) == "20231114-221320.250000"
