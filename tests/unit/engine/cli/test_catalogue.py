"""All verbs."""

from __future__ import annotations

import click

from engine.base.command_line import cirrus_command
from engine.cli.catalogue import all_verbs, verbs_group


def test_the_command_line_has_each_verb_of_the_console():
    command = cirrus_command()
    context = click.Context(command)

    for name, made in all_verbs().items():
        assert command.get_command(context, name) is made


def test_no_two_verbs_have_one_name():
    assert len(verbs_group().commands) == len(all_verbs())
