"""Standard input and output as a terminal."""

from __future__ import annotations

import io
import sys

import click
import pytest

from engine.cli.terminal import StandardTerminal


async def test_a_pipe_has_no_width_no_colour_and_nobody_who_could_be_asked(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    terminal = StandardTerminal()

    await terminal.write("answer\n")
    await terminal.note("by the way\n")

    assert capsys.readouterr() == ("answer\n", "by the way\n")
    assert (terminal.columns, terminal.has_colour, terminal.is_interactive) == (None, False, False)


@pytest.mark.real_time
async def test_a_question_goes_beside_the_answer(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(" yes \n"))

    assert await StandardTerminal().ask("sure? ") == "yes"
    assert capsys.readouterr() == ("", "sure? ")


async def test_a_pipe_is_no_screen(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    with pytest.raises(click.UsageError, match="no terminal"):
        async with StandardTerminal().screen():
            pass
