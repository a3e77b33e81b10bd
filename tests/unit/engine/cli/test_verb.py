"""What all verbs have in common."""

from __future__ import annotations

import asyncio
import json
import sys
import threading

import click
import pytest

from engine.cli.catalogue import all_verbs
from engine.cli.errors import NodeRefusedError
from engine.cli.verb import ROWS_AT_ONCE, NotConfirmedError, Session, Verb, verb, yes_option
from engine.model.role import Role
from tests.fakes.operator_session import FakeNode, FakeTerminal, help_of, run_verb

#: The function of the same name hides it.
verb_module = sys.modules[verb.__module__]


@verb("empty", "Empty it.\n\nWhole.", role=Role.OPERATOR)
@yes_option
async def empty(session: Session, *, is_sure: bool) -> None:
    """Empty it."""
    await session.confirm("empty all", is_sure=is_sure)
    answer = await session.node.call("POST", "/empty", body={"why": None})
    await session.note("done")
    if session.as_json:
        await session.write_json(answer)


def node() -> FakeNode:
    return FakeNode({("POST", "/empty"): {"count": 3}})


async def test_a_person_is_asked_and_a_yes_is_enough():
    asked = FakeTerminal(answers=("Yes",))

    await run_verb(empty, node=node(), terminal=asked)

    assert asked.questions == ["empty all? [y/N] "]
    assert asked.notes == "done\n"


@pytest.mark.parametrize("answer", ["", "n", "yesno"])
async def test_anything_else_is_a_no_and_nothing_is_done(answer):
    world = node()

    with pytest.raises(NotConfirmedError):
        await run_verb(empty, node=world, terminal=FakeTerminal(answers=(answer,)))

    assert world.calls == []


async def test_nobody_there_means_no_unless_it_was_said_beforehand():
    world = node()

    with pytest.raises(click.UsageError, match="say --yes"):
        await run_verb(empty, node=world)
    assert world.calls == []

    text, terminal = await run_verb(empty, "--yes", "--json", node=world)
    assert text == '{"count": 3}\n'
    assert terminal.notes == ""
    assert world.calls == [("POST", "/empty", {})]


async def test_what_the_node_refuses_is_told_in_its_words():
    world = FakeNode({("POST", "/empty"): NodeRefusedError("the node answers 403: no", 403)})

    with pytest.raises(NodeRefusedError, match="403: no"):
        await run_verb(empty, "--yes", node=world)


def test_help_in_a_session_is_text_and_knows_no_endpoint():
    text = help_of(empty)

    assert text.startswith("Usage: empty [OPTIONS]")
    assert "--yes" in text
    assert "--endpoint" not in text


def test_help_on_a_command_line_names_the_endpoint():
    context = click.Context(empty, info_name="empty")

    assert "--endpoint" in empty.get_help(context)


@pytest.mark.parametrize("made", all_verbs().values(), ids=str)
def test_each_verb_has_a_manual_a_short_line_and_a_role(made: Verb):
    assert made.help
    assert made.short_help
    assert 10 < len(made.get_short_help_str(100)) <= 90
    assert made.role in Role
    assert any(one.name == "as_json" for one in made.params) or made.name in WITHOUT_JSON


#: Verbs that show what happens, until somebody ends them.
WITHOUT_JSON: set[str] = set()


@pytest.mark.parametrize("is_live", [True, False])
def test_only_what_goes_on_until_it_is_ended_ends_well_when_somebody_ends_it(is_live):
    @verb("follow", "Follow it.", is_live=is_live)
    async def follow(_session: Session) -> None:
        """Follow it."""
        raise KeyboardInterrupt

    if is_live:
        assert follow.main([], standalone_mode=False) == 0
    else:
        with pytest.raises(click.Abort):
            follow.main([], standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "http://one:8000"),
        (["--endpoint", "http://two:8000"], "http://two:8000"),
    ],
)
def test_the_node_is_an_option_or_of_the_environment(monkeypatch, arguments, expected):
    found = []

    def at(endpoint):
        found.append(endpoint)
        raise NodeRefusedError("no")

    monkeypatch.setenv("CIRRUS_ENDPOINT", "http://one:8000")
    monkeypatch.setattr("engine.cli.http_node.HttpNode", at)
    with pytest.raises(NodeRefusedError):
        empty.main(["--yes", *arguments], standalone_mode=False)

    assert found == [expected]


async def test_no_answer_holds_what_a_terminal_obeys_for_people_or_programs():
    hostile = "gone\x1b[2J\x9b2J\x7f\u202e \U000e0041"
    terminal = FakeTerminal()
    session = Session(node(), terminal)

    await session.write_text(f"{hostile}\nnext\n")
    await session.note(f"{hostile}\nnext")
    await session.write_json({"name": hostile})
    await Session(node(), terminal, as_json=True).write_text(hostile)

    lines = (terminal.text + terminal.notes).splitlines()
    assert [line for line in lines if not line.isprintable()] == []
    assert [json.loads(line) for line in lines if line[0] in '"{'] == [{"name": hostile}, hostile]
    assert lines.count("next") == 2


@pytest.mark.real_time
async def test_a_long_table_holds_up_nobody_else_in_the_loop(monkeypatch):
    others_ran = threading.Event()

    def draw(headers, rows, **_):
        assert others_ran.wait(20)
        return f"{len(rows)} rows"

    monkeypatch.setattr(verb_module, "format_table", draw)
    terminal = FakeTerminal()
    drawing = asyncio.ensure_future(
        Session(node(), terminal).write_table(("N",), [(n,) for n in range(ROWS_AT_ONCE + 1)])
    )
    await asyncio.sleep(0)
    others_ran.set()
    await drawing

    assert terminal.text == f"{ROWS_AT_ONCE + 1} rows"
