"""Guards let ordinary values through and stop the rest."""

from __future__ import annotations

from typing import Any

import pytest

from policy.budget import Budget
from policy.errors import ConfinementError, LimitExceededError
from policy.guards import Guards


@pytest.fixture
def guards() -> Guards:
    budget = Budget()
    budget.enter(10_000_000_000)
    return Guards(budget)


@pytest.mark.parametrize(
    ("left", "right"),
    [(2, 3), ("a", 3), (3, "a"), ([1], 2), (1.5, 2), (2, 1.5), (True, "a"), ("a", -1)],
)
def test_multiplication_is_as_usual(guards: Guards, left: Any, right: Any) -> None:
    assert guards.mul(left, right) == left * right


@pytest.mark.parametrize(
    ("base", "exponent"), [(2, 10), (2, -1), (2.0, 0.5), (1, 10**9), (-1, 10**9), (0, 10**9)]
)
def test_powers_are_as_usual(guards: Guards, base: Any, exponent: Any) -> None:
    assert guards.pow(base, exponent) == base**exponent


@pytest.mark.parametrize(
    ("text", "values"), [("%s", "a"), ("%d%%", 5), ("%(a)s", {"a": 1}), (b"%d", 1)]
)
def test_percent_formats_are_as_usual(guards: Guards, text: Any, values: Any) -> None:
    assert guards.mod(text, values) == text % values


def test_a_private_name_of_an_object_not_of_the_script_is_refused(guards: Guards) -> None:
    with pytest.raises(ConfinementError):
        guards.private(guards, "_x")


def test_a_shared_value_nested_deep_is_not_shown(guards: Guards) -> None:
    value: list[Any] = [1]
    for _ in range(50):
        value = [value, value]

    with pytest.raises(LimitExceededError):
        guards.shown_size(value)


def test_a_value_that_contains_itself_is_not_shown(guards: Guards) -> None:
    value: list[Any] = []
    value += [value, value]

    with pytest.raises(LimitExceededError):
        guards.shown_size(value)
