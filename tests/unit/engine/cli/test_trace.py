"""Sessions watched from a terminal."""

from __future__ import annotations

import json

import click
import pytest

from engine.cli.trace import CLIENT_PATH, SERVER_PATH, trace_smtp_client, trace_smtp_server
from engine.model.role import Role
from tests.fakes.operator_session import FakeNode, FakeTerminal, run_verb
from tests.unit.engine.cli.test_trace_view import SERVER_META, frame

OTHER = {**SERVER_META, "session_id": "2"}


def node(path, *frames):
    found = FakeNode()
    found.frames[path] = list(frames)
    return found


async def test_sessions_are_shown_until_the_node_ends_it():
    world = node(SERVER_PATH, frame("Connected"), frame({"Read": "NOOP\r\n"}))

    text, terminal = await run_verb(
        trace_smtp_server, "--source", "192.0.2.0/24", "--source", "::1", "--terse", node=world
    )

    assert len(text.splitlines()) == 2
    assert terminal.notes == "the node ended the trace\n"
    wanted = {"source_addr": ["192.0.2.0/24", "::1"], "terse": True}
    assert world.calls == [("WATCH", SERVER_PATH, wanted)]


async def test_every_filter_of_outgoing_sessions_reaches_the_node():
    world = node(CLIENT_PATH)
    names = (
        "mx-host domain routing-domain campaign tenant egress-pool egress-source mail-from"
        " rcpt-to ready-queue".split()
    )
    options = [part for name in names for part in (f"--{name}", name)]

    await run_verb(
        trace_smtp_client,
        *options,
        *("--source", "10.0.0.0/8", "--mx-addr", "192.0.2.1", "--mx-addr", "192.0.2.2"),
        node=world,
    )

    assert world.calls[0][2] == {
        **{name.replace("-", "_"): [name] for name in names},
        "source_addr": ["10.0.0.0/8"],
        "mx_addr": ["192.0.2.1", "192.0.2.2"],
    }


async def test_one_session_alone_ends_the_trace_with_it():
    frames = [frame("Connected"), frame("Connected", OTHER), frame("Closed"), frame("Closed")]
    text, terminal = await run_verb(
        trace_smtp_server, "--only-one", "--terse", node=node(SERVER_PATH, *frames)
    )
    assert len(text.splitlines()) == 2
    assert terminal.notes == ""


async def test_a_program_gets_the_frames_that_would_be_shown():
    frames = [frame({"Read": "NOOP"}), frame("Connected", OTHER)]
    text, _ = await run_verb(
        trace_smtp_server, "--only-new", "--json", node=node(SERVER_PATH, *frames)
    )
    assert [json.loads(line) for line in text.splitlines()] == [frames[1]]


@pytest.mark.parametrize(
    ("color", "is_terminal", "is_coloured"),
    [("tty", True, True), ("tty", False, False), ("yes", False, True), ("no", True, False)],
)
async def test_colour_is_a_matter_of_the_terminal_or_of_choice(color, is_terminal, is_coloured):
    terminal = FakeTerminal()
    terminal.has_colour = is_terminal
    await run_verb(
        trace_smtp_server,
        "--color",
        color,
        node=node(SERVER_PATH, frame("Connected")),
        terminal=terminal,
    )
    assert ("\x1b[" in terminal.text) is is_coloured


async def test_another_colour_is_wrong_usage():
    with pytest.raises(click.UsageError):
        await run_verb(trace_smtp_server, "--color", "blue")


def test_sessions_show_mail_and_are_for_operators():
    for made in (trace_smtp_server, trace_smtp_client):
        assert (made.role, made.is_live) == (Role.OPERATOR, True)
