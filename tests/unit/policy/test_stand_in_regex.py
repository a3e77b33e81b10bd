"""The ``re`` of scripts answers as the standard one does, in bounded time."""

from __future__ import annotations

import re

import pytest

from policy.budget import Budget
from policy.errors import LimitExceededError
from policy.stand_in_regex import RegexEngine


def _engine() -> tuple[RegexEngine, dict[str, object]]:
    budget = Budget()
    budget.enter(10**12)
    engine = RegexEngine(budget)
    return engine, engine.names()


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(\w+)@(\w+)", "a@b c@d"),
        (r"x*", "axb"),
        (r"(?P<n>\d+)", "1 22"),
        ("é+", "aééb"),
        (r"(a)|b", "ab"),
    ],
)
def test_results_equal_those_of_the_standard_module(pattern: str, text: str) -> None:
    _, names = _engine()
    real, ours = re.compile(pattern), names["compile"](pattern)  # type: ignore[operator]

    assert ours.findall(text) == real.findall(text)
    assert ours.sub("-", text) == real.sub("-", text)
    assert ours.split(text) == real.split(text)
    assert [m.span() for m in ours.finditer(text)] == [m.span() for m in real.finditer(text)]
    first, wanted = ours.search(text), real.search(text)
    assert wanted is not None
    assert (first.groups(), first.groupdict()) == (wanted.groups(), wanted.groupdict())


def test_replacement_templates_refer_to_groups() -> None:
    engine, _ = _engine()

    pattern = engine.compile(r"(?P<user>\w+)@(\w+)")

    assert pattern.sub(r"\2 at \g<user>\n", "a@b") == "b at a\n"
    assert pattern.sub(lambda m: m.group("user").upper(), "a@b", 1) == "A"
    assert pattern.subn("", "a@b c@d") == (" ", 2)


def test_flags_are_heeded() -> None:
    _, names = _engine()

    assert names["search"]("A", "xa", names["IGNORECASE"]).start() == 1  # type: ignore[operator]
    assert names["findall"]("^a$", "a\na", names["M"]) == ["a", "a"]  # type: ignore[operator]


def test_look_around_uses_the_other_engine_and_is_counted() -> None:
    engine, _ = _engine()

    assert engine.compile(r"a(?=b)").search("ab").group() == "a"  # type: ignore[union-attr]
    assert engine.fallback_uses == 1


def test_a_bad_pattern_is_an_error_of_the_stand_in() -> None:
    engine, names = _engine()

    with pytest.raises(names["error"]):  # type: ignore[arg-type]
        engine.compile("(")


@pytest.mark.parametrize(
    "pattern", ["(?:a{1000}){1000}", "(?=b)(a{100}){101}", "((a{100}){100}){2}"]
)
def test_counts_inside_each_other_are_refused_before_they_are_written_out(pattern: str) -> None:
    engine, _ = _engine()

    with pytest.raises(LimitExceededError, match="repeats its parts too many times"):
        engine.compile(pattern)


@pytest.mark.parametrize("pattern", ["(?=b)a{100}", "(?<=a)x{2,50}", "(?=b)(a{10}){10}"])
def test_counts_of_an_ordinary_size_are_fine(pattern: str) -> None:
    engine, _ = _engine()

    assert engine.compile(pattern).pattern == pattern
