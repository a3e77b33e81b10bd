"""``mta.log_*``: lines of scripts in the diagnostic log, as often as they may come.

Place in flow: exposed by ``all_modules``.

Invariants:
    * With ``every``, one line of a place (or key) comes in that time; the next one says how many
      were left out.
    * A line is at most ``CHARACTERS_MAX`` long; at most ``PLACES_MAX`` places are remembered.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from engine.model.duration import parse_duration
from engine.script_modules.script_call import caller_budget, caller_place
from policy.script_api import ScriptNamespace
from policy.shown_size import measure

script_log = logging.getLogger("cirrus.script")

CHARACTERS_MAX = 4096
PLACES_MAX = 4096
LEVELS = {
    "log_debug": logging.DEBUG,
    "log_info": logging.INFO,
    "log_warn": logging.WARNING,
    "log_error": logging.ERROR,
}


class ScriptLog:
    """Writes lines of scripts.

    Args:
        mono: Monotonic time in seconds.
    """

    def __init__(self, mono: Callable[[], float]) -> None:
        self._mono = mono
        # A policy may be loading in a thread.
        self._lock = threading.Lock()
        # Due time of the next line, and lines left out, by level and place.
        self._places: OrderedDict[Any, tuple[float, int]] = OrderedDict()

    def writer(self, name: str) -> Callable[..., None]:
        """Return what writes lines of one level."""
        level = LEVELS[name]

        def log(text: Any, *, every: float | str | None = None, key: str | None = None) -> None:
            if not script_log.isEnabledFor(level) and every is None:
                return
            left_out = 0
            if every is not None:
                place = caller_place() if key is None else str(key)[:200]
                with self._lock:
                    due = self._ask((level, place), parse_duration(every))
                if due is None:
                    return
                left_out = due
            budget = caller_budget()
            if type(text) is not str:
                measure(text, budget)
            line = str(text)[:CHARACTERS_MAX]
            script_log.log(level, "%s%s", line, f" ({left_out} left out)" if left_out else "")

        log.__name__ = name
        log.__doc__ = "Write a line into the diagnostic log."
        return log

    def _ask(self, place: Any, every_s: float) -> int | None:
        """Return how many lines were left out before this one, None where it is one of them."""
        due_mono, left_out = self._places.get(place, (0.0, 0))
        now_mono = self._mono()
        if place in self._places and now_mono < due_mono:
            self._places[place] = (due_mono, left_out + 1)
            return None
        self._places[place] = (now_mono + every_s, 0)
        self._places.move_to_end(place)
        if len(self._places) > PLACES_MAX:
            self._places.popitem(last=False)
        return left_out


def expose_log(namespace: ScriptNamespace, mono: Callable[[], float]) -> None:
    """Make the writers of log lines importable by scripts."""
    lines = ScriptLog(mono)
    for name in LEVELS:
        namespace.expose(name, lines.writer(name))
