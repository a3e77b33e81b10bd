"""The budget of a call: spent once, spent for good; nested calls have their own."""

from __future__ import annotations

import pytest

from policy.budget import MAX_ITEMS, MAX_TEXT_BYTES, TICKS_PER_CLOCK_READ, Budget
from policy.errors import BudgetSpentError, LimitExceededError, ScriptRefusal


def _spend(budget: Budget) -> None:
    with pytest.raises(BudgetSpentError):
        while True:
            budget.tick()


def test_ticks_end_a_call_that_goes_on() -> None:
    budget = Budget()
    budget.enter(1_000_000)

    _spend(budget)

    assert isinstance(budget.ending, BudgetSpentError)


def test_ticks_go_on_ending_a_call_that_swallows() -> None:
    budget = Budget()
    budget.enter(1_000_000)
    _spend(budget)

    with pytest.raises(BudgetSpentError):
        for _ in range(TICKS_PER_CLOCK_READ):
            budget.tick()


def test_an_inner_call_has_its_own_budget() -> None:
    budget = Budget()
    budget.enter(1_000_000_000)
    saved = budget.enter(1_000_000)
    _spend(budget)

    budget.leave(saved)

    assert budget.ending is None
    for _ in range(TICKS_PER_CLOCK_READ * 2):
        budget.tick()


def test_memory_is_counted_over_a_call() -> None:
    budget = Budget()
    budget.enter(10_000_000_000)

    with pytest.raises(BudgetSpentError, match="MiB of memory"):
        for _ in range(100):
            budget.account_text(MAX_TEXT_BYTES)


def test_a_single_outsized_value_is_an_ordinary_error() -> None:
    budget = Budget()

    with pytest.raises(LimitExceededError):
        budget.account_text(MAX_TEXT_BYTES + 1)
    with pytest.raises(LimitExceededError):
        budget.account_items(MAX_ITEMS + 1)


def test_what_is_caught_outside_of_the_call_is_not_the_calls_ending() -> None:
    budget = Budget()
    try:
        raise ScriptRefusal
    except ScriptRefusal:
        budget.enter(1_000_000)
        budget.passing()
        budget.caught()

    assert budget.ending is None
