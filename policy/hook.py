"""A hook: a point where scripts act, declared by the program that fires it.

Place in flow: programs declare their hooks in one module; ``hook_registry`` holds them
against what scripts register, ``runtime`` fires them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any


class OnFailure(Enum):
    """What the program does when a handler fails. Applied by the program that fires."""

    REFUSE = "refuse"
    DEFER = "defer"
    KEEP_LAST = "keep_last"
    IGNORE = "ignore"
    FATAL = "fatal"


@dataclass(frozen=True, slots=True)
class Hook:
    """One declared hook.

    Attributes:
        name: what a script passes to ``on``.
        arguments: names of the positional arguments of each handler.
        result: types an answer may have besides None; None where answers are ignored.
        multiple: whether several handlers are asked in turn until one answers.
        on_failure: what the program does instead when a handler fails.
        cpu_budget_s: CPU seconds of one call.
        wait_budget_s: seconds an ``async def`` handler may take in all.
        doc: the reference text of the hook.
        prefix: whether ``name`` stands for all of ``name_<anything>``.
        check: looks at an answer that has the right type; raises TypeError or ValueError with what
            is wrong, where it does not fit.
    """

    name: str
    arguments: tuple[str, ...] = ()
    result: tuple[type, ...] | None = None
    multiple: bool = False
    on_failure: OnFailure = OnFailure.REFUSE
    cpu_budget_s: float = 0.05
    wait_budget_s: float = 10.0
    doc: str = ""
    prefix: bool = False
    check: Callable[[Any], None] | None = None


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What a script allows its own handlers, instead of what the hook says; None keeps that.

    Attributes:
        cpu_s: CPU seconds of one call.
        wait_s: seconds an ``async def`` handler may take in all.
    """

    cpu_s: float | None = None
    wait_s: float | None = None

    def of(self, hook: Hook) -> Hook:
        """Return the hook with these limits."""
        return replace(
            hook,
            cpu_budget_s=hook.cpu_budget_s if self.cpu_s is None else self.cpu_s,
            wait_budget_s=hook.wait_budget_s if self.wait_s is None else self.wait_s,
        )
