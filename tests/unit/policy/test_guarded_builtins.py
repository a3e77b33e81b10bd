"""The builtins of scripts do what the builtins do, within bounds."""

from __future__ import annotations

import builtins
import typing
from typing import Any

import pytest

from policy.budget import MAX_ITEMS, Budget
from policy.errors import BudgetSpentError, ConfinementError, LimitExceededError
from policy.guarded_builtins import AVAILABLE, MAX_PRINTED_CHARACTERS, build_builtins
from policy.guards import Guards

printed: list[str] = []


@pytest.fixture
def names() -> dict[str, Any]:
    printed.clear()
    budget = Budget()
    budget.enter(10_000_000_000)
    return build_builtins(Guards(budget), printed.append, lambda *_: None)


def test_what_is_available_is_there_and_nothing_else_but_what_the_compiler_needs(
    names: dict[str, Any],
) -> None:
    assert set(names) - AVAILABLE == {"__build_class__", "__import__"}
    assert AVAILABLE - set(names) == set()


@pytest.mark.parametrize(
    "name", ["eval", "exec", "open", "compile", "vars", "dir", "globals", "slice", "memoryview"]
)
def test_doors_are_not_there(names: dict[str, Any], name: str) -> None:
    assert name not in names


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ascii", ("é",)),
        ("format", (1.5, ".2f")),
        ("hash", ((1, 2),)),
        ("max", ([1, 3, 2],)),
        ("max", (1, 3, 2)),
        ("min", (["b", "aa"],)),
        ("pow", (2, 5)),
        ("pow", (2, 5, 7)),
        ("repr", ({1: [2]},)),
        ("round", (2.567, 1)),
        ("round", (2.5,)),
        ("sorted", ([3, 1, 2],)),
        ("sum", ([1, 2],)),
        ("sum", ([[1], [2]], [])),
        ("sum", ([0.5], 1)),
    ],
)
def test_they_answer_as_the_real_ones(
    names: dict[str, Any], name: str, arguments: tuple[Any, ...]
) -> None:
    assert names[name](*arguments) == getattr(builtins, name)(*arguments)


def test_keyword_arguments_pass(names: dict[str, Any]) -> None:
    assert names["max"]([], default=7) == 7
    assert names["min"](["bb", "a"], key=len) == "a"
    assert names["sorted"]([1, 3, 2], key=lambda x: -x, reverse=True) == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        ("map", (str, [1, 2]), ["1", "2"]),
        ("map", (lambda a, b: a + b, [1], [2]), [3]),
        ("filter", (None, [0, 1]), [1]),
        ("zip", ([1, 2], "ab"), [(1, "a"), (2, "b")]),
        ("range", (1, 7, 3), [1, 4]),
        ("iter", ([1],), [1]),
    ],
)
def test_iterators_give_what_the_real_ones_give(
    names: dict[str, Any], name: str, arguments: tuple[Any, ...], answer: list[Any]
) -> None:
    assert list(names[name](*arguments)) == answer


def test_a_strict_zip_is_strict(names: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="shorter"):
        list(names["zip"]([1], [], strict=True))


@pytest.mark.parametrize("bounds", [(MAX_ITEMS + 1,), (0, -(10**12), -1), (0, 10**12, 3)])
def test_an_outsized_range_is_refused(names: dict[str, Any], bounds: tuple[int, ...]) -> None:
    with pytest.raises(LimitExceededError):
        names["range"](*bounds)


def test_an_empty_range_backwards_is_fine(names: dict[str, Any]) -> None:
    assert list(names["range"](5, 0)) == []


@pytest.mark.parametrize("values", [("x" * 100_000,), ("x",) * 100_000])
def test_print_writes_one_line_of_bounded_length(
    names: dict[str, Any], values: tuple[str, ...]
) -> None:
    names["print"](*values)

    assert [len(line) for line in printed] == [MAX_PRINTED_CHARACTERS]


def test_print_joins_with_its_separator(names: dict[str, Any]) -> None:
    names["print"]("a", 1, sep="-", end="", flush=True)

    assert printed == ["a-1"]


def test_texts_are_not_summed(names: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="use join"):
        names["sum"](["a"], "")


@pytest.mark.parametrize("value", [1, "a", b"a", None, [], ValueError()])
def test_the_type_of_plain_values_is_told(names: dict[str, Any], value: Any) -> None:
    assert names["type"](value) == type(value)  # noqa: E721 - equality is what is tested


@pytest.mark.parametrize("value", [print, int, type, names, object()])
def test_the_type_of_anything_else_is_not(names: dict[str, Any], value: Any) -> None:
    with pytest.raises(ConfinementError):
        names["type"](value)


@pytest.mark.parametrize("base", [dict, int, str, type, BaseException, BudgetSpentError, Guards])
def test_only_harmless_classes_are_bases(names: dict[str, Any], base: type) -> None:
    with pytest.raises(ConfinementError, match="cannot be a base"):
        names["__build_class__"](lambda: None, "C", base)


@pytest.mark.parametrize("base", [object, ValueError, typing.Protocol])
def test_harmless_bases_make_a_class_of_the_script(names: dict[str, Any], base: Any) -> None:
    assert names["__build_class__"](lambda: None, "C", base).__script_class__ is True
