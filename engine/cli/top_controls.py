"""What a person at ``cirrus top`` looks at, and how keys change it.

Place in flow: ``engine.cli.top`` hands keys in; ``engine.cli.top_view`` shows what is chosen, and
``engine.cli.top_reader`` asks only for that.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from engine.cli.screen import CLOSED

#: Seconds between readings, to choose from.
INTERVALS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
FILTER_MAX = 100
#: Further down than any list goes; a picture bounds it to what there is.
_BOTTOM = 1 << 30
_MOVES = ("up", "down", "pgup", "pgdn", "home", "end", " ")


class View(enum.StrEnum):
    """What fills the screen, in the order of the tabulator."""

    OVERVIEW = "overview"
    QUEUES = "queues"
    READY = "ready"
    PROVIDERS = "providers"
    REASONS = "reasons"
    DECISIONS = "decisions"
    HELP = "help"


_VIEWS = tuple(View)


@dataclass(slots=True)
class Controls:
    """The choices of one person.

    Attributes:
        view: What is shown.
        interval_s: Seconds between readings; also how long a step of the graphs is.
        filter_text: Only what has it is shown.
        is_typing: Whether letters go into the filter.
        scroll: How many rows are above the screen.
        page: How many rows are on the screen.
        has_ended: Whether the person wants to leave.
    """

    view: View = View.OVERVIEW
    interval_s: float = 1.0
    filter_text: str = ""
    is_typing: bool = False
    scroll: int = 0
    page: int = 10
    has_ended: bool = False

    def press(self, key: str) -> bool:
        """Do what a key says; return whether other things must be asked for now."""
        if key in ("ctrl-c", CLOSED):
            self.has_ended = True
            return False
        before = self.view, self.filter_text
        if self.is_typing:
            self._type(key)
        else:
            self._command(key)
        if (self.view, self.filter_text) != before:
            self.scroll = 0
            return True
        # Of these a node lists as many as are looked at.
        return self.view in (View.QUEUES, View.READY) and key in _MOVES

    def _type(self, key: str) -> None:
        if key == "esc":
            self.is_typing, self.filter_text = False, ""
        elif key == "enter":
            self.is_typing = False
        elif key == "backspace":
            self.filter_text = self.filter_text[:-1]
        elif key == "ctrl-u":
            self.filter_text = ""
        elif len(key) == 1 and len(self.filter_text) < FILTER_MAX:
            self.filter_text += key
        elif key in ("tab", "shift-tab", *_MOVES):
            self._command(key)

    def _command(self, key: str) -> None:
        place = _VIEWS.index(self.view)
        if key in ("q", "Q", "esc", "ctrl-d"):
            self.has_ended = True
        elif key in ("tab", "right"):
            self.view = _VIEWS[(place + 1) % len(_VIEWS)]
        elif key in ("shift-tab", "left"):
            self.view = _VIEWS[place - 1]
        elif key in ("?", "h"):
            self.view = View.HELP
        elif len(key) == 1 and key in "1234567":
            self.view = _VIEWS[int(key) - 1]
        elif key in ("f", "/"):
            self.is_typing = True
        elif key in ("+", "="):
            self.interval_s = min(
                (one for one in INTERVALS_S if one > self.interval_s), default=self.interval_s
            )
        elif key == "-":
            self.interval_s = max(
                (one for one in INTERVALS_S if one < self.interval_s), default=self.interval_s
            )
        else:
            self._move(key)

    def _move(self, key: str) -> None:
        by = {"up": -1, "down": 1, "pgup": -self.page, "pgdn": self.page, " ": self.page}
        if key in by:
            self.scroll = max(0, self.scroll + by[key])
        elif key == "home":
            self.scroll = 0
        elif key == "end":
            self.scroll = _BOTTOM

    def fit(self, rows: int, page: int) -> None:
        """Keep within a list.

        Args:
            rows: How many rows there are.
            page: How many of them a screen shows.
        """
        self.page = max(1, page)
        self.scroll = max(0, min(self.scroll, rows - page))
