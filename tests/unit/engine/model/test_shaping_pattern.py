"""Patterns over replies: searched anywhere, linear where they can be, bounded where not."""

from __future__ import annotations

import time

import pytest

from engine.model.shaping_pattern import CHARACTERS_MAX, ReplyPattern, pattern_note

REPLY = "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred"


@pytest.mark.parametrize(
    ("text", "is_linear"),
    [
        (r"\[TSS?04\]", True),
        ("temporarily deferred$", True),
        (r"^4\d\d ", True),
        ("(?i)MESSAGES FROM", True),
        ("Messages from (?!10[.])", False),
        ("(?<=TSS)04", False),
        ("Mess[a-z]++ from", False),
        ("(?x) TSS 04   # the code", False),
        (r"([SM])\1", False),
    ],
)
def test_a_pattern_is_searched_anywhere_in_a_reply(text, is_linear):
    pattern = ReplyPattern(text)

    assert pattern.matches(REPLY)
    assert not pattern.matches("250 2.0.0 OK")
    assert pattern.is_linear is is_linear


def test_upper_and_lower_case_differ_unless_the_pattern_says_otherwise():
    assert not ReplyPattern("messages from").matches(REPLY)


@pytest.mark.parametrize("text", ["(unclosed", "[z-a]", "(?<=a", "a{2,1}", "\\"])
def test_what_is_no_pattern_is_an_error_that_says_so(text):
    with pytest.raises(ValueError, match="not a regular expression"):
        ReplyPattern(text)


def test_only_text_of_a_sensible_length_is_a_pattern():
    with pytest.raises(ValueError, match="text, not 421"):
        ReplyPattern(421)
    with pytest.raises(ValueError, match="at most"):
        ReplyPattern("x" * (CHARACTERS_MAX + 1))


def test_a_pattern_that_backtracks_for_ever_is_no_match_after_a_moment():
    pattern = ReplyPattern(r"(?=x)(x+x+)+y\1")

    began = time.perf_counter()
    assert not pattern.matches("x" * 5000)
    assert time.perf_counter() - began < 2


def test_half_a_surrogate_pair_in_a_reply_hides_nothing():
    assert ReplyPattern("deferred").matches("421 \udcff deferred")


def test_patterns_with_the_same_text_are_the_same():
    assert ReplyPattern("a") == ReplyPattern("a")
    assert len({ReplyPattern("a"), ReplyPattern("a"), ReplyPattern("b")}) == 2
    assert repr(ReplyPattern("a")) == "<pattern 'a'>"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("^Messages deferred", "begins with the reply code"),
        (r"slow down\nand wait", "joined by spaces"),
        ("/temporarily deferred/", "slashes"),
    ],
)
def test_a_pattern_that_finds_nothing_is_told(text, words):
    assert words in pattern_note(text)


@pytest.mark.parametrize(
    "text",
    [
        "^421 ",
        "^(4|5)",
        "^a?421",
        "^Deferred|^421",
        r"slow\r?\n?down",
        r"one\ntwo|three",
        r"back\\nslash",
        "[\\s\\n]down",
        "/24 is listed",
        "https://support.example/",
    ],
)
def test_nothing_is_said_of_a_pattern_that_may_find_something(text):
    assert pattern_note(text) is None
