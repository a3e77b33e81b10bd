"""samples/policy/smart_host.py sends everything to one host, over TLS and with a password."""

from __future__ import annotations

import contextlib
import smtplib

import pytest

from tests.fakes.tool_process import running
from tests.samples.running_node import free_ports, place_sample, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
MESSAGE = b"From: a@example.com\r\nSubject: hi\r\n\r\nhello\r\n"
PASSWORD = "open sesame"
INSECURE = 'enable_tls="RequiredInsecure", allow_smtp_auth_plain_without_valid_certificate=True'


@contextlib.contextmanager
def world(folder, *, tls=INSECURE, password=PASSWORD):
    """Run the sample, and a host that takes mail over TLS from who has the password."""
    (port,) = free_ports(1)
    secret = folder / "password"
    secret.write_text(password)
    node = place_sample(
        "smart_host.py",
        folder,
        SMART_HOSTS=f"['[127.0.0.1]:{port}']",
        PASSWORD=repr(str(secret)),
    )
    text = node.policy.read_text()
    assert 'enable_tls="Required",' in text
    node.policy.write_text(text.replace('enable_tls="Required"', f"prohibited_hosts=[], {tls}"))
    store = folder / "store"
    arguments = [
        f"--listen=127.0.0.1:{port}",
        "--starttls",
        "--require-tls",
        f"--auth=account:{PASSWORD}",
    ]
    arguments += ["--require-auth", f"--store={store}"]
    with running("engine.tools.sink", *arguments, cwd=folder) as sink:
        sink.read_until("listening on")
        with node.running():
            yield node, store


def send(node, *recipients: str, sender: str = "a@example.com") -> None:
    with smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10) as client:
        for recipient in recipients:
            client.sendmail(sender, [recipient], MESSAGE)


def test_mail_for_all_domains_leaves_by_the_one_host(tmp_path):
    with world(tmp_path) as (node, _):
        send(node, "b@one.example", "c@two.example")
        wait_until("both records", lambda: len(node.records("Delivery")) == 2)

    deliveries = node.records("Delivery")
    assert {record["queue"] for record in deliveries} == {"one.example", "two.example"}
    assert len({record["peer_address"]["addr"] for record in deliveries}) == 1
    assert all(record["tls_cipher"] for record in deliveries)


def test_a_bounce_may_be_sent_and_other_domains_may_not(tmp_path):
    with world(tmp_path) as (node, _):
        send(node, "b@one.example", sender="")
        with pytest.raises(smtplib.SMTPSenderRefused, match="other.example is not sent from here"):
            send(node, "b@one.example", sender="a@other.example")
        wait_until("the bounce", lambda: node.records("Delivery"))


def test_a_host_that_cannot_prove_itself_gets_no_mail(tmp_path):
    with world(tmp_path, tls='enable_tls="Required"') as (node, store):
        send(node, "b@one.example")
        wait_until("a failure", lambda: node.records("TransientFailure"))

    assert node.records("Delivery") == []


def test_mail_waits_where_the_password_is_wrong(tmp_path):
    with world(tmp_path, password="guess") as (node, _):
        send(node, "b@one.example")
        wait_until("a failure", lambda: node.records("TransientFailure"))

    assert node.records("Delivery") == []
    assert b"guess" not in b"".join(path.read_bytes() for path in (tmp_path / "logs").iterdir())
