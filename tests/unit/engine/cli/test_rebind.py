"""Waiting mail moved to other queues, from a terminal."""

from __future__ import annotations

import json

import click
import pytest

from engine.cli.rebind import rebind
from tests.fakes.operator_session import FakeNode, FakeTerminal, run_verb

REBIND = "/api/admin/rebind/v1"
ANSWER = {"is_complete": True, "seen": 12, "moved": 5, "flushed": 0, "failed": 0}
WHY = ("--reason", "down")


def node(**more):
    return FakeNode({("POST", REBIND): {**ANSWER, **more}})


async def test_the_node_is_told_which_mail_and_what_to_set():
    world = node()

    text, terminal = await run_verb(
        rebind,
        *("--domain", "a.test", "--data", '{"tenant": "x"}', "--set", "routing_domain=b.test"),
        *("--always-flush", "--suppress-logging", "--trigger-rebind-event", *WHY),
        node=world,
    )

    assert world.calls[0][2] == {
        "domain": "a.test",
        "reason": "down",
        "data": {"tenant": "x", "routing_domain": "b.test"},
        "always_flush": True,
        "suppress_logging": True,
        "trigger_rebind_event": True,
    }
    assert text == "seen 12, moved 5, flushed 0, failed 0\n"
    assert terminal.notes == ""


async def test_what_goes_on_is_said():
    _, terminal = await run_verb(
        rebind, "--queue", "q", "--always-flush", *WHY, node=node(is_complete=False)
    )
    assert terminal.notes == "it goes on in the background; the log counts the rest\n"


async def test_a_program_gets_the_counts():
    text, _ = await run_verb(rebind, "--queue", "q", "--set", "a=b", "--json", *WHY, node=node())
    assert json.loads(text) == ANSWER


async def test_only_a_rebind_of_everything_is_asked_about():
    terminal = FakeTerminal(answers=("y",))
    await run_verb(rebind, "--everything", "--always-flush", *WHY, node=node(), terminal=terminal)
    assert terminal.questions == ["rebind everything? [y/N] "]

    with pytest.raises(click.UsageError, match="--yes"):
        await run_verb(rebind, "--everything", "--always-flush", *WHY, node=node())


@pytest.mark.parametrize(
    "arguments", [("--set", "a=b"), ("--domain", "a.test"), ("--domain", "a.test", "--set", "a")]
)
async def test_which_mail_and_what_to_do_have_to_be_said(arguments):
    world = node()
    with pytest.raises(click.UsageError):
        await run_verb(rebind, *arguments, *WHY, node=world)
    assert world.calls == []
