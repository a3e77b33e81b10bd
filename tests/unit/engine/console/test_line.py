"""One line that an operator typed."""

from __future__ import annotations

import asyncio

import click
import pytest

from engine.cli.verb import Session, verb
from engine.console.catalogue import ALIASES, console_verbs
from engine.console.line import LINE_MAX, LeaveError, find_verb, run_line, split_line
from engine.console.local_node import LocalNode
from engine.console.terminal import ConsoleTerminal
from engine.model.role import Role
from tests.fakes.admin_world import admin_world
from tests.fakes.console_world import make_desk, operator
from tests.unit.engine.console.test_terminal import Channel


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("queues --limit 3", ["queues", "--limit", "3"]),
        (
            "suspend --reason 'a b' --tenant \"c d\"",
            ["suspend", "--reason", "a b", "--tenant", "c d"],
        ),
        ("cirrus queues", ["queues"]),
        ("   ", []),
        (
            "queues; rm -rf / | $(id) `id` > x",
            ["queues;", "rm", "-rf", "/", "|", "$(id)", "`id`", ">", "x"],
        ),
    ],
)
def test_a_line_is_words_and_nothing_of_it_is_for_a_shell(line, words):
    assert split_line(line) == words


@pytest.mark.parametrize("line", ["suspend --reason 'a", "x" * (LINE_MAX + 1)])
def test_half_a_line_and_an_endless_one_are_wrong_usage(line):
    with pytest.raises(click.UsageError):
        split_line(line)


def test_verbs_are_found_by_their_names_and_by_their_subjects():
    verbs = console_verbs()

    assert find_verb(verbs, ["queues", "x"], ALIASES) == (verbs["queues"], ["x"])
    assert find_verb(verbs, ["quit"], ALIASES)[0].name == "exit"
    assert find_verb(verbs, ["a", "b", "c"], {("a", "b"): "queues"}) == (verbs["queues"], ["c"])
    with pytest.raises(click.UsageError, match="did you mean 'queues'"):
        find_verb(verbs, ["quues"], ALIASES)
    with pytest.raises(click.UsageError, match=r"there is no '\\x1b\[2J' here; type help"):
        find_verb(verbs, ["\x1b[2J"], ALIASES)


@verb("broken", "Fail.", has_json=False)
async def broken(session: Session) -> None:
    """Fail."""
    raise RuntimeError("a secret of the inside")


@verb("three", "Return three.", has_json=False)
async def three(session: Session) -> int:
    """Return three."""
    return 3


async def run(tmp_path, line: str, role: Role = Role.OPERATOR) -> tuple[int, Channel]:
    async with admin_world(tmp_path) as world:
        node = LocalNode(make_desk(world), asyncio.get_running_loop(), operator(role), "192.0.2.1")
        channel = Channel(80, 24)
        verbs = {**console_verbs(), "broken": broken, "three": three}
        terminal = ConsoleTerminal(channel, has_pty=False)
        status = await run_line(node, terminal, verbs, ALIASES, line)
        await asyncio.sleep(0.01)
        return status, channel


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        ("", 0, ""),
        ("suspend-list", 0, "no scheduled queue is suspended"),
        ("suspend --tenant a", 2, "Missing option '--reason'"),
        ("suspend --bogus", 2, "No such option"),
        ("bogus", 2, "there is no 'bogus' here"),
        ("suspend-cancel --id none", 1, "no such suspension"),
        ("bounce --tenant a --reason b", 2, "say --yes"),
        ("broken", 1, "broken: internal error, see the node's log"),
        ("three", 3, ""),
        ("suspend 'open", 2, "no closing quotation"),
    ],
)
async def test_a_line_ends_with_a_status_and_says_why(tmp_path, line, status, told):
    got, channel = await run(tmp_path, line)

    assert (got, channel.text) == (status, "")
    assert told in channel.notes
    assert "secret" not in channel.notes


async def test_the_manual_of_a_verb_is_its_answer(tmp_path):
    status, channel = await run(tmp_path, "suspend --help")

    assert status == 0
    assert channel.text.startswith("Usage: suspend [OPTIONS]")


async def test_what_a_role_may_not_is_refused_before_anything_is_done(tmp_path):
    status, channel = await run(tmp_path, "suspend --tenant a --reason b", Role.VIEWER)

    assert status == 1
    assert channel.notes == "cirrus: suspend: this is for the role operator; you are viewer\n"


async def test_to_leave_is_not_an_error_of_the_line(tmp_path):
    with pytest.raises(LeaveError):
        await run(tmp_path, "exit")
