"""What a transaction hands on; what it says is in tests/dialogue."""

from __future__ import annotations

import pytest

from engine.model.message import FLAG_WIRE_READY
from tests.fakes.smtp_node import smtp_node

ALLOW = {"invalid_line_endings": "Allow"}


@pytest.mark.parametrize(
    ("script", "body", "options", "ready"),
    [
        ("", b"Subject: x\r\n\r\nplain\r\n", {}, True),
        ("", b"Subject: x\r\n\r\n..dot\r\n", {}, False),
        ("", b"..dot\r\n", {}, False),
        ("", b"Subject: x\r\n\r\nbare\nline\r\n", ALLOW, False),
        ("", b"Subject: x\r\n\r\nbare\nline\r\n", {"invalid_line_endings": "Fix"}, True),
        ("msg.prepend_header('X-A', 'b')", b"Subject: x\r\n\r\nplain\r\n", {}, True),
        ("msg.append_header('X-A', 'b')", b"Subject: x\r\n\r\nplain\r\n", {}, False),
        ("msg.set_data('a: b\\r\\n\\r\\n.c')", b"Subject: x\r\n\r\nplain\r\n", {}, False),
    ],
)
async def test_a_body_that_may_leave_as_it_is_says_so(tmp_path, script, body, options, ready):
    handler = f"@on('message_received')\ndef received(msg):\n    {script or 'pass'}\n"
    async with smtp_node(tmp_path, handler, **options) as node:
        client = await node.greeted()

        assert (await client.deliver(body)).code == 250

        (message,) = node.taken
        assert bool(message.flags & FLAG_WIRE_READY) is ready
        assert message.data is not None
        if ready:
            assert message.data.endswith(b"\r\n") and b"\r\n." not in message.data


async def test_a_chunked_body_is_looked_at_again(tmp_path):
    async with smtp_node(tmp_path) as node:
        client = await node.greeted()
        await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>")

        await client.send(b"BDAT 14 LAST\r\na: b\r\n\r\n.dot\r\n")

        assert (await client.reply()).code == 250
        assert not node.taken[0].flags & FLAG_WIRE_READY


MIB = 1 << 20


def leave_memory(node, octets):
    """Let so much memory be left before the node sheds load."""
    node.memory.set_limits({"soft_limit": node.memory.usage + octets})


async def test_content_that_memory_is_too_short_for_is_dropped_and_answered_421(tmp_path):
    async with smtp_node(tmp_path) as node:
        leave_memory(node, 4 * MIB)
        client = await node.greeted()

        reply = await client.deliver((b"x" * 78 + b"\r\n") * (6 * MIB // 80))

        assert (reply.code, "memory is short" in reply.text) == (421, True)
        assert node.taken == []
        assert (await node.greeted()) is not None


async def test_others_finish_with_the_memory_that_a_dropped_message_gives_back(tmp_path):
    async with smtp_node(tmp_path) as node:
        leave_memory(node, 4 * MIB)
        large, small = await node.greeted(), await node.greeted()

        for client in (large, small):
            await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA")
        await large.send((b"x" * 78 + b"\r\n") * (6 * MIB // 80))
        await small.send(b"Subject: small\r\n\r\nhello\r\n.\r\n")
        assert (await small.reply()).code == 250
        await large.send(b".\r\n")

        assert (await large.reply()).code == 421
        assert node.bodies() == [b"Subject: small\r\n\r\nhello\r\n"]


async def test_a_chunk_that_memory_is_too_short_for_is_answered_421(tmp_path):
    async with smtp_node(tmp_path) as node:
        leave_memory(node, 4 * MIB)
        client = await node.greeted()
        await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>")

        await client.send(b"BDAT %d\r\n" % (6 * MIB) + b"x" * (6 * MIB))

        reply = await client.reply()
        assert (reply.code, "memory is short" in reply.text) == (421, True)
        assert node.taken == []


@pytest.mark.parametrize("blank", [b" ", b"\t"])
async def test_content_cannot_continue_a_field_that_is_ours(tmp_path, blank):
    async with smtp_node(tmp_path) as node:
        client = await node.greeted()

        assert (
            await client.deliver(blank + b"by forged.test\r\nSubject: x\r\n\r\nbody\r\n")
        ).code == 250

        header, _, body = node.content().partition(b"\r\n\r\n")
        assert b"forged" not in header
        assert body.startswith(blank + b"by forged.test\r\n")
