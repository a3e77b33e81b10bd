"""The ``math`` of scripts: what grows fast or loops is bounded.

Place in flow: one of the ``stand_ins``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from policy.errors import LimitExceededError

if TYPE_CHECKING:
    from policy.guards import Guards

MAX_FACTORIAL = 1_500
MAX_COMBINED = 4_096

_PLAIN = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "copysign",
    "cos",
    "cosh",
    "degrees",
    "dist",
    "e",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "fmod",
    "frexp",
    "fsum",
    "gamma",
    "gcd",
    "hypot",
    "inf",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "isqrt",
    "ldexp",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "modf",
    "nan",
    "nextafter",
    "pi",
    "pow",
    "radians",
    "remainder",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "tau",
    "trunc",
    "ulp",
]


def math_names(guards: Guards) -> dict[str, Any]:
    """Return what the stand-in offers."""

    def factorial(n: int) -> int:
        _check(n, MAX_FACTORIAL)
        return math.factorial(n)

    def comb(n: int, k: int) -> int:
        _check(n, MAX_COMBINED)
        return math.comb(n, k)

    def perm(n: int, k: int | None = None) -> int:
        _check(n, MAX_FACTORIAL)
        return math.perm(n, k)

    def prod(items: Any, *, start: Any = 1) -> Any:
        for item in guards.counted(items):
            start = guards.mul(start, item)
        return start

    def lcm(*integers: int) -> int:
        found = 1
        for integer in guards.counted(integers):
            guards.mul(found, integer)
            found = math.lcm(found, integer)
        return found

    names = {name: getattr(math, name) for name in _PLAIN}
    return {**names, "factorial": factorial, "comb": comb, "perm": perm, "prod": prod, "lcm": lcm}


def _check(number: int, most: int) -> None:
    if number > most:
        raise LimitExceededError(f"{number} is more than the {most} allowed here")
