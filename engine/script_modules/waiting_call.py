"""Methods of scripts' objects that wait: awaited, or an error with its line.

Place in flow: ``ScriptNamespace.expose(waits=True)`` does this for functions; the objects that
these modules hand out mark their methods here.

Invariants:
    * Called from a script, such a method returns what begins when it is awaited. In a ``def``
      handler it is an error, and so is leaving it without ``await``.
    * What an awaited call returned counts as memory of the handler.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from engine.script_modules.script_call import caller_epoch
from policy.budget import Budget
from policy.errors import ConfinementError
from policy.script_api import Waiting

#: What a value costs beside its text, octets.
_VALUE_BYTES = 56
#: Larger results are counted against the budget of the call.
_SMALL_BYTES = 256


def waiting(what: str) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., Any]]:
    """Mark a method that waits.

    Args:
        what: Its name as scripts know it, for messages.
    """

    def decorate(method: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **options: Any) -> Any:
            epoch = caller_epoch()
            if epoch is None:
                # The engine itself calls.
                return method(*args, **options)
            waits = epoch.budget.waits
            if waits is None:
                raise ConfinementError(f"{what}() waits: await it, in an `async def` handler")
            return Waiting(what, (method, args, options), waits)

        return call

    return decorate


def wait_for(what: str, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Return a call of something that waits, made by a script two frames up.

    Args:
        what: Its name as scripts know it, for messages.
        function: Begins when the script awaits.
        args: Its arguments.

    Raises:
        ConfinementError: The handler is no ``async def``.
    """
    epoch = caller_epoch()
    if epoch is None:
        return function(*args)
    waits = epoch.budget.waits
    if waits is None:
        raise ConfinementError(f"{what}() waits: await it, in an `async def` handler")
    return Waiting(what, (function, args, {}), waits, depth=3)


def account_result(budget: Budget, result: Any) -> Any:
    """Return what came from outside, counted as memory of the call under way.

    Raises:
        LimitExceededError: It is larger than a script may have at once.
    """
    budget.account_text(measure_plain(result))
    return result


def measure_plain(value: Any) -> int:
    """Return about how much memory a plain value takes, in octets."""
    size = 0
    rest = [value]
    while rest:
        item = rest.pop()
        size += _VALUE_BYTES
        if isinstance(item, str | bytes):
            size += len(item)
        elif isinstance(item, dict):
            rest += item.keys()
            rest += item.values()
        elif isinstance(item, list | tuple | set):
            rest += item
    return size
