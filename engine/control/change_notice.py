"""Who wants to know that directives changed, told once however many changed together.

Place in flow: the registries of ``engine.control`` hold one each; a snapshot of thousands of
decisions is taken inside ``at_once``, or each of them would have all queues looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


class ChangeNotice:
    """The listeners of one registry.

    Attributes:
        on_change: Called after each change, without arguments.
    """

    __slots__ = ("_depth", "_is_due", "on_change")

    def __init__(self) -> None:
        self.on_change: list[Callable[[], None]] = []
        self._depth = 0
        self._is_due = False

    def __call__(self) -> None:
        """Tell of a change, or remember it while several are made."""
        if self._depth:
            self._is_due = True
            return
        for notify in tuple(self.on_change):
            notify()

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Tell of all changes made inside as of one."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth and self._is_due:
                self._is_due = False
                self()
