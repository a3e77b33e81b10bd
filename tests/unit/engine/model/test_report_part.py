"""Reports are found in messages, and their blocks read as far as they can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.report_part import (
    original_text,
    read_date,
    read_report,
    typed,
    without_brackets,
)

HEAD = b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nsorry\r\n--b\r\n"


def make(fields: bytes, kind: bytes = b"message/delivery-status", rest: bytes = b"") -> bytes:
    return HEAD + b"Content-Type: " + kind + b"\r\n\r\n" + fields + b"\r\n" + rest + b"--b--\r\n"


def test_blocks_are_divided_by_blank_lines_of_any_kind():
    report = read_report(
        make(b"\r\nA: 1\r\n 2\r\na: 3\r\n\r\n \r\nB: 4\n\nC: 5\r\nno field\r\n"),
        ["message/delivery-status"],
    )

    assert report.blocks == [{"a": ["1 2", "3"]}, {"b": ["4"]}, {"c": ["5"]}]


@pytest.mark.parametrize("kind", [b"message/rfc822", b"text/rfc822-headers"])
def test_the_original_comes_along(kind):
    rest = b"--b\r\nContent-Type: " + kind + b"\r\n\r\nSubject: \xc3\xbc\r\n\r\nx\r\n"

    report = read_report(make(b"A: 1", rest=rest), ["message/delivery-status"])

    assert original_text(report.original) == "Subject: ü\n\nx"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Subject: x\r\n\r\nx",
        make(b"A: 1", kind=b"text/plain"),
        b"Content-Type: multipart/report; boundary=b\r\n\r\n" + b"--b\r\n" * 10_001,
    ],
)
def test_other_messages_are_no_reports(content):
    assert read_report(content, ["message/delivery-status"]) is None


@given(st.binary(max_size=200))
def test_any_fields_are_read(fields):
    assert read_report(make(fields), ["message/delivery-status"]) is not None


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("Tue, 14 Nov 2023 22:13:20 +0100", "2023-11-14T21:13:20Z"),
        ("14 Nov 2023 22:13:20", "2023-11-14T22:13:20Z"),
        ("soon", None),
        ("Fri, 31 Dec 9999 23:59:59 -1200", None),
        (None, None),
    ],
)
def test_dates_are_read(value, date):
    assert read_date(value) == date


def test_typed_values_and_brackets():
    assert typed("RFC822; a@b.test") == ("rfc822", "a@b.test")
    assert typed("a@b.test") == ("", "a@b.test")
    assert without_brackets("<a@b.test>") == "a@b.test"
    assert original_text(None) is None
