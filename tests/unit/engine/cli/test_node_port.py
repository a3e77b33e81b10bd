"""The way to a node, as verbs take it."""

from __future__ import annotations

from engine.cli.http_node import HttpNode
from engine.cli.node_port import NodePort
from tests.fakes.operator_session import FakeNode


async def test_the_fake_and_the_real_way_are_ways_to_a_node():
    async with HttpNode("http://127.0.0.1:1") as real:
        ways: list[NodePort] = [real, FakeNode()]

    assert all(callable(way.call) and callable(way.watch) for way in ways)
