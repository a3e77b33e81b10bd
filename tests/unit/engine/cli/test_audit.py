"""Who did what, in a terminal."""

from __future__ import annotations

import json

import click
import pytest

from engine.cli.audit import audit
from tests.fakes.operator_session import FakeNode, run_verb

AUDIT = "/api/admin/audit/v1"
LATEST = {
    "time": "2026-03-01T02:59:00.123456Z",
    "identity": "eve",
    "origin": "203.0.113.9",
    "channel": "http",
    "act": "POST /api/admin/bounce/v1",
    "result": "denied",
    "detail": "no right to it",
    "repeats": 7,
}
FIRST = {
    "time": "2026-03-01T02:30:00Z",
    "identity": "ann",
    "act": "suspend",
    "result": "done",
    "arguments": {"tenant": "acme", "reason": "their request\x1b", "duration": None},
    "detail": "id-1",
}


def node(*entries):
    return FakeNode({("GET", AUDIT): {"entries": list(entries)}})


async def test_the_latest_act_stands_last_with_what_came_of_it():
    text, _ = await run_verb(audit, node=node(LATEST, FIRST))

    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[1:] == [
        "2026-03-01 02:30:00 ann done suspend tenant=acme"
        ' reason="their request\\u001b" duration=null -> id-1',
        "2026-03-01 02:59:00 eve http 203.0.113.9 denied POST /api/admin/bounce/v1"
        " -> no right to it (and 7 times before)",
    ]


async def test_a_beginning_may_be_a_span():
    world = node()

    _, terminal = await run_verb(audit, "--since", "2h", "--act", "bounce", node=world)

    assert world.calls[0][2] == {
        "since": "2026-03-01T01:00:00+00:00",
        "act": "bounce",
        "limit": 100,
    }
    assert terminal.notes == "there is no such entry\n"


async def test_a_program_gets_entries_as_the_node_tells_them():
    text, _ = await run_verb(audit, "--json", node=node(LATEST, FIRST))
    assert json.loads(text) == {"entries": [LATEST, FIRST]}


async def test_another_beginning_is_wrong_usage():
    with pytest.raises(click.BadParameter, match="neither a span"):
        await run_verb(audit, "--since", "noon", node=node())
