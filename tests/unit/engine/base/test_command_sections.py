"""What the list of commands says of each, compared with the commands."""

from __future__ import annotations

import click
import pytest

from engine.base.command_line import COMMANDS_GROUP, cirrus_command
from engine.base.command_sections import OTHERS, SECTIONS, known_help, sections_of

GROUP = cirrus_command()
NAMES = GROUP.list_commands(click.Context(GROUP))


@pytest.mark.parametrize("name", NAMES)
def test_the_list_says_of_each_command_what_it_says_of_itself(name):
    command = GROUP.get_command(click.Context(GROUP), name)
    text = command.get_short_help_str(limit=200)

    assert known_help(name) == text, f"say it in command_sections ({COMMANDS_GROUP})"
    assert text.endswith(".")


def test_no_command_is_in_two_sections():
    names = [name for section in SECTIONS.values() for name in section]
    assert len(names) == len(set(names))


def test_names_stand_in_their_sections_and_strangers_at_the_end():
    assert sections_of(["zeta", "run", "alpha", "why", "status"]) == [
        ("Programs", ["run"]),
        ("Look", ["status", "why"]),
        (OTHERS, ["alpha", "zeta"]),
    ]
    assert known_help("alpha") is None
