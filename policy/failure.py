"""What to tell the operator about an exception that left a script.

Place in flow: ``script_loader`` and ``handler_call`` turn exceptions into errors with it.

Invariants:
    * Only lines of scripts are shown, never those of the engine, and as they were when they were
      loaded: the file may have been edited since.
    * An exception may be a script's own class: its text is made within a budget, and only
      from plain values.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import ModuleType, TracebackType

from policy.budget import Budget
from policy.errors import BudgetSpentError, ScriptFrame

MAX_TEXT_CHARACTERS = 500
MAX_LINE_CHARACTERS = 200
#: Of a deep recursion the first and the last of these are shown.
MAX_FRAMES = 12
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


def trace_of(error: BaseException, sources: Mapping[str, bytes]) -> tuple[ScriptFrame, ...]:
    """Return the script frames that an exception passed through, the outermost first.

    Args:
        error: The exception.
        sources: The text of each script, by file name.
    """
    frames: list[ScriptFrame] = []
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        source = sources.get(code.co_filename)
        if source is not None:
            line = traceback.tb_lineno
            text = line_of(source, line)
            frames.append(ScriptFrame(code.co_filename, line, code.co_qualname, text))
            if len(frames) > MAX_FRAMES:
                # The outermost half stays, of the rest always the last.
                del frames[MAX_FRAMES // 2]
        traceback = traceback.tb_next
    return tuple(frames)


def line_of(source: bytes, line: int) -> str:
    """Return a line of a script without its indentation; empty where there is none."""
    lines = source.splitlines()
    if not 0 < line <= len(lines):
        return ""
    text = lines[line - 1].decode("utf-8", "replace").strip()
    return text if len(text) <= MAX_LINE_CHARACTERS else text[:MAX_LINE_CHARACTERS] + "..."


def describe(error: BaseException, budget: Budget) -> str:
    """Return one line about an exception."""
    name = type(error).__name__[:100]
    if isinstance(error, BudgetSpentError):
        return str(error)
    if not all(isinstance(value, _PLAIN) for value in error.args):
        return name
    saved = budget.enter(_DESCRIBE_BUDGET_NS)
    try:
        text = " ".join(str(error)[:MAX_TEXT_CHARACTERS].split()) + _hint(error)
    except BaseException:  # noqa: BLE001 - hook call: __str__ is the script's own code
        return name
    finally:
        budget.leave(saved)
    return f"{name}: {text}" if text else name


def _hint(error: BaseException) -> str:
    """Return which attribute was meant, where one that is there has nearly the same name."""
    if type(error) is not AttributeError or type(error.name) is not str:
        return ""
    owner, name = error.obj, error.name
    kind = type(owner)
    if owner is None or getattr(kind, "__script_class__", False) is True:
        return ""
    # What a class of a script says of itself is its own code; the others are the program's.
    names = vars(owner) if isinstance(owner, ModuleType) else dir(kind)
    offered = [one for one in names if not one.startswith("_")]
    close = difflib.get_close_matches(name[:100], offered, 1)
    return f"; did you mean {close[0]!r}?" if close else ""
