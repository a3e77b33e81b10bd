"""Fields put in front of a message: their words, their dates, and what a client cannot forge."""

from __future__ import annotations

import base64
import json
from email.utils import parsedate_to_datetime

from hypothesis import given
from hypothesis import strategies as st

from engine.receive.trace_headers import clean, format_date, format_received, format_supplemental


def received(**changes) -> bytes:
    values = {
        "client": "c.test",
        "peer_ip": "192.0.2.1",
        "hostname": "mx.test",
        "own_ip": "192.0.2.9",
        "protocol": "ESMTPSA",
        "tls": "(TLSv1.3:X)",
        "spool_id": "ab" * 16,
        "recipient": "b@y.test",
        "wall_s": 1_700_000_000.9,
        **changes,
    }
    return format_received(**values)


def test_received_says_from_by_with_id_for_and_when():
    assert received() == (
        b"Received: from c.test (192.0.2.1)\r\n by mx.test (Cirrus 192.0.2.9)\r\n"
        b" with ESMTPSA (TLSv1.3:X) id " + b"ab" * 16 + b"\r\n"
        b" for <b@y.test>; Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    )


def test_several_recipients_are_not_told_of_each_other():
    assert b" for " not in received(recipient=None)


def test_dates_are_utc_and_change_by_the_second():
    assert format_date(0.5) == "Thu, 01 Jan 1970 00:00:00 +0000"
    assert format_date(0.9) == format_date(0.0)
    assert parsedate_to_datetime(format_date(1_700_000_001)).timestamp() == 1_700_000_001


@given(st.text(max_size=400))
def test_a_cleaned_name_can_end_nothing(text):
    name = clean(text)

    assert len(name) <= 255
    assert name.isascii()
    assert not set(name) & set("()\\\r\n\t \x00\x7f")


def test_the_supplemental_field_is_folded_base64_of_json():
    field = format_supplemental(
        "X-Ref", ["b@y.test"], {"tenant": "t" * 200, "other": 1}, ("tenant", "absent")
    )

    assert all(len(row) <= 90 for row in field.split(b"\r\n"))
    value = json.loads(base64.b64decode(field.removeprefix(b"X-Ref: ").replace(b"\r\n\t", b"")))
    assert value == {"_@_": "\\_/", "recipient": "b@y.test", "tenant": "t" * 200}


def test_the_supplemental_field_lists_several_recipients():
    field = format_supplemental("X-Ref", ["a@y.test", "b@y.test"], {}, ())

    assert json.loads(base64.b64decode(field[7:].replace(b"\r\n\t", b"")))["recipient"] == [
        "a@y.test",
        "b@y.test",
    ]
