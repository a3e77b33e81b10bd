"""What goes in comes out, octet for octet, behind the trace fields that were put in front."""

from __future__ import annotations

import re
import socket

import pytest

from tests.fakes.node_process import wait_until

pytestmark = [pytest.mark.real_time, pytest.mark.slow]

HEADER = (
    b"Zeta: last letter first\r\n"
    b"Subject:  two blanks and a tail \t \r\n"
    b"received: from elsewhere by nobody; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
    b"X-Folded: one\r\n\t two \r\n   three\r\n"
    b"subject: again, in small letters\r\n"
    b"X-8bit: caf\xc3\xa9 \xff\xfe\r\n"
    b"alpha:no blank after the colon\r\n"
)
MESSAGES = {
    "dot lines": HEADER + b"\r\n.\r\n..\r\n...\r\n.text\r\n. \r\n\r\n.\r\n",
    "a line of 998": HEADER + b"\r\n" + b"x" * 998 + b"\r\n" + b"." * 998 + b"\r\nend\r\n",
    "trailing blanks": HEADER + b"\r\ntext  \r\n \r\n\t\r\n  \r\n\r\n\r\n",
    "octets": HEADER + b"\r\n" + bytes(b for b in range(1, 256) if b not in b"\r\n") + b"\r\n",
    "nul": HEADER + b"\r\na\0b\r\n",
    "no body": b"Subject: alone\r\n",
    "no header": b"\r\njust text\r\n",
    "no colon": b"this is no header\r\nat all\r\n",
    "one empty line": b"\r\n",
    "large": HEADER + b"\r\n" + b"0123456789abcdef.\r\n.\r\n" * 60_000,
    "dot at a block's edge": HEADER
    + b"\r\n"
    + b"".join(b"y" * n + b"\r\n.z\r\n" for n in range(700)),
}
TRACE = re.compile(
    rb"(?:X-KumoRef: [\w+/=]+\r\n(?:\t[\w+/=]+\r\n)*)?"
    rb"Received: from c\.test \(127\.0\.0\.1\)\r\n by mx\.test \(Cirrus 127\.0\.0\.1\)\r\n"
    rb" with ESMTP id [0-9a-f]{32}\r\n for <b@y\.test>; [^\r\n]+\r\n"
)


def submit_raw(node, content, chunk):
    stuffed = re.sub(rb"(?m)^\.", b"..", content)
    with socket.create_connection(("127.0.0.1", node.smtp_port), timeout=10) as connection:
        replies = connection.makefile("rb")
        assert replies.readline().startswith(b"220 ")
        connection.sendall(b"EHLO c.test\r\n")
        while replies.readline()[3:4] == b"-":
            pass
        for command in (b"MAIL FROM:<a@x.test> BODY=8BITMIME", b"RCPT TO:<b@y.test>", b"DATA"):
            connection.sendall(command + b"\r\n")
            assert replies.readline()[:1] in b"23"
        data = stuffed + b".\r\n"
        for start in range(0, len(data), chunk):
            connection.sendall(data[start : start + chunk])
        return replies.readline().decode()


@pytest.fixture
def relay(make_node):
    node = make_node()
    with node.running():
        yield node


def test_only_the_trace_fields_are_added(relay, sink):
    for index, (name, content) in enumerate(MESSAGES.items(), 1):
        chunk = 1 << 20 if index % 2 else 7919
        answer = submit_raw(relay, content, chunk)
        assert answer.startswith("250"), (name, answer)
        wait_until(name, lambda n=index: len(sink.taken) == n)
        got = sink.taken[-1].content
        trace = TRACE.match(got)
        assert trace is not None, (name, got[:300])
        assert got[trace.end() :] == content, name


def test_lines_beyond_998_octets_and_bare_line_ends_are_refused(relay, sink):
    assert submit_raw(relay, b"Subject: x\r\n\r\n" + b"x" * 999 + b"\r\n", 500).startswith("5")
    assert submit_raw(relay, b"Subject: x\r\n\r\na\nb\r\n", 500).startswith("5")
    assert submit_raw(relay, b"Subject: x\r\n\r\na\rb\r\n", 500).startswith("5")
    assert sink.taken == []
