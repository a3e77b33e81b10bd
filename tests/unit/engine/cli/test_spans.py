"""Lines that fit a screen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from engine.cli.spans import Column, Span, Style, fit_line, fit_text, lay_out, spread, write_line

HOSTILE = [
    "\x1b[2J\x1b]0;title\x07",
    "line\nbreak\r\ttab",
    "\u202eright to left",
    "zero\u200dwidth",
    "\x9b31m",
    "\ud800",
]


@pytest.mark.parametrize(
    ("value", "columns", "shown"),
    [
        ("short", 8, "short   "),
        ("exactly", 7, "exactly"),
        ("much too long", 8, "much to…"),
        ("日本語", 6, "日本語"),
        ("日本語の件", 6, "日本 …"),
        ("x", 0, ""),
        (12, 4, "12  "),
    ],
)
def test_text_takes_exactly_its_cells(value, columns, shown):
    assert fit_text(value, columns) == shown


def test_numbers_stand_at_the_right():
    assert fit_text(12, 4, is_right=True) == "  12"


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_nothing_in_a_text_is_obeyed(text):
    assert fit_text(text, 60).isprintable()
    assert write_line((Span(text),), 60, has_colour=False).isprintable()


@given(st.text(), st.integers(1, 30))
def test_any_text_takes_exactly_its_cells(text, columns):
    shown = fit_text(text, columns)

    assert cell_len(shown) == columns
    assert shown.isprintable()


def test_marks_upon_marks_do_not_make_a_line_long():
    assert len(fit_text("a" + "\u0301" * 100_000, 20)) < 200


@given(st.lists(st.text(), max_size=4), st.integers(1, 30))
def test_a_line_is_no_wider_than_asked(texts, columns):
    fitted = fit_line(tuple(Span(text) for text in texts), columns)

    assert sum(cell_len(span.text) for span in fitted) <= columns


def test_what_is_at_the_right_goes_where_it_has_no_room():
    left, right = (Span("left"),), (Span("right"),)

    assert write_line(spread(left, right, 12), 12, has_colour=False) == "left   right"
    assert write_line(spread(left, right, 9), 9, has_colour=False) == "left"
    assert write_line(spread(left, right, 3), 3, has_colour=False) == "le…"


def test_styles_are_written_where_colours_are_wanted_only():
    line = (Span("bad", Style.BAD), Span(" news"))

    assert write_line(line, 20, has_colour=True) == "\x1b[1;31mbad\x1b[0m news"
    assert write_line(line, 20, has_colour=False) == "bad news"


COLUMNS = (
    Column("NAME"),
    Column("COUNT", 5, is_number=True),
    Column("MORE", 4, from_columns=30),
)


def shown(columns: int, rows) -> list[str]:
    head, body = lay_out(COLUMNS, rows, columns)
    return [write_line(line, columns, has_colour=False) for line in (head, *body)]


def test_a_column_without_a_width_takes_what_is_left():
    assert shown(20, [("one", 1, None), ("a very long name", 23456, None)]) == [
        "NAME           COUNT",
        "one                1",
        "a very long n… 23456",
    ]


def test_a_wide_screen_has_more_columns():
    assert shown(32, [("one", 1, "x")]) == [
        "NAME                  COUNT MORE",
        "one                       1 x",
    ]


@pytest.mark.parametrize("columns", [1, 3, 6, 7, 10])
def test_a_table_fits_also_where_it_has_no_room(columns):
    assert all(cell_len(line) <= columns for line in shown(columns, [("one", 1, "x")]))
