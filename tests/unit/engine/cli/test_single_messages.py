"""Acts on messages by their ids."""

from __future__ import annotations

import json

import click
import pytest

from engine.cli.errors import NodeRefusedError
from engine.cli.single_messages import expire, hold, move, release, send_now
from engine.cli.verb import NotConfirmedError
from tests.fakes.operator_session import FakeNode, FakeTerminal, run_verb, verb_status


class NodeOfMessages(FakeNode):
    """Obeys for any message but ``gone``."""

    async def call(self, method, path, *, query=None, body=None):
        self.calls.append((method, path, dict(body or {})))
        if body["id"] == "gone":
            raise NodeRefusedError("the node answers 404: no such message", 404)
        return {"id": body["id"], "queue_name": "acme@a.test"}


@pytest.mark.parametrize(
    ("made", "options", "path", "more"),
    [
        (hold, ("--reason", "look"), "hold", {"reason": "look", "duration": None}),
        (hold, ("--reason", "r", "--duration", "1h"), "hold", {"reason": "r", "duration": "1h"}),
        (release, (), "release", {"reason": ""}),
        (send_now, ("--reason", "r"), "send-now", {"reason": "r"}),
        (
            move,
            ("--set", "routing_domain=b"),
            "move",
            {"reason": "", "data": {"routing_domain": "b"}},
        ),
        (expire, ("--yes",), "expire", {"reason": ""}),
    ],
)
async def test_the_node_is_told_of_each_message_once(made, options, path, more):
    node = NodeOfMessages()

    text, _ = await run_verb(made, "m1", "m2", "m1", *options, node=node)

    assert text == "m1 acme@a.test\nm2 acme@a.test\n"
    assert node.calls == [
        ("POST", f"/api/admin/{path}/v1", {"id": name, **more}) for name in ("m1", "m2")
    ]


async def test_one_that_is_refused_keeps_no_other_from_its_turn():
    terminal = FakeTerminal()

    status = await verb_status(release, "gone", "m2", node=NodeOfMessages(), terminal=terminal)

    assert status == 1
    assert terminal.text == "m2 acme@a.test\n"
    assert terminal.notes == "gone: the node answers 404: no such message\n"
    assert await verb_status(release, "m2", node=NodeOfMessages()) == 0


async def test_a_program_gets_a_line_for_each_message():
    text, _ = await run_verb(release, "gone", "m2", "--json", node=NodeOfMessages())

    assert [json.loads(line) for line in text.splitlines()] == [
        {"id": "gone", "error": "the node answers 404: no such message"},
        {"id": "m2", "queue_name": "acme@a.test"},
    ]


async def test_nothing_is_given_up_without_a_yes():
    for ids, what in ((("m1",), "message m1"), (("m1", "m2"), "2 messages")):
        node, terminal = NodeOfMessages(), FakeTerminal(answers=("n",))
        with pytest.raises(NotConfirmedError):
            await run_verb(expire, *ids, node=node, terminal=terminal)
        assert terminal.questions == [f"give up {what}? [y/N] "]
        assert node.calls == []


@pytest.mark.parametrize(
    ("made", "arguments"),
    [(hold, ("m1",)), (release, ()), (move, ("m1",)), (move, ("m1", "--set", "x"))],
)
async def test_what_is_not_said_in_full_is_wrong_usage(made, arguments):
    with pytest.raises(click.UsageError):
        await run_verb(made, *arguments, node=NodeOfMessages())
