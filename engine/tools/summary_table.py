"""A table of figures for people, whatever a peer put into their names.

Place in flow: ``sink`` and ``traffic`` print one at their end.

Invariants:
    * What a peer chose (domains, texts of replies) is shown as plain text: no markup, no control
      characters, nothing a terminal cannot encode.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

#: Name, figure and the style of a row.
Row = tuple[str, str] | tuple[str, str, str]


def printable(text: str) -> str:
    """Return the text with everything a terminal might obey or choke on replaced."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def summary_table(title: str, sections: Iterable[Iterable[Row]]) -> Table:
    """Return a table with a line between its sections; empty sections are left out."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("number", justify="right")
    for section in sections:
        for name, figure, *style in section:
            table.add_row(Text(printable(name)), figure, style="".join(style) or None)
        table.add_section()
    return table
