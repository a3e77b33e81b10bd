"""What the calls of one handler came to: how many, what they took, how they failed.

Place in flow: ``runtime`` makes one for each handler of an epoch, ``handler_call`` and
``native_call`` count into it; whoever shows the policy to operators reads it.

Invariants:
    * To count costs next to nothing: reading the thread's CPU time is a call of the system, so only
      the first calls and then one in ``EVERY`` are measured, and stand for those between. Those of
      an ``async def`` handler are all measured: what they need for it is read anyway.
    * A call that runs for long is measured always: the longest is the longest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from policy.breaker import Breaker
from policy.errors import HookFailedError
from policy.hook_registry import Handler

#: So many calls at the beginning are measured one by one.
FIRST = 16
#: Afterwards each of these; a prime, so that it keeps no step with what alternates.
EVERY = 61


class SeenFailure(NamedTuple):
    """A failure of a handler, and when it was."""

    at_mono: float
    file: str
    line: int | None
    message: str


class HandlerTally:
    """The tally of one handler of one epoch.

    Attributes:
        handler: Whose.
        breaker: What keeps it from being run; None for code of the program.
        mono: Monotonic time.
        left: Calls until the next that is measured; whoever calls counts it down.
        cpu_ns: CPU time of all calls, nanoseconds; unmeasured ones are taken to be like those that
            were measured.
        longest_ns: CPU time of the longest call, nanoseconds.
        waited_s: What calls waited for something outside, seconds.
        longest_wait_s: The most that one waited, seconds.
        under_way: Calls that wait now; whoever calls counts them.
        errors: Calls that failed, overruns among them.
        overruns: Calls that took more than they may, of CPU or of waiting.
        turned_away: Calls that were not made, because the breaker was open.
        last_error: The last failure.
    """

    __slots__ = (
        "_planned",
        "_weight",
        "breaker",
        "cpu_ns",
        "errors",
        "handler",
        "last_error",
        "left",
        "longest_ns",
        "longest_wait_s",
        "mono",
        "overruns",
        "turned_away",
        "under_way",
        "waited_s",
    )

    def __init__(
        self, handler: Handler, breaker: Breaker | None, mono: Callable[[], float]
    ) -> None:
        """Count for a handler, dating failures by monotonic time."""
        self.handler = handler
        self.breaker = breaker
        self.mono = mono
        self.left = self._weight = self._planned = 1
        self.cpu_ns = 0
        self.longest_ns = 0
        self.waited_s = 0.0
        self.longest_wait_s = 0.0
        self.under_way = 0
        self.errors = 0
        self.overruns = 0
        self.turned_away = 0
        self.last_error: SeenFailure | None = None

    @property
    def calls(self) -> int:
        """Return how many calls there were."""
        return self._planned - self.left

    @property
    def mean_ns(self) -> float:
        """Return the CPU time of a call on average, nanoseconds."""
        measured = self._planned - self._weight
        return self.cpu_ns / measured if measured else 0.0

    def note(self, spent_ns: int) -> None:
        """Take the CPU time of a call, nanoseconds, and plan which is measured next."""
        self.longest_ns = max(self.longest_ns, spent_ns)
        if self.left > 0:
            # It was measured because it ran for long, not because it was its turn.
            return
        self.cpu_ns += spent_ns * self._weight
        self._weight = 1 if self._planned < FIRST else EVERY
        self._planned += self._weight
        self.left += self._weight

    def note_longest(self, spent_ns: int) -> None:
        """Take the CPU time of a call that is counted elsewhere, nanoseconds."""
        self.longest_ns = max(self.longest_ns, spent_ns)

    def end_waiting(self, began_mono: float, spent_ns: int) -> None:
        """Take what a call of an ``async def`` handler came to.

        Args:
            began_mono: When it began.
            spent_ns: Its CPU time, nanoseconds.
        """
        self.under_way -= 1
        self._planned += 1
        self.cpu_ns += spent_ns
        if spent_ns > self.longest_ns:  # noqa: PLR1730 - max() takes as long as all the rest
            self.longest_ns = spent_ns
        waited_s = self.mono() - began_mono - spent_ns / 1e9
        if waited_s > 0.0:
            self.waited_s += waited_s
            if waited_s > self.longest_wait_s:  # noqa: PLR1730
                self.longest_wait_s = waited_s

    def note_failure(self, failure: HookFailedError) -> None:
        """Count a failure."""
        self.errors += 1
        self.overruns += failure.overrun
        self.last_error = SeenFailure(self.mono(), failure.file, failure.line, failure.message)
