"""Refusals as records."""

from __future__ import annotations

from tests.fakes.smtp_node import smtp_node


async def test_a_refusal_is_a_record_with_command_client_and_envelope(tmp_path):
    async with smtp_node(tmp_path, relay_hosts=[]) as node:
        client = await node.greeted()
        codes = await client.codes(b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>")

        (record,) = node.rejections
        assert codes == [250, 550]
        assert (record.sender, record.response.code) == ("a@x.test", 550)
        assert record.response.command == "RCPT TO:<b@y.test>"
        assert record.peer_address.name == "c.test"


async def test_that_the_node_is_busy_is_no_record(tmp_path):
    async with smtp_node(tmp_path) as node:
        client = await node.greeted()
        node.trouble = "load shedding"
        assert (await client.command(b"MAIL FROM:<a@x.test>")).code == 421

        assert node.rejections == []
