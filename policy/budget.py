"""CPU and memory of the script call under way, and whether it must end.

Place in flow: each epoch owns one; the checks that ``sandbox_rewrite`` inserts and the
guards call it, ``handler_call`` opens and closes it around each call.

Invariants:
    * Not shared between threads: an epoch is loaded by one thread and then called by one.
    * Once ``ending`` is set, no script code survives: handlers of exceptions raise it
      again, and the caller looks at it after the return.
    * Once a budget is spent, every check raises: a block that discards what passes through it
      gets one round, and the loop around it none, however they are nested.
    * The clock is the thread's own CPU time: a busy host does not fail good handlers.
    * Few checks read the clock while rounds are short; once something large was made, or
      rounds turned out long, each check does, so that no run of slow operations adds up.

Known limit: one operation in C is not interrupted. Guards bound what each may cost, but for
comparing and hashing, which ``guards`` names.
"""

from __future__ import annotations

import sys
from asyncio import CancelledError
from collections.abc import Callable
from itertools import chain, repeat
from operator import call
from time import thread_time_ns
from typing import Any

from policy.errors import BudgetSpentError, LimitExceededError, ScriptRefusal

TICKS_PER_CLOCK_READ = 16
# Rounds that take longer on average are checked one by one.
LONG_ROUNDS_NS = 1_000_000
# A call that takes longer is one to tell operators of.
LONG_CALL_NS = 1_000_000
MAX_CALL_BYTES = 128 * 1024 * 1024
MAX_LOAD_BYTES = 512 * 1024 * 1024
MAX_ITEMS = 1_000_000
MAX_TEXT_BYTES = 16 * 1024 * 1024
# Below this, an object is not worth reading the clock; below the second, not even counting.
LARGE_ITEMS = 4_096
SMALL_ITEMS = 256
# After something this large, the next operations on it may be slow.
DENSE_BYTES = 65_536
# CPU time of script code that runs between calls.
OUTSIDE_NS = 50_000_000
# An operation expected to cost less is not asked for in advance.
CHEAP_NS = 500_000

_ENDINGS = (ScriptRefusal, BudgetSpentError, CancelledError)

Waits = dict[int, Any]


class Rehearsal(dict[int, Any]):
    """The calls of a handler that is only tried: what waits is not begun."""


Saved = tuple[int, int, BaseException | None, int, BaseException | None, Waits | None, int]


