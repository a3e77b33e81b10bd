"""Call trusted code of the program as if it were a handler: its failure named, no budget.

Place in flow: ``runtime`` builds runners for what was registered through ``native_hooks``, and
calls what stands where a script may put a function of its own.

Invariants:
    * What leaves is an answer, a ``ScriptRefusal``, a cancellation or a ``HookFailedError``: the
      failure rule of the hook is that of a script's handler. There is no budget and no breaker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import thread_time_ns
from typing import Any, NoReturn

from policy.errors import HookFailedError, ScriptRefusal
from policy.handler_call import Pending, Report
from policy.handler_tally import HandlerTally
from policy.hook_registry import Handler

_PASSES = (ScriptRefusal, HookFailedError)
_TEXT_MAX = 500
#: How long a native function may take, seconds.
WAIT_S = 60.0


class NativeFunction:
    """A trusted function where a script may put one of its own, such as a sender.

    Args:
        name: What it is called in names of ready queues; different functions need different names.
        function: Returns an awaitable of the answer.
        place: File and line of the script that asked for it.
        wait_s: How long it may take, seconds.
    """

    __slots__ = ("__name__", "_function", "_place", "_wait_s")

    def __init__(
        self,
        name: str,
        function: Callable[..., Awaitable[Any]],
        place: tuple[str, int],
        wait_s: float = WAIT_S,
    ) -> None:
        self.__name__ = name
        self._function = function
        self._place = place
        self._wait_s = wait_s

    def __call__(self, *_args: Any) -> NoReturn:
        """Refuse: the runtime calls it, with its failures named."""
        raise TypeError(f"{self.__name__} is not for scripts to call")

    def call(self, args: tuple[Any, ...], report: Report) -> Pending:
        """Return the answer that is still to be given."""

        async def finish(_is_timed: bool) -> Any:
            try:
                async with asyncio.timeout(self._wait_s):
                    return await self._function(*args)
            except _PASSES:
                raise
            except Exception as error:  # boundary: hook call
                raise failure_of(error, self.__name__, self._place, report) from error

        return Pending(finish)


def native_runner(handler: Handler, report: Report, tally: HandlerTally) -> Callable[..., Any]:
    """Return a function that runs a handler of trusted code and returns its answer."""
    function, place = handler.function, (handler.file, handler.line)

    def run(*args: Any) -> Any:
        tally.left -= 1
        began_ns = thread_time_ns() if tally.left <= 0 else 0
        try:
            return function(*args)
        except _PASSES:
            raise
        except Exception as error:  # boundary: hook call
            failure = failure_of(error, handler.event, place, report)
            tally.note_failure(failure)
            raise failure from error
        finally:
            if began_ns:
                tally.note(thread_time_ns() - began_ns)

    return run


def failure_of(
    error: Exception, hook: str, place: tuple[str, int], report: Report
) -> HookFailedError:
    """Return what an exception of trusted code amounts to, reported."""
    text = " ".join(str(error)[:_TEXT_MAX].split())
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    facts = {"hook": hook, "file": place[0], "line": place[1], "message": message}
    report("handler_failed", {**facts, "overrun": False})
    return HookFailedError(hook, file=place[0], line=place[1], message=message)
