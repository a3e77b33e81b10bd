"""Attacks over SMTP: smuggled messages, forged lines, octets chosen to break a parser.

Each attack states what it tries; it holds when the outcome is what an honest reader expects.
"""

from __future__ import annotations

import json
import logging

import pytest

from engine.base.run_log_format import TextFormatter
from engine.model.log_record import RecordKind, decode_record, encode_record

#: What other servers took for the end of a message. None of these ends one here.
ENDS = {
    "lf dot lf": b"\n.\n",
    "lf dot crlf": b"\n.\r\n",
    "crlf dot lf": b"\r\n.\n",
    "cr dot cr": b"\r.\r",
    "crlf dot cr": b"\r\n.\r",
    "cr dot crlf": b"\r.\r\n",
    "crlf dot cr cr lf": b"\r\n.\r\r\n",
    "cr lf lf dot lf": b"\r\n\n.\n",
    "nul after the dot": b"\r\n.\x00\r\n",
    "lf dot cr": b"\n.\r",
}
SECOND = b"MAIL FROM:<admin@x.test>\r\nRCPT TO:<victim@y.test>\r\nDATA\r\nsmuggled\r\n.\r\n"


async def carry(node, end: bytes):
    client = await node.greeted()
    await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA")
    await client.send(b"Subject: one\r\n\r\nouter" + end + SECOND)
    reply = await client.reply()
    assert (await client.command(b"NOOP")).code == 250
    return reply


@pytest.mark.parametrize("name", sorted(ENDS))
@pytest.mark.parametrize("endings", ["Deny", "Allow", "Fix"])
async def test_only_crlf_dot_crlf_ends_a_message(start_node, name, endings):
    node = await start_node(invalid_line_endings=endings)

    reply = await carry(node, ENDS[name])

    assert len(node.taken) <= 1, "a second message was smuggled in"
    has_bare = name != "nul after the dot"
    assert reply.code == (552 if endings == "Deny" and has_bare else 250)
    if reply.code == 250:
        assert node.taken[0].recipients == ["b@y.test"]
        assert b"victim@y.test" in node.content()


@pytest.mark.parametrize("name", sorted(ENDS))
async def test_fixed_content_holds_no_bare_line_end(start_node, name):
    node = await start_node(invalid_line_endings="Fix")

    await carry(node, ENDS[name])

    text = node.content().replace(b"\r\n", b"")
    assert b"\r" not in text and b"\n" not in text


async def test_allowed_content_is_kept_octet_by_octet(start_node):
    node = await start_node(invalid_line_endings="Allow")
    client = await node.greeted()
    body = b"Subject: one\r\n\r\na\nb\rc\n.\nd\r\n"

    assert (await client.deliver(body)).code == 250

    assert node.bodies() == [body]


async def test_a_header_of_a_client_name_cannot_be_forged(start_node):
    node = await start_node()
    client = await node.connect()
    await client.reply()
    await client.command(b"EHLO evil\x0bX-Forged:(1)\x1b[2J\x7f")

    await client.deliver(b"x\r\n")

    head = node.content().split(b"\r\n with")[0]
    assert b"X-Forged:(" not in head
    assert b"\x1b" not in head and b"\x0b" not in head and b"\x7f" not in head


async def test_a_long_client_name_makes_no_long_header_line(start_node):
    node = await start_node()
    client = await node.connect()
    await client.reply()
    assert (await client.command(b"EHLO " + b"n" * 980)).code == 250

    await client.deliver(b"x\r\n")

    assert max(len(row) for row in node.content().split(b"\r\n")) <= 998


@pytest.mark.parametrize(
    "verb",
    [
        b"MAIL FROM:<a\x1b[31m@x>",
        b"FORGE\x1b]0;x\x07",
        b"RCPT\x0bTO:<x>",
        "FAKE \u2028line".encode(),
    ],
)
async def test_control_characters_forge_no_record_and_no_reply_line(start_node, verb):
    node = await start_node()
    client = await node.greeted()

    reply = await client.command(verb)

    assert reply.code >= 500 and len(reply.lines) == 1
    assert all(ord(char) >= 32 for char in reply.text)
    for record in node.sink.records:
        encoded = encode_record(record).rstrip(b"\n")
        assert b"\n" not in encoded and b"\x1b" not in encoded
        json.loads(encoded)
        assert decode_record(encoded).kind is RecordKind.REJECTION


async def test_what_a_script_tells_cannot_start_a_reply_of_its_own(start_node):
    node = await start_node(
        "@on('smtp_mail_from')\n"
        "def m(sender, conn):\n"
        "    mta.reject(550, 'no\\r\\n250 2.0.0 yes\\x00\\x1b')\n"
    )
    client = await node.greeted()

    await client.send(b"MAIL FROM:<a@x.test>\r\nNOOP\r\n")
    first, second = await client.reply(), await client.reply()

    assert first.code == 550
    assert first.lines[1].startswith("250 2.0.0 yes")
    assert second.code == 250


async def test_no_reply_shows_how_the_node_is_built(start_node, monkeypatch):
    node = await start_node()
    client = await node.greeted()

    def defect(incoming):
        raise RuntimeError("internal detail /etc/secret")

    node.admission.admit = defect
    reply = await client.deliver(b"x\r\n")

    assert repr(reply) == "451 4.3.0 technical difficulties, try again later"
    assert (await client.command(b"NOOP")).code == 250


def test_a_client_cannot_forge_a_line_of_the_diagnostic_log():
    record = logging.LogRecord(
        "x", logging.INFO, "", 0, "session with %s", ("a\r\n2030 ERROR \x1b[1mfake\u2028",), None
    )

    text = TextFormatter("%(message)s").format(record)

    assert text == "session with a\\r\\n2030 ERROR \\x1b[1mfake\\u2028"


@pytest.mark.parametrize(
    "command", [b"NOOP", b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"EHLO x", b"WHAT"]
)
async def test_a_command_without_its_line_end_waits_for_it(start_node, command):
    node = await start_node()
    client = await node.greeted()

    await client.send(command + b"\r")
    await client.send(b"\n")
    await client.reply()

    assert (await client.command(b"NOOP")).code == 250


async def test_a_web_browser_is_no_mail_client(start_node):
    node = await start_node()
    client = await node.connect()
    await client.reply()

    await client.send(
        b"POST / HTTP/1.1\r\nHost: mx\r\nContent-Length: 60\r\n\r\n"
        b"MAIL FROM:<a@x.test>\nRCPT TO:<b@y.test>\nDATA\nhi\n.\n"
    )
    await client.send(b"QUIT\r\n")

    rest = await client.rest()
    assert rest.endswith(b"closing\r\n")
    assert node.taken == []
