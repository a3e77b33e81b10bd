"""Delivery status notifications as others send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.delivery_report import parse_delivery_report
from tests.unit.engine.model.test_report_part import make

FIELDS = (
    b"Reporting-MTA: dns; mx.test\r\nArrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nX-Q: 1\r\n"
    b"\r\n"
    b"Final-Recipient: rfc822; <a@b.test>\r\nOriginal-Recipient: rfc822;c@d.test\r\n"
    b"Action: Failed (really)\r\nStatus: 5.1.1 (no such user)\r\nRemote-MTA: dns; r.test\r\n"
    b"Diagnostic-Code: smtp; 550 5.1.1\r\n no\r\nLast-Attempt-Date: nonsense\r\n"
    b"\r\n"
    b"Final-Recipient: rfc822; e@f.test\r\nAction: delayed\r\nStatus: 4.0.0\r\n"
    b"Will-Retry-Until: Wed, 15 Nov 2023 00:00:00 +0000\r\n"
    b"\r\n"
    b"Final-Recipient: rfc822; odd@f.test\r\nAction: dunno\r\nStatus: 4.0.0\r\n"
)


def test_a_notification_is_read():
    found = parse_delivery_report(make(FIELDS))

    assert found["per_message"] == {
        "reporting_mta": {"mta_type": "dns", "name": "mx.test"},
        "original_envelope_id": None,
        "dsn_gateway": None,
        "received_from_mta": None,
        "arrival_date": "2023-11-14T22:13:20Z",
        "extensions": {"x-q": ["1"]},
    }
    first, second = found["per_recipient"]
    assert first == {
        "final_recipient": {"recipient_type": "rfc822", "recipient": "a@b.test"},
        "original_recipient": {"recipient_type": "rfc822", "recipient": "c@d.test"},
        "action": "failed",
        "status": "5.1.1",
        "remote_mta": {"mta_type": "dns", "name": "r.test"},
        "diagnostic_code": {"diagnostic_type": "smtp", "diagnostic": "550 5.1.1 no"},
        "last_attempt_date": None,
        "final_log_id": None,
        "will_retry_until": None,
        "extensions": {},
    }
    assert (second["action"], second["will_retry_until"]) == ("delayed", "2023-11-15T00:00:00Z")
    assert found["original_message"] is None


def test_one_block_with_both_kinds_of_fields_is_read():
    found = parse_delivery_report(make(FIELDS.replace(b"\r\n\r\n", b"\r\n", 1)))

    assert found["per_recipient"][0]["final_recipient"]["recipient"] == "a@b.test"


def test_an_encoded_status_is_read():
    content = make(
        FIELDS.replace(b"Action", b"=41ction"),
        kind=b"message/global-delivery-status\r\nContent-Transfer-Encoding: quoted-printable",
    )

    assert parse_delivery_report(content)["per_recipient"][0]["action"] == "failed"


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"Reporting-MTA: dns; x",
        FIELDS.partition(b"\r\n\r\n")[2],
        FIELDS.replace(b"Status", b"Statos"),
    ],
)
def test_what_lacks_the_required_fields_is_no_report(fields):
    assert parse_delivery_report(make(fields)) is None


@given(st.lists(st.sampled_from(FIELDS.splitlines(keepends=True)), max_size=20).map(b"".join))
def test_any_mixture_of_fields_is_read_or_none(fields):
    found = parse_delivery_report(make(fields))
    assert found is None or found["per_recipient"]