class Budget:
    """What the current call may still use."""

    __slots__ = (
        "_is_dense",
        "_is_over",
        "_read_ns",
        "_stops",
        "allocated_bytes",
        "budget_ns",
        "deadline_ns",
        "depth",
        "ending",
        "is_long",
        "max_bytes",
        "outer",
        "tick",
        "waits",
    )

    def __init__(self) -> None:
        self.budget_ns = 50_000_000
        self.deadline_ns = -2 * OUTSIDE_NS
        self.depth = 0
        self.ending: BaseException | None = None
        self.allocated_bytes = 0
        self.max_bytes = MAX_CALL_BYTES
        self.outer: BaseException | None = None
        # Calls not awaited yet, where the call under way may wait at all.
        self.waits: Waits | None = None
        self._is_dense = False
        self._is_over = False
        # Whether a call took longer than ``LONG_CALL_NS``; taken back by whoever looks.
        self.is_long = False
        self._read_ns = 0
        # A check is one call into C, except each 16th. ``map`` survives an exception of
        # what it calls, so the ticker goes on after a spent budget.
        self._stops: list[Callable[[], object]] = [bool] * TICKS_PER_CLOCK_READ
        self._stops[-1] = self.check
        rounds = chain.from_iterable(repeat(self._stops))
        self.tick: Callable[[], object] = map(call, rounds).__next__

    def enter(self, budget_ns: int, waits: Waits | None = None) -> Saved:
        """Begin a call and return what ``leave`` needs to resume an outer one."""
        saved = (
            self.budget_ns,
            self.deadline_ns,
            self.ending,
            self.allocated_bytes,
            self.outer,
            self.waits,
            self.max_bytes,
        )
        self.depth += 1
        if self._is_over:
            self._check_seldom()
        self.budget_ns = budget_ns
        self._read_ns = now_ns = thread_time_ns()
        self.deadline_ns = now_ns + budget_ns
        self.ending = None
        self.allocated_bytes = 0
        self.outer = sys.exception()
        self.waits = waits
        return saved

    def leave(self, saved: Saved) -> None:
        """End a call."""
        self.depth -= 1
        if self._is_dense or self._is_over:
            self._check_seldom()
        (
            self.budget_ns,
            self.deadline_ns,
            self.ending,
            self.allocated_bytes,
            self.outer,
            self.waits,
            self.max_bytes,
        ) = saved
        if isinstance(self.ending, BudgetSpentError):
            self._end()

    def _check_seldom(self) -> None:
        self._is_dense = self._is_over = False
        self._stops[:] = [bool] * TICKS_PER_CLOCK_READ
        self._stops[-1] = self.check

    def _end(self) -> None:
        """Let nothing go on: not a round of a loop, not a call of a function of the script."""
        self._is_over = True
        self._stops[:] = [self._refuse] * TICKS_PER_CLOCK_READ

    def _refuse(self) -> None:
        spent = isinstance(self.ending, BudgetSpentError)
        raise BudgetSpentError(str(self.ending) if spent else "ran on after it had ended")

    def check(self) -> None:
        """Read the clock.

        Raises:
            BudgetSpentError: the call has used its CPU time or memory.
        """
        now_ns = thread_time_ns()
        if self.allocated_bytes > self.max_bytes:
            self._spend(f"took more than {self.max_bytes >> 20} MiB of memory")
        if now_ns > self.deadline_ns:
            if self.depth:
                self._spend(f"used more than its {self.budget_ns / 1e6:.0f} ms of CPU")
            self._check_outside(now_ns)
        if now_ns - self._read_ns > LONG_ROUNDS_NS and not self._is_dense:
            self._watch_closely()
        if now_ns - self.deadline_ns + self.budget_ns > LONG_CALL_NS:
            self.is_long = True
        self._read_ns = now_ns

    def _check_outside(self, now_ns: int) -> None:
        """Bound code that the collector runs between calls, such as ``finally`` of a generator."""
        if now_ns - self.deadline_ns <= OUTSIDE_NS:
            raise BudgetSpentError("ran on after its call had ended")
        self.deadline_ns = now_ns + OUTSIDE_NS

    def _watch_closely(self) -> None:
        if self.depth and not self._is_over:
            self._is_dense = True
            self._stops[:] = [self.check] * TICKS_PER_CLOCK_READ

    def left_ns(self) -> int:
        """Return the CPU time left, for a call that pauses here."""
        return self.deadline_ns - thread_time_ns()

    def spent_ns(self) -> int:
        """Return the CPU time that the call under way has taken."""
        return thread_time_ns() - self.deadline_ns + self.budget_ns

    def afford(self, cost_ns: int) -> None:
        """Refuse an operation in C that is expected to take longer than what is left.

        Raises:
            BudgetSpentError: there is not that much time left.
        """
        if cost_ns > CHEAP_NS:
            self.check()
            if cost_ns > self.left_ns():
                self._spend(f"would use more than its {self.budget_ns / 1e6:.0f} ms of CPU")

    def account(self, size_bytes: int) -> None:
        """Count memory about to be taken, and read the clock.

        Raises:
            BudgetSpentError: the call has used its CPU time or memory.
        """
        self.allocated_bytes += size_bytes
        if size_bytes >= DENSE_BYTES and not self._is_dense:
            self._watch_closely()
        self.check()

    def account_text(self, size_bytes: int) -> None:
        """Count a string about to be made; refuse an outsized one."""
        if size_bytes >= LARGE_ITEMS:
            if size_bytes > MAX_TEXT_BYTES:
                raise LimitExceededError(
                    f"a string of {size_bytes} bytes is more than the {MAX_TEXT_BYTES} allowed"
                )
            self.account(size_bytes)
        elif size_bytes >= SMALL_ITEMS:
            self.allocated_bytes += size_bytes

    def account_items(self, count: int) -> None:
        """Count a collection about to be made or walked; refuse an outsized one."""
        if count >= LARGE_ITEMS:
            if count > MAX_ITEMS:
                raise LimitExceededError(
                    f"a collection of {count} items is more than the {MAX_ITEMS} allowed"
                )
            self.account(count * 8)
        elif count >= SMALL_ITEMS:
            self.allocated_bytes += count * 8

    def caught(self) -> None:
        """Stand first in each ``except`` block: raise again what no script may catch."""
        if self.ending is not None:
            raise self.ending
        error = sys.exception()
        if isinstance(error, _ENDINGS) and error is not self.outer:
            self.ending = error
            raise error

    def passing(self) -> None:
        """Stand first in each ``finally`` block: note what passes through.

        The block itself may run once, so that a script can clean up; a block that
        discards what passed, and comes by again, is ended.
        """
        error = sys.exception()
        if error is self.outer:
            error = None
        if self.ending is not None:
            if error is not self.ending:
                raise self.ending
        elif isinstance(error, _ENDINGS):
            self.ending = error

    def swallowed(self) -> None:
        """Stand after each ``with`` block, whose manager may have swallowed an ending."""
        if self.ending is not None:
            raise self.ending

    def _spend(self, message: str) -> None:
        # Each time a new exception: ``passing`` tells a second round from the first by it.
        error = BudgetSpentError(message)
        if self.ending is None:
            self.ending = error
        self._end()
        raise error
