"""Lines of the diagnostic log that a client can cause as often as it likes, written seldom.

Place in flow: ``proxy.listener`` says through it whom it turned away and why.

Invariants:
    * One line per kind and client in ``EVERY_S``; the next one says how many were left out.
    * At most ``PLACES_MAX`` kinds and clients are remembered.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable

EVERY_S = 60.0
PLACES_MAX = 4096


class SeldomLog:
    """Writes warnings.

    Args:
        log: Where to.
        mono: Monotonic time in seconds.
    """

    def __init__(self, log: logging.Logger, mono: Callable[[], float]) -> None:
        self._log = log
        self._mono = mono
        # When the next line is due, and how many were left out since the last one.
        self._places: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def warn(self, kind: str, client: str, text: str) -> None:
        """Write a line, unless one of this kind about this client was written a moment ago."""
        place, now_mono = (kind, client), self._mono()
        due_mono, left_out = self._places.get(place, (now_mono, 0))
        if now_mono < due_mono:
            self._places[place] = (due_mono, left_out + 1)
            return
        self._places[place] = (now_mono + EVERY_S, 0)
        self._places.move_to_end(place)
        if len(self._places) > PLACES_MAX:
            self._places.popitem(last=False)
        more = f" ({left_out} more like this since the last line)" if left_out else ""
        self._log.warning("%s: %s%s", client, text, more)
