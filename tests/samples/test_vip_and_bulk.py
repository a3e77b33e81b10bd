"""samples/policy/vip_and_bulk.py: what somebody waits for does not stand behind newsletters."""

from __future__ import annotations

import smtplib

import pytest

from tests.samples.running_node import Receiver, deliver_to, place_sample, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def mail(header: str = "") -> bytes:
    return f"From: a@example.com\r\nSubject: hi\r\n{header}\r\nhello\r\n".encode()


def test_each_lane_has_its_queues_and_its_source(tmp_path):
    node = place_sample("vip_and_bulk.py", tmp_path)
    receiver = Receiver()
    node.policy.write_text(deliver_to(node.policy.read_text(), receiver))

    with receiver.listening(), node.running():
        with smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
            for name, header in [
                ("plain", ""),
                ("list", "List-Unsubscribe: <https://example.com/>\r\n"),
                ("bulk", "Precedence: Bulk\r\n"),
                ("asked", "X-Lane: vip\r\nPrecedence: bulk\r\n"),
                ("wrong", "X-Lane: other\r\n"),
            ]:
                client.sendmail("a@example.com", [f"{name}@there.example"], mail(header))
        wait_until("the records", lambda: len(node.records("Delivery")) == 5)

    lanes = {
        record["recipient"].partition("@")[0]: (record["queue"], record["egress_source"])
        for record in node.records("Delivery")
    }
    vip, bulk = ("vip@there.example", "ip-vip"), ("bulk@there.example", "ip-bulk")
    assert lanes == {"plain": vip, "list": bulk, "bulk": bulk, "asked": vip, "wrong": vip}
    assert all(b"X-Lane" not in content for _, content in receiver.taken)


def test_vip_mail_passes_bulk_mail_that_waits(tmp_path):
    node = place_sample("vip_and_bulk.py", tmp_path, BULK_RATE="'1/h'")
    receiver = Receiver()
    node.policy.write_text(deliver_to(node.policy.read_text(), receiver))

    with receiver.listening(), node.running():
        with smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
            for number in range(3):
                header = "Precedence: bulk\r\n"
                client.sendmail("a@example.com", [f"{number}@bulk{number}.example"], mail(header))
            client.sendmail("a@example.com", ["vip@there.example"], mail())
        wait_until("what may go", lambda: len(receiver.taken) == 2)

    assert ["vip@there.example"] in [recipients for recipients, _ in receiver.taken]
