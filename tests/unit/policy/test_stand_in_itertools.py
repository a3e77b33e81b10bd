"""Iterators of scripts give what the library's give, and end with the budget."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from policy.budget import Budget
from policy.errors import BudgetSpentError, LimitExceededError
from policy.guards import Guards
from policy.stand_in_itertools import itertools_names


def _names(budget_ns: int = 10_000_000_000) -> dict[str, Any]:
    budget = Budget()
    budget.enter(budget_ns)
    return itertools_names(Guards(budget))


@pytest.mark.parametrize(
    ("name", "arguments", "options"),
    [
        ("accumulate", ([1, 2, 3],), {}),
        ("accumulate", ([1, 2], max), {"initial": 5}),
        ("chain", ([1], [2]), {}),
        ("combinations", ("abc", 2), {}),
        ("combinations_with_replacement", ("ab", 2), {}),
        ("compress", ("abc", [1, 0, 1]), {}),
        ("dropwhile", (bool, [1, 0, 2]), {}),
        ("filterfalse", (None, [0, 1, 2]), {}),
        ("islice", ("abcdef", 1, 5, 2), {}),
        ("pairwise", ([1, 2, 3],), {}),
        ("permutations", ("abc",), {}),
        ("permutations", ("abc", 2), {}),
        ("product", ("ab", [1, 2]), {}),
        ("product", ("ab",), {"repeat": 2}),
        ("repeat", ("x", 3), {}),
        ("starmap", (pow, [(2, 3)]), {}),
        ("takewhile", (bool, [1, 0, 2]), {}),
        ("zip_longest", ([1], [2, 3]), {"fillvalue": 0}),
    ],
)
def test_an_iterator_gives_what_the_library_gives(
    name: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    real = getattr(itertools, name)(*arguments, **options)

    assert list(_names()[name](*arguments, **options)) == list(real)


def test_groups_are_groups() -> None:
    names = _names()

    assert [(k, list(g)) for k, g in names["groupby"]("aab")] == [("a", ["a", "a"]), ("b", ["b"])]
    assert [k for k, _ in names["groupby"]([1, 3, 2], key=lambda x: x % 2)] == [1, 0]


def test_chains_are_made_from_an_iterable_too() -> None:
    assert list(_names()["chain"].from_iterable([[1], [2]])) == [1, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda names: names["count"](),
        lambda names: names["cycle"]([1]),
        lambda names: names["repeat"](1),
        lambda names: names["product"](range(99), repeat=9),
        lambda names: names["permutations"](range(50)),
        lambda names: names["accumulate"](names["count"]()),
        lambda names: names["chain"].from_iterable([range(10**6)] * 10**6),
        lambda names: names["filterfalse"](bool, itertools.repeat(1)),
        lambda names: names["dropwhile"](bool, itertools.repeat(1)),
        lambda names: names["takewhile"](bool, itertools.repeat(1)),
        lambda names: names["groupby"](itertools.repeat(1)),
    ],
)
def test_what_goes_on_and_on_ends_with_the_budget(make: Any) -> None:
    made = make(_names(2_000_000))

    with pytest.raises(BudgetSpentError):
        for item in made:
            if isinstance(item, tuple) and not isinstance(item[0], int):
                list(item[1])


@pytest.mark.parametrize(
    "make",
    [
        lambda names: names["product"]("ab", repeat=100),
        lambda names: names["combinations"](range(50), 40),
        lambda names: names["permutations"](range(20_000), 2),
    ],
)
def test_what_would_take_much_before_it_starts_is_refused(make: Any) -> None:
    with pytest.raises(LimitExceededError):
        make(_names())


def test_an_iterator_is_split_as_the_library_does() -> None:
    first, second = _names()["tee"]([1, 2])

    assert (list(first), list(second)) == ([1, 2], [1, 2])
    assert len(_names()["tee"]([], 5)) == 5


def test_more_iterators_than_make_sense_are_refused() -> None:
    with pytest.raises(LimitExceededError):
        _names()["tee"]([], 10**7)
    with pytest.raises(LimitExceededError):
        _names()["zip_longest"](*[()] * 10_001)
