"""What scripts may import, exposed by the program from above.

Place in flow: a program fills one ``ScriptNamespace`` at start; ``script_loader`` builds its
modules afresh for each epoch.

Invariants:
    * A facade holds the names exposed and nothing else; scripts cannot set them, and each
      epoch has its own.
    * What waits cannot be called from a ``def`` handler, nor left without ``await``; where a
      handler is only tried, it does not begin.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Generator, Mapping
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any, TypeVar

from policy.budget import Budget, Rehearsal
from policy.errors import ConfinementError
from policy.stand_ins import MODULE_NAMES

_FROZEN: dict[type, Callable[[Any], Any]] = {
    dict: lambda value: MappingProxyType(dict(value)),
    list: tuple,
    set: frozenset,
}
PRINT_MODULE = "builtins"
_Class = TypeVar("_Class", bound=type)


class Waiting:
    """A call of something that waits: begins when it is awaited."""

    __slots__ = ("_args", "_function", "_kwargs", "_unawaited", "_what", "place")

    def __init__(
        self,
        what: str,
        call: tuple[Any, Any, Any],
        unawaited: dict[int, Any],
        *,
        depth: int = 2,
    ) -> None:
        self._what = what
        self._function, self._args, self._kwargs = call
        self._unawaited = unawaited
        frame = sys._getframe(depth)
        self.place = (frame.f_code.co_filename, frame.f_lineno)
        unawaited[id(self)] = self

    def __await__(self) -> Generator[Any, Any, Any]:
        self._unawaited.pop(id(self), None)
        if type(self._unawaited) is Rehearsal:
            return _wait_in_vain()
        awaitable: Awaitable[Any] = self._function(*self._args, **self._kwargs)
        return awaitable.__await__()

    def __repr__(self) -> str:
        return f"<{self._what}() without await>"


def _wait_in_vain() -> Generator[Any, Any, Any]:
    """Stand for what waits where a handler is only tried: it is closed here."""
    yield
    raise RuntimeError("a handler that is only tried went on")


class ScriptNamespace:
    """The names scripts may import, by module."""

    def __init__(self) -> None:
        self._names: dict[str, dict[str, tuple[Any, bool]]] = {"mta": {}}

    def expose(self, name: str, value: Any, *, module: str = "mta", waits: bool = False) -> None:
        """Offer a function, class or constant to scripts.

        Args:
            name: what scripts call it.
            value: what they get; a dict, list or set is frozen.
            module: dotted name of the module it appears in; ``builtins`` for ``print``.
            waits: whether calling it returns an awaitable that takes its time.
        """
        if name.startswith("_"):
            raise ValueError(f"{name!r} begins with an underscore: no script could use it")
        if module in MODULE_NAMES:
            raise ValueError(f"{module!r} is a stand-in for a standard module")
        parts = module.split(".")
        for depth in range(1, len(parts)):
            self._names.setdefault(".".join(parts[:depth]), {})
        _name_in_errors(value, f"{module}.{name}")
        frozen = _FROZEN.get(type(value))
        self._names.setdefault(module, {})[name] = (frozen(value) if frozen else value, waits)

    def names(self) -> Mapping[str, frozenset[str]]:
        """Return what scripts may use, by dotted name of the module; ``on`` is among it."""
        found = {module: set(self._names[module]) for module in self.module_names()}
        found["mta"].add("on")
        for module in found:
            parent, _, last = module.rpartition(".")
            if parent:
                found[parent].add(last)
        return {module: frozenset(names) for module, names in found.items()}

    def module_names(self) -> frozenset[str]:
        """Return the dotted names of the modules."""
        return frozenset(self._names) - {PRINT_MODULE}

    def printer(self) -> Callable[[str], None] | None:
        """Return what ``print`` of scripts writes to, where the program exposed it."""
        found = self._names.get(PRINT_MODULE, {}).get("print")
        return None if found is None else found[0]

    def modules(
        self,
        budget: Budget | None = None,
        extra: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Mapping[str, ModuleType]:
        """Return a facade of each module, bound to one epoch.

        Args:
            budget: of the epoch; tells whether the call under way may wait.
            extra: further names by module, such as ``on``.
        """
        budget = budget or Budget()
        facades: dict[str, ModuleType] = {}
        for module in sorted(self.module_names() | set(extra or ())):
            facade = ModuleType(module)
            for name, (value, waits) in self._names.get(module, {}).items():
                offered = _waiting(f"{module}.{name}", value, budget) if waits else value
                facade.__dict__[name] = offered
            facade.__dict__.update((extra or {}).get(module, {}))
            facades[module] = facade
            parent, _, last = module.rpartition(".")
            if parent:
                facades[parent].__dict__[last] = facade
        return MappingProxyType(facades)


def known_to_scripts(name: str) -> Callable[[_Class], _Class]:
    """Return a decorator for a class of which scripts hold objects: errors call it by this name.

    Its methods are called by theirs alone, whichever base class they are from.
    """

    def rename(kind: _Class) -> _Class:
        program = kind.__module__.partition(".")[0]
        for base in kind.__mro__:
            if base.__module__.partition(".")[0] == program:
                for attribute in vars(base).values():
                    _name_in_errors(attribute, getattr(attribute, "__name__", ""))
        kind.__name__ = kind.__qualname__ = name
        kind.__module__ = "mta"
        return kind

    return rename


def _name_in_errors(value: Any, name: str) -> None:
    """Have Python call a function by the name that scripts know it by."""
    function = getattr(value, "__func__", value)
    if isinstance(function, FunctionType):
        function.__qualname__ = name


def _waiting(what: str, function: Callable[..., Any], budget: Budget) -> Callable[..., Waiting]:
    def call(*args: Any, **kwargs: Any) -> Waiting:
        if budget.waits is None:
            raise ConfinementError(f"{what}() waits: await it, in an `async def` handler")
        return Waiting(what, (function, args, kwargs), budget.waits)

    return call
