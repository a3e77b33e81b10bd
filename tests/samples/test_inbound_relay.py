"""samples/policy/inbound_relay.py takes mail for its domains, and from users who authenticate."""

from __future__ import annotations

import smtplib
import ssl

import pytest

from tests.samples.running_node import Receiver, deliver_to, place_sample, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
MESSAGE = b"From: a@example.com\r\nSubject: hi\r\n\r\nhello\r\n"
USER, PASSWORD = "alice@example.com", "wonderland of 42 rabbits"


@pytest.fixture
def world(tmp_path):
    """Run the sample in front of a server, with another one for the rest of the world."""
    inside, outside = Receiver(), Receiver()
    node = place_sample("inbound_relay.py", tmp_path)
    text = deliver_to(node.policy.read_text(), outside)
    text = text.replace('"[10.0.0.25]:25"', f'"[127.0.0.1]:{inside.port}"')
    # The helper above opens loopback for both paths; the sample does so for the inner one itself.
    text = text.replace(", prohibited_hosts=[], connection_limit=20", ", connection_limit=20")
    node.policy.write_text(text)
    with inside.listening(), outside.listening(), node.running():
        yield node, inside, outside


def connect(node) -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", node.smtp_port, timeout=10)


def login(client: smtplib.SMTP, user: str = USER, password: str = PASSWORD) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client.starttls(context=context)
    client.login(user, password)


def test_mail_finds_its_way_in_and_out_and_no_other(world):
    node, inside, outside = world

    with connect(node) as client:
        client.sendmail("someone@else.example", [USER], MESSAGE)
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("someone@else.example", ["b@there.example"], MESSAGE)
        with pytest.raises(smtplib.SMTPSenderRefused, match="please authenticate"):
            client.sendmail(USER, ["bob@example.com"], MESSAGE)
    with connect(node) as client:
        login(client)
        client.sendmail(USER, ["b@there.example"], MESSAGE)
        with pytest.raises(smtplib.SMTPSenderRefused, match="send as alice@example.com only"):
            client.sendmail("bob@example.com", ["b@there.example"], MESSAGE)
    wait_until("mail in", lambda: len(inside.taken) == 1)
    wait_until("mail out", lambda: len(outside.taken) == 1)

    assert inside.taken[0][0] == [USER]
    assert outside.taken[0][0] == ["b@there.example"]


@pytest.mark.parametrize(
    ("user", "password"), [(USER, "guess"), ("bob@example.com", PASSWORD), (USER, PASSWORD + " ")]
)
def test_a_wrong_password_is_refused(world, user, password):
    node, _, _ = world

    with connect(node) as client, pytest.raises(smtplib.SMTPAuthenticationError) as caught:
        login(client, user, password)

    assert caught.value.smtp_code == 535


def test_a_password_is_not_taken_in_clear(world):
    node, _, _ = world

    with connect(node) as client, pytest.raises(smtplib.SMTPException):
        client.login(USER, PASSWORD)
