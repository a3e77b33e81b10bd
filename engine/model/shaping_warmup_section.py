"""Warm-up schedules as one file writes them, checked.

Place in flow: ``engine.model.shaping_section`` hands in what stands under ``warmup``; what comes
out is described in ``engine.model.shaping_warmup``.

Invariants:
    * A schedule with anything wrong in it is left out as a whole: half of one could do harm. It is
      an error, so that the file is not used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

from engine.model.keyword_options import closest, whole
from engine.model.shaping_finding import FileView, KeyPath
from engine.model.shaping_option import check_path_option
from engine.model.shaping_warmup import CAPS, TOTAL_RATE, WarmupScope, WarmupSection, WarmupStep
from engine.model.throttle_spec import parse_throttle

#: The most steps of a schedule, and days that are held.
STEPS_MAX = 1000
_KEYS = ("start", "schedule", "held_days")
_whole_day = whole(1)


def parse_warmups(view: FileView, table: Mapping[str, Any]) -> Iterator[WarmupSection]:
    """Yield the schedules of one file; what is wrong is noted, and left out.

    Args:
        view: The file.
        table: What stands under ``warmup``.
    """
    for source, inner in table.items():
        path: KeyPath = ("warmup", source)
        if not isinstance(inner, Mapping):
            view.error(f"a table is expected, not {inner!r:.80}", *path)
            continue
        providers = inner.get("provider", {})
        own = {key: value for key, value in inner.items() if key != "provider"}
        if own or not providers:
            yield from _section(view, (source, None), own, path)
        if not isinstance(providers, Mapping):
            view.error(
                f"a table of providers is expected, not {providers!r:.80}", *path, "provider"
            )
            continue
        for name, one in providers.items():
            if isinstance(one, Mapping):
                yield from _section(view, (source, name), one, (*path, "provider", name))
            else:
                view.error(f"a table is expected, not {one!r:.80}", *path, "provider", name)


def _section(
    view: FileView, scope: WarmupScope, table: Mapping[str, Any], path: KeyPath
) -> Iterator[WarmupSection]:
    start: date | None = None
    steps: tuple[WarmupStep, ...] | None = ()
    held: frozenset[date] = frozenset()
    is_wrong = False
    for key, value in table.items():
        try:
            if key == "start":
                start = _date(value)
            elif key == "held_days":
                held = frozenset(_date(one) for one in _list(value))
            elif key == "schedule":
                steps = _steps(view, _list(value), (*path, key))
                is_wrong = is_wrong or steps is None
            else:
                raise ValueError(f"unknown key of a warm-up{closest(key, _KEYS)}")
        except ValueError as error:
            view.error(str(error), *path, key)
            is_wrong = True
    if not is_wrong:
        yield WarmupSection(scope, view.place(*path), path, start, steps or (), held)


def _date(value: Any) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError(f"a date like '2026-12-31' is expected, not {value!r:.80}")


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"a list that is not empty is expected, not {value!r:.80}")
    if len(value) > STEPS_MAX:
        raise ValueError(f"at most {STEPS_MAX} entries are expected, not {len(value)}")
    return value


def _steps(view: FileView, values: Iterable[Any], path: KeyPath) -> tuple[WarmupStep, ...] | None:
    """Return the steps of a schedule, None if anything is wrong with it."""
    steps: list[WarmupStep] = []
    is_wrong = False
    for index, value in enumerate(values):
        where = (*path, index)
        complaints = list(_complaints(value, steps[-1].day if steps else 0))
        for key, text in complaints:
            view.error(text, *where, *key)
        if complaints:
            is_wrong = True
            continue
        caps = {key: one for key, one in value.items() if key != "day"}
        steps.append(WarmupStep(value["day"], caps, view.place(*where)))
    return None if is_wrong else tuple(steps)


def _complaints(value: Any, day_before: int) -> Iterator[tuple[tuple[str, ...], str]]:
    if not isinstance(value, Mapping):
        yield (), f"a table like {{day = 1, ...}} is expected, not {value!r:.80}"
        return
    try:
        day = _whole_day(value.get("day"))
        if not day_before and day != 1:
            yield ("day",), f"the first step is that of day 1, not {day}"
        elif day <= day_before:
            yield ("day",), f"days rise from step to step: {day} comes behind {day_before}"
    except ValueError as error:
        yield ("day",), f"the number of a day is expected: {error}"
    for name, cap in value.items():
        complaint = "" if name == "day" else _cap_complaint(name, cap)
        if complaint:
            yield (name,), complaint


def _cap_complaint(name: str, cap: Any) -> str:
    if name not in CAPS:
        return f"nothing that can be capped{closest(name, CAPS)}; what can: {', '.join(CAPS)}"
    if name != TOTAL_RATE:
        return check_path_option(name, cap).complaint
    try:
        parse_throttle(cap)
    except ValueError as error:
        return str(error)
    return ""
