"""How a session shares the node with others; what it says is in tests/dialogue."""

from __future__ import annotations

import asyncio

from engine.receive.smtp_session import PORTION
from tests.fakes.smtp_node import smtp_node


async def test_others_get_a_turn_while_a_client_pipelines_without_end(tmp_path):
    async with smtp_node(tmp_path) as node:
        client = await node.greeted()
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        other = node.supervisor.start(count_turns(), "other")
        await client.send(b"NOOP\r\n" * 20_000)
        for _ in range(20_000):
            assert (await client.reply()).code == 250
        other.cancel()

        assert turns > 20_000 / PORTION


async def test_pipelined_commands_are_answered_in_order(tmp_path):
    async with smtp_node(tmp_path) as node:
        client = await node.greeted()

        await client.send(
            b"NOOP\r\n" * (PORTION - 1) + b"FOO\r\nRSET x\r\nNOOP\r\nQUIT\r\nNOOP\r\n"
        )
        codes = [(await client.reply()).code for _ in range(PORTION + 3)]

        assert codes == [250] * (PORTION - 1) + [502, 501, 250, 221]
        assert await client.rest() == b""
