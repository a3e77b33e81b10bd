"""The client without a socket says what a mailer says, and stops where one stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.script_testing import Refusal, ScriptHarness

SCRIPT = """\
import mta
from mta import on


@on("init")
def init():
    mta.define_spool(path="/nowhere")
    mta.start_esmtp_listener(listen="127.0.0.1:25", relay_hosts=["127.0.0.1"])


@on("smtp_ehlo")
def smtp_ehlo(domain, conn, extensions):
    if domain == "closed.test":
        mta.disconnect(550, "5.7.1 go away")


@on("smtp_rcpt_to")
def smtp_rcpt_to(recipient, conn):
    if recipient.user == "nobody":
        mta.reject(550, "5.1.1 nobody")
"""


@pytest.fixture
def harness(tmp_path: Path):
    with ScriptHarness.from_text(tmp_path, SCRIPT) as harness:
        yield harness


def test_commands_come_one_by_one(harness):
    exchanges = harness.receive(sender="a@x.test", recipient="b@y.test").exchanges

    assert [(one.command, one.code) for one in exchanges] == [
        ("", 220),
        ("EHLO client.example.com", 250),
        ("MAIL FROM:<a@x.test>", 250),
        ("RCPT TO:<b@y.test>", 250),
        ("DATA", 354),
        (".", 250),
        ("QUIT", 221),
    ]


def test_a_message_that_was_not_taken_is_told_with_the_reason(harness):
    reception = harness.receive(recipient="nobody@y.test")

    with pytest.raises(AssertionError, match="^0 messages were taken, for 550 5.1.1 nobody$"):
        _ = reception.mail


def test_the_recipients_that_are_taken_get_the_message(harness):
    reception = harness.receive(recipient=["nobody@y.test", "b@y.test"])

    assert reception.mail.recipients == ["b@y.test"]
    assert reception.refusal == Refusal(550, "5.1.1 nobody")


def test_without_a_recipient_nothing_is_sent(harness):
    reception = harness.receive(recipient="nobody@y.test")

    assert [one.command for one in reception.exchanges][-1] == "QUIT"
    assert reception.mails == []


def test_a_connection_that_is_closed_ends_the_dialogue(harness):
    reception = harness.receive(ehlo="closed.test")

    assert [one.code for one in reception.exchanges] == [220, 550]


def test_lines_that_begin_with_a_dot_arrive_as_they_are(harness):
    content = b".first: x\r\nSubject: dots\r\n\r\n.\r\n..two\r\n"

    assert harness.receive(raw=content).mail.content.endswith(content)


def test_addresses_beyond_ascii_are_announced(harness):
    reception = harness.receive(recipient="d\u00f6rte@y.test")

    assert reception.exchanges[2].command.endswith(" SMTPUTF8")
    assert reception.mail.recipients == ["d\u00f6rte@y.test"]
