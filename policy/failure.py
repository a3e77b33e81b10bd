"""What to tell the operator about an exception that left a script.

Place in flow: ``script_loader`` and ``handler_call`` turn exceptions into errors with it.

Invariants:
    * An exception may be a script's own class: its text is made within a budget, and only
      from plain values.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from policy.budget import Budget
from policy.errors import BudgetSpentError

MAX_TEXT_CHARACTERS = 500
_DESCRIBE_BUDGET_NS = 5_000_000
_PLAIN = (str, int, float, bool, type(None))


def place_of(error: BaseException, files: AbstractSet[str]) -> tuple[str, int] | None:
    """Return file and line where the innermost script frame of an exception stood."""
    place = None
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if file in files:
            place = file, traceback.tb_lineno
        traceback = traceback.tb_next
    return place


def describe(error: BaseException, budget: Budget) -> str:
    """Return one line about an exception."""
    name = type(error).__name__[:100]
    if isinstance(error, BudgetSpentError):
        return str(error)
    if not all(isinstance(value, _PLAIN) for value in error.args):
        return name
    saved = budget.enter(_DESCRIBE_BUDGET_NS)
    try:
        text = " ".join(str(error)[:MAX_TEXT_CHARACTERS].split())
    except BaseException:  # noqa: BLE001 - hook call: __str__ is the script's own code
        return name
    finally:
        budget.leave(saved)
    return f"{name}: {text}" if text else name
