"""A stored message as operators see it, and which of them are wanted."""

from __future__ import annotations

import pytest

from engine.model.message import HoldNote, decode_envelope, encode_envelope
from engine.spool_message import MessageFilter, describe, list_line, queue_of, span
from tests.fakes.stored_mail import CREATED_AT, mail


def stored(due_at=CREATED_AT + 60, **changes):
    message = mail(3, ["Ann@a.test", "bob@b.test"], **changes)
    return message, decode_envelope(encode_envelope(message, due_at))


META = {"tenant": "acme", "campaign": "spring", "routing_domain": "mx.test"}


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"sender": "SENDER-3@x.test"}, True),
        ({"sender": "sender-4@x.test"}, False),
        ({"recipient": "BOB@b.test"}, True),
        ({"recipient": "carl@b.test"}, False),
        ({"tenant": "acme"}, True),
        ({"tenant": "other"}, False),
        ({"campaign": "spring"}, True),
        ({"campaign": "fall"}, False),
        ({"domain": "A.test"}, True),
        ({"domain": "mx.test"}, True),
        ({"domain": "b.test"}, False),
        ({"domain": "no domain"}, False),
        ({"queue": "spring:acme@a.test!mx.test"}, True),
        ({"queue": "a.test"}, False),
        ({"tenant": "acme", "sender": "other@x.test"}, False),
    ],
)
def test_a_message_is_wanted_that_fits_all_that_is_said(wanted, fits):
    message, envelope = stored(meta=META)

    assert MessageFilter(**wanted).fits(message.spool_id, envelope) is fits


def test_a_message_whose_parts_name_no_queue_has_none():
    message, envelope = stored()
    envelope.recipients = ["ann@not a domain"]

    assert queue_of(message.spool_id, envelope) == ""


def test_all_that_is_known_is_described():
    message = mail(0, attempts=2, meta={"queue": "mine"})
    message.note_reply("451 later", CREATED_AT + 5, "ready")
    message.note_hold(HoldNote("ann", "looking", CREATED_AT))
    envelope = decode_envelope(encode_envelope(message, CREATED_AT + 60))

    shown = describe(message.spool_id, envelope)

    assert shown["queue"] == "mine" and shown["num_attempts"] == 2
    assert shown["created"] == "2023-11-14T22:13:20.000000Z"
    assert shown["due"] == "2023-11-14T22:14:20.000000Z"
    assert (shown["last_reply"], shown["last_ready_queue"]) == ("451 later", "ready")
    assert (shown["held_by"], shown["held_for"]) == ("ann", "looking")
    assert "scheduling" not in shown


def test_a_line_tells_whose_it_is_and_when_it_goes():
    message, envelope = stored()
    line = list_line(message.spool_id, envelope, CREATED_AT + 30)

    assert line.split()[:5] == [message.id, "a.test", "sender-3@x.test", "Ann@a.test", "+1"]
    assert "age 27s " in line and "due in 30s " in line and "tried 0 " in line
    assert "due now " in list_line(message.spool_id, envelope, CREATED_AT + 90)


def test_a_line_cannot_harm_a_terminal():
    message, envelope = stored()
    envelope.sender, envelope.recipients = "\x1b[2J", []

    line = list_line(message.spool_id, envelope, CREATED_AT)

    assert line.isprintable() and "\\x1b[2J" in line


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0s"), (59.9, "59s"), (61, "1m01s"), (7260, "2h01m"), (90_000, "1d01h")],
)
def test_a_span_has_its_two_largest_units(seconds, shown):
    assert span(seconds) == shown
