"""What the scripts of one epoch registered, held against the declared hooks.

Place in flow: ``script_loader`` passes each ``on`` here; ``handler_call`` reads it.

Failure: an unknown event, a second handler where one is allowed and a wrong signature are
load errors with the place of the handler.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from policy.errors import PolicyLoadError
from policy.hook import Hook


@dataclass(frozen=True, slots=True)
class PolicyFinding:
    """One thing to tell the operator about a set of scripts."""

    file: str
    line: int | None
    severity: Literal["error", "warning"]
    message: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.severity}: {self.message}"


@dataclass(frozen=True, slots=True)
class Handler:
    """One registered function.

    Attributes:
        is_native: Whether it is trusted code of the program.
        is_final: Whether it answers whatever it is asked, so that none may come after it.
    """

    event: str
    hook: Hook
    function: Callable[..., Any]
    file: str
    line: int
    is_async: bool
    is_native: bool = False
    is_final: bool = False


class HookTable:
    """The declared hooks of a program, found by event name."""

    def __init__(self, hooks: Iterable[Hook]) -> None:
        self._exact: dict[str, Hook] = {}
        self._prefixes: dict[str, Hook] = {}
        for hook in hooks:
            (self._prefixes if hook.prefix else self._exact)[hook.name] = hook

    def find(self, event: str) -> Hook | None:
        """Return the hook an event name belongs to."""
        hook = self._exact.get(event) or self._prefixes.get(event)
        if hook is not None:
            return hook
        for name, prefixed in self._prefixes.items():
            if event.startswith(name + "_"):
                return prefixed
        return None

    def nearest(self, event: str) -> str | None:
        """Return the declared name most like an unknown one."""
        close = difflib.get_close_matches(event, [*self._exact, *self._prefixes], n=1)
        return close[0] if close else None


class HookRegistry:
    """The handlers of one epoch, by event."""

    def __init__(self, table: HookTable) -> None:
        self._table = table
        self._handlers: dict[str, list[Handler]] = {}

    def handlers(self) -> Mapping[str, list[Handler]]:
        """Return what was registered, in order."""
        return self._handlers

    def register(self, event: Any, function: Any, place: tuple[str, int]) -> None:
        """Take a handler.

        Args:
            event: the name the script gave.
            function: the function the script gave.
            place: file and line of the call to ``on``.

        Raises:
            PolicyLoadError: no such event, a second handler, or a wrong signature.
        """
        if not isinstance(event, str):
            raise PolicyLoadError(*place, "on() takes the name of an event")
        code = getattr(function, "__code__", None)
        if code is not None:
            place = (code.co_filename, code.co_firstlineno)
        hook = self._table.find(event)
        if hook is None:
            nearest = self._table.nearest(event)
            hint = f"; did you mean {nearest!r}?" if nearest else ""
            raise PolicyLoadError(*place, f"there is no event {event!r}{hint}")
        if not inspect.isfunction(function):
            raise PolicyLoadError(*place, f"the handler of {event!r} must be a function")
        registered = self._registered(event, hook, place)
        _check_signature(event, hook, function, place)
        is_async = inspect.iscoroutinefunction(function)
        registered.append(Handler(event, hook, function, *place, is_async))

    def register_native(
        self, event: str, function: Callable[..., Any], place: tuple[str, int], is_final: bool
    ) -> None:
        """Take a handler of trusted code.

        Args:
            event: the name of a declared event.
            function: called with its arguments; whatever it returns is an answer.
            place: file and line of the script that asked for it.
            is_final: whether it answers always, so that no handler may come after it.

        Raises:
            PolicyLoadError: a second handler where one is allowed, unless it is final, or one after
                the final one.
        """
        hook = self._table.find(event)
        if hook is None:
            raise PolicyLoadError(*place, f"there is no event {event!r} in this program")
        registered = self._registered(event, hook, place, is_final=is_final)
        registered.append(
            Handler(event, hook, function, *place, False, is_native=True, is_final=is_final)
        )

    def _registered(
        self, event: str, hook: Hook, place: tuple[str, int], *, is_final: bool = False
    ) -> list[Handler]:
        """Return the handlers of an event, to which one more may be added.

        One that is final answers what the only handler of a script leaves open.
        """
        registered = self._handlers.setdefault(event, [])
        if registered and registered[-1].is_final:
            last = registered[-1]
            raise PolicyLoadError(
                *place,
                f"{event!r} is always answered by what {last.file}:{last.line} sets up: this"
                " handler would never be asked; register it before",
            )
        if registered and not hook.multiple and not is_final:
            first = registered[0]
            raise PolicyLoadError(
                *place,
                f"{event!r} takes one handler, and one was registered at {first.file}:{first.line}",
            )
        return registered


def _check_signature(
    event: str, hook: Hook, function: Callable[..., Any], place: tuple[str, int]
) -> None:
    wanted = f"{event}({', '.join(hook.arguments)})"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise PolicyLoadError(*place, f"the handler of {wanted} must return, not yield")
    try:
        inspect.signature(function).bind(*hook.arguments)
    except TypeError as error:
        raise PolicyLoadError(*place, f"the handler must accept {wanted}: {error}") from None
