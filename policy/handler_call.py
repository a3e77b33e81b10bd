"""Call a handler: budget, breaker, answer checked, failure named.

Place in flow: ``runtime`` builds a runner per event of an epoch and calls it.

Invariants:
    * What leaves a runner is an answer of a declared type, a ``ScriptRefusal``, a
      cancellation, or a ``HookFailedError``; nothing else.
    * A spent budget and a refusal are looked at after the return, so a script that
      swallowed one has still failed or refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from inspect import iscoroutine
from typing import Any, NoReturn

from policy.breaker import Breaker
from policy.budget import Rehearsal
from policy.epoch import Epoch
from policy.errors import BudgetSpentError, HookFailedError, ScriptFrame, ScriptRefusal
from policy.failure import describe, place_of, trace_of
from policy.handler_tally import HandlerTally
from policy.hook_registry import Handler

Report = Callable[[str, dict[str, Any]], None]
_PASSES = (
    ScriptRefusal,
    HookFailedError,
    asyncio.CancelledError,
    GeneratorExit,
    KeyboardInterrupt,
    SystemExit,
)


class WouldWaitError(Exception):
    """An ``async def`` handler waits for something outside, and may not here."""


class Pending:
    """An answer that an ``async def`` handler still has to give."""

    __slots__ = ("_finish",)

    def __init__(self, finish: Callable[[bool], Coroutine[Any, Any, Any]]) -> None:
        """Take a function that returns the coroutine; its argument: whether waiting is timed."""
        self._finish = finish

    def finish(self, *, is_timed: bool = True) -> Coroutine[Any, Any, Any]:
        """Return the coroutine that gives the answer."""
        return self._finish(is_timed)

    def finish_nowait(self) -> Any:
        """Return the answer of a handler that never really waits; needs no event loop.

        Raises:
            WouldWaitError: It waits for something outside.
            HookFailedError: It failed.
            ScriptRefusal: It refused.
        """
        coroutine = self._finish(False)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value
        coroutine.close()
        raise WouldWaitError

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._finish(True).__await__()


class HandlerCall:
    """One handler of one epoch, ready to be called."""

    def __init__(
        self,
        handler: Handler,
        epoch: Epoch,
        breaker: Breaker,
        report: Report,
        tally: HandlerTally,
    ) -> None:
        self.handler = handler
        self.tally = tally
        self._epoch = epoch
        self._budget = epoch.budget
        self._breaker = breaker
        self._report = report
        hook = handler.hook
        self._cpu_ns = int(hook.cpu_budget_s * 1e9)
        self._answers = hook.result

    def build_runner(self) -> Callable[..., Any]:
        """Return a function that runs the handler and returns its answer or a ``Pending``."""
        if self.handler.is_async:
            return lambda *args: Pending(lambda is_timed: self.run_async(args, is_timed=is_timed))
        function, budget, breaker, cpu_ns, tally = (
            self.handler.function,
            self._budget,
            self._breaker,
            self._cpu_ns,
            self.tally,
        )
        exact = frozenset(() if self.handler.hook.check else self._answers or ())
        enter, leave, check_answer, fail = (
            budget.enter,
            budget.leave,
            self._check_answer,
            self._fail,
        )

        def run(*args: Any) -> Any:
            if breaker.is_open:
                self._ask_breaker()
            saved = enter(cpu_ns)
            try:
                answer = function(*args)
                if budget.ending is not None:
                    raise budget.ending
            except BaseException as error:  # noqa: BLE001 - hook call
                fail(error, budget.spent_ns)
            finally:
                tally.left = left = tally.left - 1
                if left <= 0 or budget.is_long:
                    budget.is_long = False
                    tally.note(budget.spent_ns())
                leave(saved)
            if breaker.is_open:
                self._note_success()
            if answer is None or type(answer) in exact:
                return answer
            return check_answer(answer)

        return run

    async def run_async(self, args: tuple[Any, ...], *, is_timed: bool = True) -> Any:
        """Run an ``async def`` handler to its answer, within its waiting time if that counts."""
        if self._breaker.is_open:
            self._ask_breaker()
        waits: dict[int, Any] = {} if is_timed else Rehearsal()
        driven, tally = _Driven(self, args, waits), self.tally
        tally.under_way += 1
        began_mono = tally.mono()
        try:
            if is_timed:
                async with asyncio.timeout(self.handler.hook.wait_budget_s):
                    answer = await driven
            else:
                answer = await driven
        except BaseException as error:  # noqa: BLE001 - hook call
            self._fail(error, driven.spent_ns)
        finally:
            tally.end_waiting(began_mono, self._cpu_ns - driven.left_ns)
        if self._breaker.is_open:
            self._note_success()
        for forgotten in waits.values():
            raise self._failure(forgotten.place, f"{forgotten!r}: what waits must be awaited")
        return None if answer is None else self._check_answer(answer)

    # --- answers

    def _check_answer(self, answer: Any) -> Any:
        allowed = self._answers
        if iscoroutine(answer):
            answer.close()
            raise self._misanswer("the handler returned a coroutine; await it instead")
        if allowed is not None and not isinstance(answer, allowed):
            names = " or ".join(kind.__name__ for kind in allowed)
            got = type(answer).__name__[:100]
            raise self._misanswer(f"the handler must return {names} or None, and returned {got}")
        check = self.handler.hook.check
        if check is not None:
            try:
                check(answer)
            except (TypeError, ValueError) as error:
                raise self._misanswer(f"the answer does not fit: {error}") from None
        return answer

    def _misanswer(self, message: str) -> HookFailedError:
        failure = self._failure(None, message)
        failure.is_misanswer = True
        return failure

    # --- failures

    def _fail(self, error: BaseException, spent_ns: Callable[[], int]) -> NoReturn:
        """Raise what an exception of the handler amounts to.

        Args:
            error: what left it.
            spent_ns: returns the CPU time that the call took.
        """
        if isinstance(error, _PASSES):
            if isinstance(error, ScriptRefusal):
                # A refusal is an answer like any other.
                self._note_success()
            else:
                self._breaker.note_abandoned()
            raise error
        self.tally.note_longest(spent_ns())
        overrun = isinstance(error, BudgetSpentError)
        message = describe(error, self._budget)
        sources = self._epoch.sources
        origin = error
        if isinstance(error, TimeoutError) and place_of(error, sources.keys()) is None:
            overrun = True
            message = f"waited longer than {self.handler.hook.wait_budget_s} s"
            # Where it waited, the cancellation that the limit became has seen.
            origin = error.__cause__ or error
        failure = self._failure(
            place_of(origin, sources.keys()),
            message,
            overrun=overrun,
            trace=trace_of(origin, sources),
        )
        if overrun:
            self._report("handler_overrun", self._facts(failure))
            if self._breaker.note_overrun():
                pause_s = self._breaker.pause_s
                self._report("breaker_open", {**self._facts(failure), "pause_s": pause_s})
        else:
            self._note_success()
        raise failure from error

    def _failure(
        self,
        place: tuple[str, int] | None,
        message: str,
        *,
        overrun: bool = False,
        trace: tuple[ScriptFrame, ...] = (),
    ) -> HookFailedError:
        file, line = place or (self.handler.file, self.handler.line)
        failure = HookFailedError(
            self.handler.event,
            file=file,
            line=line,
            message=message,
            overrun=overrun,
            trace=trace,
        )
        self.tally.note_failure(failure)
        self._report("handler_failed", self._facts(failure))
        return failure

    @staticmethod
    def _facts(failure: HookFailedError) -> dict[str, Any]:
        return {
            "hook": failure.hook,
            "file": failure.file,
            "line": failure.line,
            "message": failure.message,
            "overrun": failure.overrun,
            "trace": failure.trace,
        }

    # --- asking the breaker first

    def _ask_breaker(self) -> None:
        if not self._breaker.admits():
            self.tally.turned_away += 1
            raise HookFailedError(
                self.handler.event,
                file=self.handler.file,
                line=self.handler.line,
                message="not run for a while, after overrunning again and again",
                overrun=True,
            )

    def _note_success(self) -> None:
        if self._breaker.note_success():
            facts = {
                "hook": self.handler.event,
                "file": self.handler.file,
                "line": self.handler.line,
            }
            self._report("breaker_closed", facts)


class _Driven:
    """Awaits a handler's coroutine, with the call's budget open while it runs."""

    __slots__ = ("_args", "_call", "_waits", "left_ns")

    def __init__(self, call: HandlerCall, args: tuple[Any, ...], waits: dict[int, Any]) -> None:
        self._call = call
        self._args = args
        self._waits = waits
        self.left_ns = call._cpu_ns

    def spent_ns(self) -> int:
        """Return the CPU time that the call has taken so far."""
        return self._call._cpu_ns - self.left_ns

    def __await__(self) -> Generator[Any, Any, Any]:
        call = self._call
        coroutine = call.handler.function(*self._args)
        step: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
        left_ns, ending, allocated_bytes = call._cpu_ns, None, 0
        try:
            while True:
                budget = call._budget
                saved = budget.enter(left_ns, self._waits)
                budget.ending = ending
                budget.allocated_bytes = allocated_bytes
                budget.budget_ns = call._cpu_ns
                try:
                    waits_for = step()
                except StopIteration as stop:
                    if budget.ending is not None:
                        raise budget.ending from None
                    return stop.value
                finally:
                    ending = budget.ending
                    allocated_bytes = budget.allocated_bytes
                    self.left_ns = budget.left_ns()
                    left_ns = max(1, self.left_ns)
                    budget.leave(saved)
                if ending is not None:
                    # Cleaning up may not wait again: its time is over.
                    raise ending
                try:
                    sent = yield waits_for
                    step = _bind(coroutine.send, sent)
                except BaseException as error:  # noqa: BLE001 - hook call: passed on into it
                    step = _bind(coroutine.throw, error)
        finally:
            self._close(coroutine, left_ns)

    def _close(self, coroutine: Coroutine[Any, Any, Any], left_ns: int) -> None:
        """Unwind what a handler leaves behind: its ``finally`` blocks are still its own code."""
        budget = self._call._budget
        saved = budget.enter(left_ns)
        try:
            coroutine.close()
        except BaseException:  # noqa: S110, BLE001 - hook call: it has already failed
            pass
        finally:
            budget.leave(saved)


def _bind(function: Callable[[Any], Any], value: Any) -> Callable[[], Any]:
    return lambda: function(value)
