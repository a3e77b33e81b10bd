"""Tables and lines for people, whatever the world put into names and replies.

Place in flow: verbs make their text with it.

Invariants:
    * What a peer or a sender chose is shown as plain text: nothing in it can move the cursor of an
      operator, colour a line or begin a new one.
    * On a pipe nothing is folded or cut, so that other programs can read it.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Collection, Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: As wide as text on a pipe may become.
_ENDLESS = 100_000
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def printable(value: object) -> str:
    """Return a value as text in which a terminal finds nothing to obey."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")


def format_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    columns: int | None = None,
    right: Collection[str] = (),
    whole: Collection[str] = (),
    has_colour: bool = False,
) -> str:
    """Return rows under their headers, each line with its end.

    Args:
        headers: The names of the columns.
        rows: Their cells; None is shown as nothing.
        columns: How wide the text may be; None for as wide as it is.
        right: Names of columns of numbers.
        whole: Names of columns that are not folded while others can be.
        has_colour: Whether headers are emphasised.
    """
    table = Table(box=None, pad_edge=False, header_style="bold" if has_colour else "")
    for name in headers:
        is_number = name in right
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=is_number or columns is None or name in whole,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text("" if cell is None else printable(cell)) for cell in row))
    return _render(table, columns, has_colour=has_colour)


def format_fields(fields: Iterable[tuple[str, object]], columns: int | None = None) -> str:
    """Return names and values, one a line; what is None or empty is left out."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", no_wrap=columns is None)
    for name, value in fields:
        if value not in (None, "", [], {}):
            table.add_row(name, Text(printable(value)))
    return _render(table, columns, has_colour=False)


def _render(table: Table, columns: int | None, *, has_colour: bool) -> str:
    out = io.StringIO()
    Console(
        file=out,
        width=columns or _ENDLESS,
        force_terminal=has_colour,
        color_system="standard" if has_colour else None,
        highlight=False,
        emoji=False,
        markup=False,
    ).print(table)
    # Cells are padded to the width of their column; nobody wants that at the end of a line.
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def escape_lines(text: str) -> str:
    """Return text of several lines in which a terminal finds nothing to obey but their ends."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(printable(line.replace("\t", "    ")) for line in lines)


def harmless_json(text: str) -> str:
    """Return JSON that means the same, and in which a terminal finds nothing to obey.

    JSON itself escapes only what is before the space: not DEL, not the second set of control
    characters, of which one begins commands of terminals, and no direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def format_age(seconds: float) -> str:
    """Return a span in its two largest units, such as ``3h 5m``."""
    left = max(0, math.floor(seconds))
    parts = []
    for size, unit in _UNITS:
        if left >= size:
            parts.append(f"{left // size}{unit}")
            left %= size
        if len(parts) == 2:
            return " ".join(parts)
    if left or not parts:
        parts.append(f"{left}s")
    return " ".join(parts[:2])


def format_count(number: float) -> str:
    """Return a count in at most five characters, such as ``12.3k``."""
    if number < 10_000:
        return f"{number:.0f}"
    for unit in ("k", "M", "G"):
        number /= 1000
        if number < 999.5 or unit == "G":
            return f"{number:.1f}{unit}" if number < 100 else f"{number:.0f}{unit}"
    raise AssertionError(number)
