"""``int`` and ``bytes`` of scripts: the real types but for what they make.

Place in flow: ``guarded_builtins`` puts one pair per epoch under the builtins' names.

Invariants:
    * ``isinstance``, annotations, unions, equality and class patterns answer as the real types do;
      what they make is of the real type.
    * No integer of more than ``MAX_INT_DIGITS`` digits comes out of a text: dividing such ones
      takes quadratic time.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from policy.budget import MAX_ITEMS
from policy.errors import LimitExceededError

if TYPE_CHECKING:
    from policy.guards import Guards

MAX_INT_DIGITS = 4_300
MAX_INT_BYTES = 2_048


def build_types(guards: Guards) -> dict[type, type]:
    """Return what stands for ``int`` and ``bytes`` in one epoch, by the real type."""

    def make_int(source: Any = 0, /, *base: Any, **named: Any) -> int:
        if isinstance(source, (str, builtins.bytes)) and len(source) > MAX_INT_DIGITS:
            raise LimitExceededError(
                f"an integer of {len(source)} digits is more than the {MAX_INT_DIGITS} allowed"
            )
        return builtins.int(source, *base, **named)

    def make_bytes(source: Any = b"", *args: Any, **named: Any) -> bytes:
        if isinstance(source, builtins.int):
            if source > MAX_ITEMS:
                raise LimitExceededError(f"{source} bytes are more than the {MAX_ITEMS} allowed")
            guards.budget.account_text(source)
            return builtins.bytes(source)
        if isinstance(source, str) and (args or named):
            return guards.methods[str, "encode"](source, *args, **named)  # type: ignore[no-any-return]
        return builtins.bytes(source, *args, **named)

    return {
        builtins.int: _like(builtins.int, make_int),
        builtins.bytes: _like(builtins.bytes, make_bytes),
    }


def int_from_bytes(data: Any, byteorder: Any = "big", *, signed: bool = False) -> int:
    """Stand in for ``int.from_bytes``."""
    data = data if isinstance(data, builtins.bytes) else builtins.bytes(data)
    if len(data) > MAX_INT_BYTES:
        raise LimitExceededError(f"an integer of {len(data)} bytes is more than {MAX_INT_BYTES}")
    return builtins.int.from_bytes(data, byteorder, signed=signed)


def _like(real: Any, make: Any) -> type:
    class Kind(type):
        """Answers for the real type."""

        def __instancecheck__(cls, value: Any) -> bool:
            return isinstance(value, real)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, real)

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return make(*args, **kwargs)

        def __or__(cls, other: Any) -> Any:
            return real | other

        def __ror__(cls, other: Any) -> Any:
            return other | real

        def __eq__(cls, other: object) -> bool:
            return other is cls or other is real

        def __hash__(cls) -> int:
            return hash(real)

        def __repr__(cls) -> str:
            return repr(real)

    # A subclass: class patterns with a capture and methods taken from the type need it to be one.
    made = Kind.__new__(Kind, real.__name__, (real,), {"__slots__": ()})
    made.__module__, made.__qualname__ = "builtins", real.__name__
    return made
