"""What a person sees on a terminal: the library's screen, and the second one of live views."""

from __future__ import annotations

import copy
from typing import Any

import pyte

#: The private mode by which a program takes the second screen, and gives it back.
SECOND_SCREEN = 1049


class SeenScreen(pyte.HistoryScreen):
    """A terminal's screen.

    Attributes:
        is_second: Whether a program has the second screen.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.is_second = False
        self._first: tuple[Any, Any] | None = None
        super().__init__(columns, rows, history=2000)

    def set_mode(self, *modes: int, **options: Any) -> None:
        if options.get("private") and SECOND_SCREEN in modes:
            self._first = copy.deepcopy(self.buffer), copy.copy(self.cursor)
            self.is_second = True
            self.erase_in_display(2)
        super().set_mode(*modes, **options)

    def reset_mode(self, *modes: int, **options: Any) -> None:
        super().reset_mode(*modes, **options)
        if options.get("private") and SECOND_SCREEN in modes and self._first is not None:
            self.buffer, self.cursor = self._first
            self._first = None
            self.is_second = False
            self.dirty.update(range(self.lines))
