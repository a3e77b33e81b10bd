"""Lines of styled text that fit a screen: cut and padded by what a terminal shows of them.

Place in flow: ``engine.cli.top_view`` makes its pictures of them; a ``Screen`` gets them as text.

Invariants:
    * No line is wider than it was asked to be, also with wide and with combining characters.
    * Whatever text is put in, nothing of it is obeyed by a terminal.
    * Styles only stress what the text says already.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from engine.cli.table import printable

#: Characters for each cell of a line: more are marks without a width, piled upon each other.
_MARKS_MAX = 4
_CUT = "…"


class Style(enum.StrEnum):
    """How text stands out: parameters of the control sequence."""

    PLAIN = ""
    HEAD = "1"
    FAINT = "2"
    GOOD = "32"
    WARN = "33"
    BAD = "1;31"
    BAR = "7"


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: What stands above it.
        width: How wide it is, cells; 0 to share what the others leave.
        is_number: Whether it is aligned to the right.
        from_columns: The narrowest screen that has it.
    """

    title: str
    width: int = 0
    is_number: bool = False
    from_columns: int = 0


def fit_text(value: object, columns: int, *, is_right: bool = False) -> str:
    """Return a value as text of exactly so many cells; what is cut ends with an ellipsis."""
    if columns <= 0:
        return ""
    text = printable(value)
    if not text.isascii():
        text = text[: columns * _MARKS_MAX]
    width = cell_len(text)
    if width > columns:
        return set_cell_size(text, columns - 1) + _CUT
    blanks = " " * (columns - width)
    return blanks + text if is_right else text + blanks


def fit_line(line: Line, columns: int) -> Line:
    """Return a line no wider than that."""
    fitted: list[Span] = []
    left = columns
    for text, style in line:
        shown = printable(text)
        if not shown.isascii():
            shown = shown[: columns * _MARKS_MAX]
        width = cell_len(shown)
        if width > left:
            if left:
                fitted.append(Span(fit_text(shown, left), style))
            break
        fitted.append(Span(shown, style))
        left -= width
    return tuple(fitted)


def spread(left: Line, right: Line, columns: int) -> Line:
    """Return a line with something at both ends; what is at the right goes where it has no room."""
    room = columns - width_of(left) - width_of(right)
    if room < 1:
        return fit_line(left, columns)
    return (*left, Span(" " * room), *right)


def width_of(line: Line) -> int:
    """Return how many cells a line takes."""
    return sum(cell_len(printable(span.text)) for span in line)


def write_line(line: Line, columns: int, *, has_colour: bool) -> str:
    """Return a line as text for a screen that wide; nothing blank is at its end."""
    fitted = fit_line(line, columns)
    if not has_colour:
        return "".join(span.text for span in fitted).rstrip()
    return "".join(
        f"\x1b[{span.style}m{span.text}\x1b[0m" if span.style else span.text for span in fitted
    )


def lay_out(
    wanted: Sequence[Column],
    rows: Iterable[Sequence[object]],
    columns: int,
    styles: Sequence[Style] = (),
) -> tuple[Line, list[Line]]:
    """Return the line of titles, and a line for each row.

    Args:
        wanted: The columns.
        rows: A cell for each of the columns; None is shown as nothing.
        columns: How wide the screen is.
        styles: The style of each row; plain where there is none.
    """
    places = [place for place, one in enumerate(wanted) if columns >= one.from_columns]
    fixed = sum(wanted[place].width for place in places) + len(places) - 1
    sharing = [place for place in places if not wanted[place].width]
    room = max(0, columns - fixed)
    widths = {place: wanted[place].width for place in places}
    for number, place in enumerate(sharing):
        widths[place] = (room * (number + 1)) // len(sharing) - (room * number) // len(sharing)

    def line(cells: Sequence[object], style: Style) -> Line:
        texts = [
            fit_text(
                "" if cells[place] is None else cells[place],
                widths[place],
                is_right=wanted[place].is_number,
            )
            for place in places
        ]
        return fit_line((Span(" ".join(texts), style),), columns)

    head = line([one.title for one in wanted], Style.HEAD)
    body = [
        line(cells, styles[number] if number < len(styles) else Style.PLAIN)
        for number, cells in enumerate(rows)
    ]
    return head, body
