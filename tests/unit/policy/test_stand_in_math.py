"""The arithmetic of scripts is the library's, but for what grows fast."""

from __future__ import annotations

import math
from typing import Any

import pytest

from policy.budget import Budget
from policy.errors import LimitExceededError
from policy.guards import Guards
from policy.stand_in_math import math_names


@pytest.fixture
def names() -> dict[str, Any]:
    budget = Budget()
    budget.enter(10_000_000_000)
    return math_names(Guards(budget))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ceil", (1.2,)),
        ("comb", (10, 3)),
        ("factorial", (20,)),
        ("fsum", ([0.1] * 10,)),
        ("gcd", (12, 18)),
        ("hypot", (3, 4)),
        ("isqrt", (17,)),
        ("lcm", (4, 6)),
        ("lcm", ()),
        ("perm", (5, 2)),
        ("perm", (5,)),
        ("prod", ([2, 3],)),
        ("sqrt", (2,)),
    ],
)
def test_a_function_answers_as_the_library(
    names: dict[str, Any], name: str, arguments: tuple[Any, ...]
) -> None:
    assert names[name](*arguments) == getattr(math, name)(*arguments)


def test_a_product_may_start_elsewhere(names: dict[str, Any]) -> None:
    assert names["prod"]([2, 3], start=10) == 60


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("comb", (10**6, 10**5)),
        ("factorial", (10**6,)),
        ("perm", (10**6,)),
        ("prod", ([10**4000] * 10,)),
        ("lcm", tuple(range(1, 100_000))),
    ],
)
def test_what_grows_fast_is_refused(
    names: dict[str, Any], name: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(LimitExceededError):
        names[name](*arguments)
