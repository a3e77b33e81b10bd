"""Guards: what confined code calls instead of an operator, an attribute or a builtin.

Place in flow: ``script_loader`` builds one set per epoch and gives it to each script as its
globals and builtins; ``sandbox_rewrite`` put the calls in.

Invariants:
    * Endless and outsized iterators cannot be had: each source of one counts its items, so
      whatever consumes them in C (``in``, stars, ``sum``, ``list``, ``join``) ends.
    * Nothing a guard returns is larger than ``budget.MAX_TEXT_BYTES`` or ``MAX_ITEMS``.
    * A guard never returns the thing it guards.

Known limits: a nested value of exponential size is counted when shown or formatted, not when
hashed, compared, or shown by ``str`` under another name; nor are comparisons of many long
texts, or of keys made to collide, in one call of C.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from types import CoroutineType, FunctionType, ModuleType
from typing import Any

from policy.budget import LARGE_ITEMS, SMALL_ITEMS, Budget
from policy.errors import ConfinementError, LimitExceededError
from policy.guarded_methods import CLASS_METHODS, build_methods
from policy.guarded_types import build_types
from policy.sandbox_names import (
    GUARDED_ATTRIBUTES,
    NAMED_TUPLE_METHODS,
    check_format_spec,
    check_percent_format,
    refusal_of_name,
)
from policy.shown_size import measure

MAX_INT_BITS = 16_384
MAX_SHORT_CHARACTERS = 4_096
_SCALARS = frozenset({int, float, bool, type(None), complex})
_SHOWN_AT_ONCE = frozenset({str, int, float, bool, type(None), bytes})
_CONTAINERS = (list, tuple, dict, set, frozenset, deque)
_WIDTH = re.compile(r"\d{1,4}")
_MISSING = object()


def is_script_class(kind: type) -> bool:
    """Tell whether a script defined this class."""
    return getattr(kind, "__script_class__", False) is True


class Guards:
    """The guards of one epoch, bound to its budget."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.methods = build_methods(self)
        self.types = build_types(self)
        # Modules of scripts: their private names are open to the scripts beside them.
        self.script_modules: set[ModuleType] = set()

    def operators(self) -> dict[str, Callable[..., Any]]:
        """Return what the rewritten code calls, by the names it calls."""
        budget = self.budget
        return {
            "@tick": budget.tick,
            "@caught": budget.caught,
            "@passing": budget.passing,
            "@swallowed": budget.swallowed,
            "@added": self._build_added(),
            "@attribute": self.attribute,
            "@bounded": self.bounded,
            "@formatted": self.formatted,
            "@grown": self._build_grown(),
            "@key": self._build_key(),
            "@lshift": self.lshift,
            "@mod": self.mod,
            "@mul": self.mul,
            "@parent": self.parent,
            "@pow": self.pow,
            "@private": self.private,
            "@searched": self._build_searched(),
            "@shown": self._build_shown(),
            "@sized": self.sized,
            "@short": self.short,
            "@write": self.write,
        }

    # --- attributes

    def attribute(self, owner: Any, name: str) -> Any:
        """Load an attribute whose name is dangerous on some objects."""
        kind = type(owner)
        for base in kind.__mro__:
            method = self.methods.get((base, name))
            if method is not None:
                return lambda *args, **kwargs: method(owner, *args, **kwargs)
        if name == "obj" and isinstance(owner, BaseException):
            raise ConfinementError("the attribute 'obj' of an exception is not available")
        if name in {"send", "throw"} and isinstance(owner, CoroutineType):
            # Whoever drives a coroutine gets what it waits for: a future, and with it the loop.
            raise ConfinementError(f"a coroutine has no {name!r} for scripts; await it")
        for base in owner.__mro__ if isinstance(owner, type) else kind.__mro__:
            method = CLASS_METHODS.get((base, name)) or self.methods.get((base, name))
            if method is not None:
                return method
        if name in {"mro", "register"} and (
            isinstance(owner, type) or hasattr(owner, "__origin__")
        ):
            raise ConfinementError(f"the attribute {name!r} of a class is not available")
        return getattr(owner, name)

    def private(self, owner: Any, name: str) -> Any:
        """Load an attribute with one leading underscore: of a script's own objects only."""
        kind = type(owner)
        if (
            is_script_class(kind)
            or _is_script_super(owner)
            or (isinstance(owner, type) and is_script_class(owner))
            or (kind is ModuleType and owner in self.script_modules)
            or (name in NAMED_TUPLE_METHODS and _is_tuple(owner))
        ):
            return getattr(owner, name)
        raise ConfinementError(f"{kind.__name__} has no attribute {name!r} for scripts")

    def parent(self, found: Any) -> Any:
        """Return what ``super()`` gave, if it is what it looks like."""
        if _is_script_super(found):
            return found
        raise ConfinementError("super() is for the classes of a script")

    def write(self, owner: Any, name: str) -> Any:
        """Return the owner of an attribute about to be set or deleted, if a script may."""
        kind = type(owner)
        if is_script_class(kind) or (isinstance(owner, type) and is_script_class(owner)):
            return owner
        if name in getattr(kind, "__script_writable__", ()) or is_script_function(owner):
            return owner
        raise ConfinementError(f"the attribute {name!r} of {kind.__name__} cannot be set")

    def getattr(self, owner: Any, name: str, default: Any = _MISSING) -> Any:
        """Stand in for ``getattr``."""
        if type(name) is not str:
            raise TypeError("attribute name must be string")
        if name != "__name__":
            refusal = refusal_of_name(name)
            if refusal:
                raise ConfinementError(refusal)
        try:
            if name.startswith("_") and name != "__name__":
                return self.private(owner, name)
            if name in GUARDED_ATTRIBUTES:
                return self.attribute(owner, name)
            return getattr(owner, name)
        except AttributeError:
            if default is _MISSING:
                raise
            return default

    def hasattr(self, owner: Any, name: str) -> bool:
        """Stand in for ``hasattr``."""
        found: bool = self.getattr(owner, name, _MISSING_VALUE) is not _MISSING_VALUE
        return found

    def setattr(self, owner: Any, name: str, value: Any) -> None:
        """Stand in for ``setattr``."""
        if type(name) is not str or refusal_of_name(name):
            raise ConfinementError(f"the attribute {name!r} cannot be set")
        setattr(self.write(owner, name), name, value)

    def delattr(self, owner: Any, name: str) -> None:
        """Stand in for ``delattr``."""
        if type(name) is not str or refusal_of_name(name):
            raise ConfinementError(f"the attribute {name!r} cannot be deleted")
        delattr(self.write(owner, name), name)

    # --- operators

    def _build_added(self) -> Callable[[Any], Any]:
        account_text, account_items = self.budget.account_text, self.budget.account_items

        def added(value: Any) -> Any:
            """Bound the right side of an addition: doubling needs a large one."""
            kind = type(value)
            if kind in _SCALARS:
                return value
            if kind is str or kind is bytes:
                if len(value) >= SMALL_ITEMS:
                    account_text(len(value))
            elif isinstance(value, _CONTAINERS) and len(value) >= SMALL_ITEMS:
                account_items(len(value))
            return value

        return added

    def _build_grown(self) -> Callable[[Any], Any]:
        added = self._build_added()

        def grown(value: Any) -> Any:
            """Bound the right side of ``+=``: a list takes in any iterable, itself included."""
            kind = type(value)
            if kind in _SCALARS:
                return value
            if (
                isinstance(value, (str, bytes, *_CONTAINERS))
                or not hasattr(kind, "__iter__")
                or (hasattr(kind, "__radd__") and is_script_class(kind))
            ):
                return added(value)
            return self.bounded(value)

        return grown

    def _build_searched(self) -> Callable[[Any], Any]:
        budget = self.budget

        def searched(value: Any) -> Any:
            """Count a search through a large list."""
            if isinstance(value, (list, tuple, str, bytes)) and len(value) >= LARGE_ITEMS:
                budget.check()
            return value

        return searched

    @staticmethod
    def _build_key() -> Callable[[Any], Any]:
        def key(value: Any) -> Any:
            """Refuse a slice that came from elsewhere as the key of a store."""
            if type(value) is slice:
                raise ConfinementError("a slice object cannot be assigned to")
            return value

        return key

    def bounded(self, value: Any) -> Any:
        """Bound what is assigned to a slice."""
        items = value if isinstance(value, (str, bytes, *_CONTAINERS)) else list(value)
        self.budget.account_items(len(items))
        return items

    def mul(self, left: Any, right: Any, inplace: bool = False) -> Any:
        """Multiply."""
        kind_left, kind_right = type(left), type(right)
        if kind_left is not float and kind_right is not float:
            if isinstance(left, int):
                if isinstance(right, int):
                    _check_bits(left.bit_length() + right.bit_length())
                else:
                    self._check_repetition(right, left)
            elif isinstance(right, int):
                self._check_repetition(left, right)
        if inplace:
            left *= right
            return left
        return left * right

    def _check_repetition(self, value: Any, times: int) -> None:
        if times <= 1:
            return
        if isinstance(value, (str, bytes)):
            self.budget.account_text(len(value) * times)
        elif isinstance(value, _CONTAINERS):
            self.budget.account_items(len(value) * times)

    def pow(self, base: Any, exponent: Any, inplace: Any = None) -> Any:
        """Raise to a power; a third argument that is not True is a modulus."""
        modulus = None if inplace is True or inplace is None else inplace
        if isinstance(base, int) and isinstance(exponent, int):
            if modulus is not None and isinstance(modulus, int):
                _check_bits(4 * max(x.bit_length() for x in (base, exponent, modulus)))
            elif exponent > 0:
                _check_bits(base.bit_length() * exponent if abs(base) > 1 else 1)
        return pow(base, exponent, modulus) if modulus is not None else base**exponent

    def lshift(self, left: Any, right: Any, inplace: bool = False) -> Any:
        """Shift left."""
        if isinstance(left, int) and isinstance(right, int) and right > 0:
            _check_bits(left.bit_length() + right)
        if inplace:
            left <<= right
            return left
        return left << right

    def mod(self, left: Any, right: Any, inplace: bool = False) -> Any:
        """Take the remainder, or format with ``%``."""
        if isinstance(left, (str, bytes)):
            text = left if isinstance(left, str) else left.decode("latin-1")
            refusal = check_percent_format(text)
            if refusal:
                raise LimitExceededError(refusal)
            widths = sum(map(int, _WIDTH.findall(text))) if len(text) >= SMALL_ITEMS else 0
            shown = text.count("%") * self.shown_size(right)
            self.budget.account_text(len(text) + widths + shown)
        if inplace:
            left %= right
        else:
            left = left % right
        return self.sized(left) if type(left) is str else left

    # --- showing

    def _build_shown(self) -> Callable[[Any], Any]:
        def shown(value: Any) -> Any:
            """Bound what is about to be turned into text."""
            if type(value) not in _SHOWN_AT_ONCE:
                self.shown_size(value)
            return value

        return shown

    def shown_size(self, value: Any) -> int:
        """Return about how large a value is as text.

        Raises:
            LimitExceededError: it has too many parts, as nested sharing makes quickly.
        """
        return measure(value, self.budget)

    def short(self, text: Any) -> Any:
        """Bound what a method would go through once for each character, or slower than that."""
        if isinstance(text, (str, bytes)) and len(text) > MAX_SHORT_CHARACTERS:
            raise LimitExceededError(
                f"{len(text)} characters are more than the {MAX_SHORT_CHARACTERS} allowed here"
            )
        return text

    def sized(self, text: str) -> str:
        """Bound a string made of several."""
        if len(text) >= SMALL_ITEMS:
            self.budget.account_text(len(text))
        return text

    def formatted(self, value: Any, conversion: int, spec: str) -> str:
        """Format one value by a specification known only now."""
        if conversion == ord("r"):
            value = repr(value)
        elif conversion == ord("s"):
            value = str(value)
        elif conversion == ord("a"):
            value = ascii(value)
        return self.format(value, spec)

    def format(self, value: Any, spec: str = "") -> str:
        """Stand in for ``format``."""
        refusal = check_format_spec(spec)
        if refusal:
            raise LimitExceededError(refusal)
        self.shown_size(value)
        return format(value, spec)

    # --- iteration

    def counted(self, items: Any) -> Iterator[Any]:
        """Yield items, each counted."""
        tick = self.budget.tick
        for item in items:
            tick()
            yield item


_MISSING_VALUE = object()


def _is_script_super(owner: Any) -> bool:
    return type(owner) is super and is_script_class(owner.__self_class__)  # type: ignore[attr-defined]


def _is_tuple(owner: Any) -> bool:
    return isinstance(owner, tuple) or (isinstance(owner, type) and issubclass(owner, tuple))


def _check_bits(bits: int) -> None:
    if bits > MAX_INT_BITS:
        raise LimitExceededError(
            f"an integer of {bits} bits is more than the {MAX_INT_BITS} allowed"
        )


def is_script_function(value: Any) -> bool:
    """Tell whether this is a function compiled from a script."""
    return isinstance(value, FunctionType) and "@tick" in value.__globals__
