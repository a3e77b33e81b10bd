"""Exceptions are described in one line, whatever a script made of them."""

from __future__ import annotations

import pytest

from policy.budget import Budget
from policy.failure import describe, place_of


class Endless(Exception):
    """Its text takes for ever."""

    budget: Budget

    def __str__(self) -> str:
        while True:
            self.budget.tick()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a\nb"), "ValueError: a b"),
        (ValueError(), "ValueError"),
        (ValueError([1]), "ValueError"),
        (KeyError("k"), "KeyError: 'k'"),
    ],
)
def test_an_exception_is_one_line(error: BaseException, text: str) -> None:
    assert describe(error, Budget()) == text


def test_a_long_text_is_cut() -> None:
    assert len(describe(ValueError("x" * 10_000), Budget())) < 600


def test_a_text_that_never_ends_is_left_out() -> None:
    error = Endless()
    error.budget = Budget()

    assert describe(error, error.budget) == "Endless"


def test_an_exception_from_elsewhere_has_no_place() -> None:
    assert place_of(ValueError(), frozenset({"a.py"})) is None
