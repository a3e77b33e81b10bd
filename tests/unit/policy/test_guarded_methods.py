"""Methods of builtin types mean what they mean, and make nothing outsized."""

from __future__ import annotations

import datetime
from collections import Counter, deque
from typing import Any

import pytest

from policy.budget import Budget
from policy.errors import BudgetSpentError, ConfinementError, LimitExceededError
from policy.guarded_methods import CLASS_METHODS, MAX_SORTED_ITEMS, check_sortable
from policy.guards import Guards


@pytest.fixture
def guards() -> Guards:
    budget = Budget()
    budget.enter(10_000_000_000)
    return Guards(budget)


@pytest.mark.parametrize(
    ("owner", "name", "arguments"),
    [
        ("-", "join", (["a", "b"],)),
        (b"-", "join", ([b"a", b"b"],)),
        ("a-b-c", "replace", ("-", "+")),
        ("a-b-c", "replace", ("-", "+", 1)),
        (b"a-b", "replace", (b"-", b"")),
        ("a", "ljust", (5,)),
        ("a", "rjust", (5, "*")),
        ("a", "center", (5,)),
        ("7", "zfill", (3,)),
        ("a\tb", "expandtabs", (4,)),
        ("a b  c", "split", ()),
        ("a,b,c", "split", (",", 1)),
        ("a,b,c", "rsplit", (",", 1)),
        ("a\nb\r\nc", "splitlines", ()),
        ("a\nb", "splitlines", (True,)),
        ("abc", "translate", ({97: "x", 98: None, 99: 100},)),
        ("é", "encode", ()),
        ("é", "encode", ("latin-1",)),
        ("müller.example", "encode", ("idna",)),
        (b"\xff", "decode", ("utf-8", "replace")),
        ("{} {a!r:>4} {b[0]}", "format", ()),
        (5, "to_bytes", (2, "little")),
    ],
)
def test_a_guarded_method_answers_as_the_real_one(
    guards: Guards, owner: Any, name: str, arguments: tuple[Any, ...]
) -> None:
    if name == "format":
        assert guards.attribute(owner, name)(1, a="x", b=[2]) == owner.format(1, a="x", b=[2])
        return
    assert guards.attribute(owner, name)(*arguments) == getattr(owner, name)(*arguments)


def test_lists_and_deques_are_changed_in_place(guards: Guards) -> None:
    items, queue = [2], deque([2])

    guards.attribute(items, "extend")(x for x in (3, 1))
    guards.attribute(items, "sort")(reverse=True)
    guards.attribute(queue, "extendleft")([1])
    guards.attribute(queue, "extend")([3])

    assert (items, list(queue)) == ([3, 2, 1], [1, 2, 3])


def test_an_error_of_the_real_method_stays(guards: Guards) -> None:
    with pytest.raises(TypeError):
        guards.attribute("-", "join")([1])
    with pytest.raises(UnicodeEncodeError):
        guards.attribute("é", "encode")("ascii")
    with pytest.raises(LookupError):
        guards.attribute("é", "encode")("nothing")
    with pytest.raises(ValueError, match="empty separator"):
        guards.attribute("a", "split")("")


def test_text_attributes_are_refused_in_formats(guards: Guards) -> None:
    with pytest.raises(ConfinementError):
        guards.attribute("{0.real}", "format")(1)


@pytest.mark.parametrize(
    ("owner", "name", "arguments"),
    [
        ("a", "ljust", (10**9,)),
        ("a" * 10**6, "replace", ("", "b" * 10**6)),
        ("a", "zfill", (10**9,)),
        ("\t", "expandtabs", (10**9,)),
        ("x" * 10**6, "join", ([""] * 10**3,)),
        ("\n" * 2 * 10**6, "splitlines", ()),
        ("a " * 2 * 10**6, "split", ()),
        ("a" * 10**6, "translate", ({97: "x" * 1000},)),
        ("é" * 10**5, "encode", ("punycode",)),
        (b"a" * 10**5, "decode", ("punycode",)),
        (1, "to_bytes", (10**9,)),
        (datetime.date(2024, 1, 1), "strftime", ("%999999d",)),
        (datetime.date(2024, 1, 1), "strftime", ("x" * 1000,)),
    ],
)
def test_an_outsized_result_is_refused(
    guards: Guards, owner: Any, name: str, arguments: tuple[Any, ...]
) -> None:
    with pytest.raises(LimitExceededError):
        guards.attribute(owner, name)(*arguments)


def test_a_table_that_computes_its_entries_is_asked_once_for_each_letter(guards: Guards) -> None:
    asked: list[int] = []

    class Table:
        def __getitem__(self, key: int) -> str:
            asked.append(key)
            return "yy"

    assert guards.attribute("xxx", "translate")(Table()) == "yyyyyy"
    assert asked == [ord("x")]


def test_class_methods_are_found_on_the_type_and_on_an_object(guards: Guards) -> None:
    assert guards.attribute(int, "from_bytes")(b"\1") == 1
    assert guards.attribute(5, "from_bytes")(b"\1") == 1
    moment = guards.attribute(datetime.datetime, "strptime")("2024", "%Y")
    assert moment == datetime.datetime(2024, 1, 1)  # noqa: DTZ001 - what the format gives
    assert set(CLASS_METHODS) == {(int, "from_bytes"), (datetime.datetime, "strptime")}


def test_the_elements_of_a_counter_are_counted(guards: Guards) -> None:
    assert list(guards.attribute(Counter("aab"), "elements")()) == ["a", "a", "b"]


def test_too_many_items_are_not_sorted(guards: Guards) -> None:
    check_sortable(guards, list(range(1000)))
    with pytest.raises(LimitExceededError):
        check_sortable(guards, [0] * (MAX_SORTED_ITEMS + 1))


def test_long_texts_are_not_sorted_beyond_the_budget() -> None:
    budget = Budget()
    budget.enter(50_000_000)
    texts = ["x" * 10**6] * 5_000

    with pytest.raises(BudgetSpentError):
        check_sortable(Guards(budget), texts)
