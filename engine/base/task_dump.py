"""What all tasks of a process wait for, as text for people who look for what hangs.

Place in flow: shown at ``/api/admin/task-dump``.

Invariants:
    * Tasks that wait at the same place are one entry, with their number: ten thousand sessions are
      a few lines.
    * Looking holds the loop for one slice at a time, and ends with its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

#: How long the loop is held at a time, and how long others then have it, seconds.
SLICE_S = 0.004
PAUSE_S = 0.004
#: Frames of a stack, entries, and names of one entry that are shown.
FRAMES_MAX = 12
ENTRIES_MAX = 200
NAMES_MAX = 3


async def dump_tasks(timeout_s: float, mono: Callable[[], float]) -> str:
    """Return what the tasks of this loop wait for, those with most tasks first.

    Args:
        timeout_s: How long to look.
        mono: The clock.
    """
    tasks = list(asyncio.all_tasks())
    until_mono = mono() + timeout_s
    slice_mono = mono() + SLICE_S
    found: dict[tuple[str, ...], list[str]] = {}
    seen = 0
    for task in tasks:
        if mono() >= slice_mono:
            await asyncio.sleep(PAUSE_S)
            slice_mono = mono() + SLICE_S
        if mono() >= until_mono:
            break
        if not task.done():
            found.setdefault(waits_at(task), []).append(task.get_name())
        seen += 1
    return format_dump(found, seen, len(tasks))


def waits_at(task: asyncio.Task[Any]) -> tuple[str, ...]:
    """Return where a task waits: places in code, the innermost last."""
    places: list[str] = []
    waited: Any = task.get_coro()
    while waited is not None and len(places) < FRAMES_MAX:
        frame = getattr(waited, "cr_frame", None) or getattr(waited, "gi_frame", None)
        if frame is None:
            break
        code = frame.f_code
        places.append(f"{code.co_filename}:{frame.f_lineno} {code.co_qualname}")
        waited = getattr(waited, "cr_await", None) or getattr(waited, "gi_yieldfrom", None)
    return tuple(places)


def format_dump(found: dict[tuple[str, ...], list[str]], seen: int, total: int) -> str:
    """Return the text: by place the number of tasks, some names, and the stack."""
    lines = [f"{total} tasks, {seen} looked at, waiting at {len(found)} places", ""]
    entries = sorted(found.items(), key=lambda item: -len(item[1]))
    for places, names in entries[:ENTRIES_MAX]:
        shown = ", ".join(names[:NAMES_MAX])
        more = "" if len(names) <= NAMES_MAX else ", ..."
        lines.append(f"{len(names)} x {shown}{more}")
        lines += [f"    {place}" for place in places] or ["    (running)"]
        lines.append("")
    if len(entries) > ENTRIES_MAX:
        lines.append(f"and {len(entries) - ENTRIES_MAX} other places")
    return "\n".join(lines)
