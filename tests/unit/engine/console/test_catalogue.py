"""The verbs of the console."""

from __future__ import annotations

import click

from engine.cli.catalogue import all_verbs
from engine.console.catalogue import ALIASES, console_group, console_verbs
from engine.model.role import Role
from tests.unit.engine.console.test_line import run


def test_a_role_sees_what_it_may_and_an_admin_sees_all():
    viewer, admin = console_verbs(Role.VIEWER), console_verbs(Role.ADMIN)

    assert "queues" in viewer
    assert "bounce" not in viewer
    assert set(all_verbs()) - set(admin) <= {"completion"}
    assert set(viewer) < set(admin)


def test_words_that_mean_a_verb_are_offered_word_by_word():
    group = console_group({**console_verbs(), "decisions": console_verbs()["queues"]})

    assert group.commands["quit"] is group.commands["exit"]
    inner = group.commands["tsa"]
    assert isinstance(inner, click.Group)
    assert "decisions" in inner.commands
    assert all(isinstance(words, tuple) and 1 <= len(words) <= 2 for words in ALIASES)


async def test_help_lists_what_one_may_and_shows_manuals(tmp_path):
    _, everything = await run(tmp_path, "help")
    _, one = await run(tmp_path, "help suspend")
    status, none = await run(tmp_path, "help nothing")

    assert "suspend-list" in everything.text
    assert one.text.startswith("Usage: suspend")
    assert (status, none.notes) == (2, "cirrus: there is no 'nothing' here\n")


async def test_who_one_is_can_be_asked(tmp_path):
    _, channel = await run(tmp_path, "whoami")

    assert channel.text.split() == ["name", "ann", "role", "operator", "origin", "192.0.2.1"]
