"""Tables for people."""

from __future__ import annotations

import pytest

from engine.cli.table import (
    escape_lines,
    format_age,
    format_count,
    format_fields,
    format_table,
    printable,
)


def test_numbers_stand_under_each_other_and_lines_end_with_their_text():
    text = format_table(("NAME", "COUNT"), [("a", 5), ("longer", 1234)], right=("COUNT",))

    assert text == "NAME    COUNT\na           5\nlonger   1234\n"


def test_what_a_peer_says_cannot_move_the_cursor_or_begin_a_line():
    text = format_table(("REPLY",), [("550 \x1b[2Jgone\r\nOK",)])

    assert text == "REPLY\n550 \\x1b[2Jgone\\r\\nOK\n"
    assert printable("caf\u00e9 \u202e") == "caf\u00e9 \\u202e"


def test_markup_is_plain_text():
    assert "[bold]x[/bold] :smile:" in format_table(("A",), [("[bold]x[/bold] :smile:",)])


def test_a_narrow_terminal_folds_and_a_pipe_never_does():
    name = "queue" * 30

    assert max(map(len, format_table(("A",), [(name,)], columns=40).splitlines())) == 40
    assert name in format_table(("A",), [(name,)])
    assert name in format_fields([("name", name)])


def test_a_column_that_is_wanted_whole_is_folded_after_all_others():
    row = ("x" * 20, "word " * 20)
    text = format_table(("ID", "TEXT"), [row], columns=40, whole=("ID",))
    assert "x" * 20 in text


def test_content_keeps_its_lines_and_nothing_else_that_a_terminal_obeys():
    assert escape_lines("a\r\nb\tc\n\x1b[1m\r") == "a\nb    c\n\\x1b[1m\\r"


def test_fields_without_a_value_are_left_out():
    assert format_fields([("id", 7), ("reply", None), ("hold", "")]) == "id  7\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.9, "59s"), (61, "1m 1s"), (3600, "1h"), (11100, "3h 5m"), (200000, "2d 7h")],
)
def test_a_span_is_told_in_its_two_largest_units(seconds, text):
    assert format_age(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9999, "9999"), (12345, "12.3k"), (999_600, "1.0M"), (123_456_789, "123M")],
)
def test_a_count_takes_at_most_five_characters(number, text):
    assert format_count(number) == text
