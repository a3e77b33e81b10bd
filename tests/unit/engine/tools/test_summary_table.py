"""Figures for people."""

from __future__ import annotations

import pytest
from rich.console import Console

from engine.tools.summary_table import printable, summary_table


def shown(*sections) -> str:
    console = Console(width=80, record=True)
    console.print(summary_table("title", sections))
    return console.export_text()


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain (text) é", "plain (text) é"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("a\nb\tc\x00", "a\ufffdb\ufffdc\ufffd"),
        ("\udcff", "\ufffd"),
        ("\u202egnitset", "\ufffdgnitset"),
    ],
)
def test_what_a_terminal_might_obey_is_replaced(text, safe):
    assert printable(text) == safe


def test_rows_are_shown_as_they_are():
    text = shown([("[bold]name[/]", "1,000")], [], [("other", "2", "red")])
    assert "│ [bold]name[/] │ 1,000 │" in text
    assert "│ other         │     2 │" in text


def test_empty_sections_leave_no_line():
    assert shown([("a", "1")], [], [], [("b", "2")]).count("├") == 1
