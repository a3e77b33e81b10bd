"""Envelopes out of the ordinary: no sender, no ASCII, quoted names, literals, many recipients."""

from __future__ import annotations

import socket

import pytest

from tests.fakes.node_process import reply_to, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


def converse(node, *lines):
    """Send lines one by one; return the last reply."""
    with socket.create_connection(("127.0.0.1", node.smtp_port), timeout=10) as connection:
        replies = connection.makefile("rb")
        answer = replies.readline()
        for line in ("EHLO c.test", *lines, "DATA", "Subject: x\r\n\r\nhello\r\n."):
            connection.sendall(line.encode() + b"\r\n")
            while (answer := replies.readline())[3:4] == b"-":
                pass
    return answer.decode()


def test_envelopes_arrive_as_they_were_given(make_node, sink):
    node = make_node()
    envelopes = [
        ("", "b@y.test", ""),
        ("a@x.test", '"two words"@y.test', ""),
        ("a+tag=x@x.test", "b@Y.Test", ""),
        ("j\u00fcrgen@x.test", "b\u00e4r@y.test", " SMTPUTF8"),
        ("a@x.test", "user@[127.0.0.1]", ""),
    ]

    with node.running():
        for sender, recipient, parameters in envelopes:
            answer = converse(node, f"MAIL FROM:<{sender}>{parameters}", f"RCPT TO:<{recipient}>")
            assert answer.startswith("250 "), (recipient, answer)
        wait_until("all", lambda: len(sink.taken) == len(envelopes))
        node.wait_records("Delivery", len(envelopes))

    got = {(m.sender, m.recipients[0].lower()) for m in sink.taken}
    assert {s.encode("utf-8", "surrogateescape").decode() for s, _ in got} == {
        sender for sender, _, _ in envelopes
    }
    assert {r.encode("utf-8", "surrogateescape").decode() for _, r in got} == {
        recipient.lower() for _, recipient, _ in envelopes
    }
    assert len(node.records("Reception")) == len(envelopes)


def test_a_message_to_a_thousand_goes_to_each_once(make_node, sink):
    node = make_node()
    names = [f"u{index}@d{index % 7}.test" for index in range(1000)]

    with node.running():
        node.send("many", *names)
        wait_until("all", lambda: sum(sink.recipients().values()) >= 1000)
        node.wait_records("Delivery", 1000)

    assert sink.recipients() == dict.fromkeys(names, 1)


def test_a_script_that_changes_the_message_is_obeyed_on_the_wire(make_node, sink):
    node = make_node("""
        @on("message_received")
        def message_received(msg):
            msg.set_meta("routing_domain", "elsewhere.test")
            msg.sender = "changed@x.test"
            msg.recipient = "other@z.test"
            msg.append_header("X-Last", "z")
            msg.remove_all_named_headers("Subject")
    """)

    with node.running():
        assert reply_to(lambda: node.send("gone", "b@y.test")) == "250"
        wait_until("it", lambda: sink.taken)
        (record,) = node.wait_records("Delivery", 1)

    (message,) = sink.taken
    assert (message.sender, message.recipients) == ("changed@x.test", ["other@z.test"])
    assert b"X-Last: z\r\n" in message.content
    assert b"Subject" not in message.content
    assert record["queue"] == "z.test!elsewhere.test"
