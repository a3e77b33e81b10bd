"""samples/policy/tenants_and_pools.py keeps tenants apart: pool, rate, queue and headers."""

from __future__ import annotations

import smtplib

import pytest

from tests.samples.running_node import Receiver, deliver_to, place_sample, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def mail(tenant: str) -> bytes:
    return f"X-Tenant: {tenant}\r\nX-Campaign: spring\r\nSubject: hi\r\n\r\nhello\r\n".encode()


def test_each_tenant_leaves_by_its_own_pool(tmp_path):
    node = place_sample("tenants_and_pools.py", tmp_path)
    receiver = Receiver()
    node.policy.write_text(deliver_to(node.policy.read_text(), receiver))

    with receiver.listening(), node.running():
        with smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
            client.sendmail("a@example.com", ["b@there.example"], mail("shop"))
            client.sendmail("a@example.com", ["c@slow.example"], mail("bank"))
            with pytest.raises(smtplib.SMTPResponseException, match="nobody who may send"):
                client.sendmail("a@example.com", ["b@there.example"], mail("stranger"))
        wait_until("both messages", lambda: len(receiver.taken) == 2)
        wait_until("both records", lambda: len(node.records("Delivery")) == 2)

    deliveries = {record["queue"]: record for record in node.records("Delivery")}
    shop, bank = deliveries["spring:shop@there.example"], deliveries["spring:bank@slow.example"]
    assert (shop["egress_pool"], bank["egress_pool"]) == ("shared", "bank-only")
    assert bank["egress_source"] == "ip-3"
    assert bank["meta"] == {"tenant": "bank", "campaign": "spring"}
    assert "bank.example.com" in receiver.helos
    assert all(b"X-Tenant" not in content for _, content in receiver.taken)


def test_a_tenant_over_its_rate_waits(tmp_path):
    node = place_sample("tenants_and_pools.py", tmp_path)
    receiver = Receiver()
    text = deliver_to(node.policy.read_text(), receiver)
    node.policy.write_text(text.replace('"rate": "10/s"', '"rate": "1/h"'))

    with receiver.listening(), node.running():
        with smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
            for name in ("one", "two"):
                client.sendmail("a@example.com", [f"{name}@there.example"], mail("bank"))
            client.sendmail("a@example.com", ["three@there.example"], mail("shop"))
        wait_until("what may go", lambda: len(receiver.taken) == 2)

    assert sorted(recipients for recipients, _ in receiver.taken) == [
        ["one@there.example"],
        ["three@there.example"],
    ]
