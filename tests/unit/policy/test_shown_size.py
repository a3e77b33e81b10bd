"""The size of a value as text is known before the text is made."""

from __future__ import annotations

from collections import ChainMap, Counter, OrderedDict, deque, namedtuple
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import pytest

from policy.budget import Budget
from policy.errors import LimitExceededError
from policy.shown_size import measure


@dataclass
class Plain:
    """Holds one thing."""

    held: Any


@dataclass(slots=True)
class Slotted:
    """Holds one thing in a slot."""

    held: Any


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - the kind that scripts make


def _budget() -> Budget:
    budget = Budget()
    budget.enter(10_000_000_000)
    return budget


def _laughing() -> Any:
    value: Any = ["x"]
    for _ in range(60):
        value = [value, value]
    return value


@pytest.mark.parametrize(
    "value", ["x" * 1000, b"x" * 1000, ["x" * 500, "y" * 500], {"k" * 500: "v" * 500}, 10**1000]
)
def test_texts_count_with_their_length(value: Any) -> None:
    assert 900 <= measure(value, _budget()) <= 1200


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: value,
        lambda value: (value,),
        lambda value: {1: value},
        lambda value: {1: value}.values(),
        lambda value: {1: value}.items(),
        lambda value: deque([value]),
        lambda value: ChainMap({1: value}),
        lambda value: OrderedDict(a=value),
        lambda value: Counter({1: value}),
        lambda value: MappingProxyType({1: value}),
        lambda value: partial(print, value),
        lambda value: ValueError(value),
        lambda value: Pair(1, value),
        lambda value: Plain(value),
        lambda value: Slotted(value),
        lambda value: Plain(Slotted([value])),
    ],
)
def test_nested_sharing_is_refused_in_every_wrapping(wrap: Any) -> None:
    with pytest.raises(LimitExceededError):
        measure(wrap(_laughing()), _budget())


def test_a_text_too_large_to_be_made_is_refused() -> None:
    with pytest.raises(LimitExceededError):
        measure(["x" * 1_000_000] * 20, _budget())


def test_an_empty_slot_counts_as_nothing() -> None:
    assert measure(Slotted.__new__(Slotted), _budget()) < 100
