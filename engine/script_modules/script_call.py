"""The script call under way, as functions see it that scripts call: its epoch, budget and line.

Place in flow: what ``engine.script_modules`` exposes asks here; each module of a script holds its
epoch under a name that no script can spell.

Invariants:
    * The budget is that of the call under way, also for an object that outlived its epoch.
    * Outside a script, as when the engine itself calls, nothing is bounded.
"""

from __future__ import annotations

import sys
from types import FrameType

from policy.budget import Budget
from policy.epoch import EPOCH_NAME, Epoch

_UNBOUNDED_NS = 10**15
_UNBOUNDED_BYTES = 1 << 60


def _caller() -> FrameType | None:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and EPOCH_NAME not in frame.f_globals:
        frame = frame.f_back
    return frame


def caller_epoch() -> Epoch | None:
    """Return the epoch of the script that calls, None outside a script."""
    frame = _caller()
    return None if frame is None else frame.f_globals[EPOCH_NAME]


def caller_place() -> tuple[str, int]:
    """Return file and line of the script that calls."""
    frame = _caller()
    return ("", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def caller_budget() -> Budget:
    """Return the budget of the script call under way; one without bounds outside a script."""
    frame = _caller()
    if frame is not None:
        epoch: Epoch = frame.f_globals[EPOCH_NAME]
        return epoch.budget
    budget = Budget()
    budget.enter(_UNBOUNDED_NS)
    budget.max_bytes = _UNBOUNDED_BYTES
    return budget
