"""Feedback reports as mailbox providers send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.feedback_report import parse_feedback_report
from engine.receive.trace_headers import format_supplemental
from tests.unit.engine.model.test_report_part import make

KIND = b"message/feedback-report"
FIELDS = (
    b"Feedback-Type: abuse\r\nUser-Agent: X/1\r\nVersion: 1\r\n"
    b"Original-Mail-From: <a@b.test>\r\nOriginal-Rcpt-To: <c@d.test>\r\n"
    b"Received-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nReporting-MTA: dns; mx.test\r\n"
    b"Source-IP: 192.0.2.1\r\nReported-Domain: b.test\r\nReported-URI: mailto:x\r\n"
    b"Authentication-Results: mx; spf=pass\r\nIncidents: 3\r\nX-More: y\r\n"
)


def test_a_report_is_read():
    trace = format_supplemental("X-CirrusRef", ["r@d.test"], {"tenant": "t"}, ("tenant",))
    original = b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nX-No: no\r\n" + trace + b"S: x\r\n"

    found = parse_feedback_report(make(FIELDS, KIND, original))

    assert found == {
        "feedback_type": "abuse",
        "user_agent": "X/1",
        "version": "1",
        "arrival_date": "2023-11-14T22:13:20Z",
        "incidents": 3,
        "original_envelope_id": None,
        "original_mail_from": "a@b.test",
        "reporting_mta": {"mta_type": "dns", "name": "mx.test"},
        "source_ip": "192.0.2.1",
        "authentication_results": ["mx; spf=pass"],
        "original_rcpto_to": ["c@d.test"],
        "reported_domain": ["b.test"],
        "reported_uri": ["mailto:x"],
        "extensions": {"x-more": ["y"]},
        "original_message": found["original_message"],
        "supplemental_trace": {"recipient": "r@d.test", "tenant": "t"},
    }
    assert found["original_message"].startswith("X-No: no\n")


@pytest.mark.parametrize("name", [b"Feedback-Type", b"User-Agent", b"Version"])
def test_what_lacks_a_required_field_is_no_report(name):
    assert parse_feedback_report(make(FIELDS.replace(name, b"X"), KIND)) is None


def test_other_messages_are_no_reports():
    assert parse_feedback_report(b"Subject: x\r\n\r\n") is None
    assert parse_feedback_report(make(b"", KIND)) is None


@given(st.lists(st.sampled_from(FIELDS.splitlines(keepends=True)), max_size=20).map(b"".join))
def test_any_mixture_of_fields_is_read_or_none(fields):
    found = parse_feedback_report(make(fields, KIND))
    assert found is None or found["feedback_type"] == "abuse"
