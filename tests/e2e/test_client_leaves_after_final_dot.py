"""A client that goes away between its final dot and our reply leaves the message whole or not."""

from __future__ import annotations

import random
import socket
import struct

import pytest

from tests.fakes.node_process import wait_for, wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

ENVELOPE = b"EHLO c.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n"


def closed(connection):
    connection.close()


def half_closed(connection):
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass
    connection.close()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def leave(node, serial, how, delay_s, cut):
    """Send a message up to some octet of its end, wait, and go away."""
    connection = socket.create_connection(("127.0.0.1", node.smtp_port), timeout=10)
    connection.sendall(ENVELOPE)
    said = b""
    while b"354 " not in said:
        said += connection.recv(65536)
    text = f"Subject: m{serial}\r\n\r\n".encode() + b"line of text\r\n" * 40 + b".\r\n"
    connection.sendall(text[: len(text) - cut] if cut else text)
    if delay_s:
        wait_for(delay_s)
    how(connection)


def test_the_message_is_taken_whole_or_not_at_all_and_needs_no_restart(make_node, sink):
    rng = random.Random(7)
    node = make_node()
    sent: dict[str, bool] = {}

    with node.running():
        for serial in range(150):
            how = (closed, half_closed, reset)[serial % 3]
            cut = rng.choice([0, 0, 0, 1, 2, 3, 5])
            # A reset may overtake what was sent before it: only then the dot may be lost.
            leave(node, serial, how, rng.choice([0.0, 0.0005, 0.002, 0.01]), cut)
            sent[f"m{serial}"] = cut == 0
        wait_until(
            "those that were complete",
            lambda: (
                {s for s, whole in sent.items() if whole and int(s[1:]) % 3 != 2}
                <= set(sink.subjects())
            ),
        )
        wait_until(
            "a record for each reception",
            lambda: len(node.records("Reception")) == len(node.records("Delivery")),
        )
        node.send("afterwards")
        wait_until("the last", lambda: "afterwards" in sink.subjects())

    counts = sink.subjects()
    assert max(counts.values()) == 1
    assert {subject for subject, whole in sent.items() if not whole} & set(counts) == set()
    bodies = {message.content.partition(b"\r\n\r\n")[2] for message in sink.taken}
    assert bodies == {b"line of text\r\n" * 40, b"hello\r\n"}
    assert len(node.records("Reception")) == len(sink.taken)
    assert "Traceback" not in node.log_text()
