"""samples/policy/minimal.py takes mail, refuses what it says it refuses, and delivers by MX."""

from __future__ import annotations

import smtplib

import pytest

from tests.samples.running_node import Receiver, deliver_to, place_sample, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
MESSAGE = b"From: a@example.com\r\nX-Tenant: shop\r\nSubject: hello\r\n\r\nhello\r\n"


def test_mail_arrives_under_the_minimal_policy(tmp_path):
    node = place_sample("minimal.py", tmp_path)
    receiver = Receiver()
    node.policy.write_text(deliver_to(node.policy.read_text(), receiver))

    with receiver.listening(), node.running():
        with smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
            client.sendmail("a@example.com", ["b@there.example"], MESSAGE)
            with pytest.raises(smtplib.SMTPResponseException, match="not from here"):
                client.sendmail("a@example.com", ["b@blocked.example"], MESSAGE)
        wait_until("the message", lambda: receiver.taken)
        (delivery,) = wait_until("its record", lambda: node.records("Delivery"))

    ((recipients, content),) = receiver.taken
    assert recipients == ["b@there.example"]
    assert content.endswith(MESSAGE)
    assert receiver.helos == ["mta.example.com"]
    assert delivery["queue"] == "shop@there.example"
    assert delivery["egress_source"] in ("ip-1", "ip-2")
    (rejection,) = node.records("Rejection")
    assert rejection["response"]["code"] == 550


def test_an_edit_holds_from_the_next_message_and_a_broken_one_is_not_taken(tmp_path):
    node = place_sample("minimal.py", tmp_path)
    good = node.policy.read_text()

    with node.running(), smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:

        def refusal() -> bytes:
            try:
                client.sendmail("a@example.com", ["b@blocked.example"], MESSAGE)
            except smtplib.SMTPResponseException as error:
                return error.smtp_error
            return b""

        node.policy.write_text(good.replace("not from here", "not from anywhere"))
        wait_until("the edit", lambda: b"not from anywhere" in refusal())
        node.policy.write_text(good.replace("msg.recipient.domain ==", "msg.recipient.domain ="))
        wait_until("the complaint", lambda: "policy rejected" in node.run_log.read_text())
        after = refusal()

    assert b"not from anywhere" in after
    line = 1 + good.splitlines().index('    if msg.recipient.domain == "blocked.example":')
    assert f"minimal.py:{line}: " in node.run_log.read_text()
