"""Sets of regular expressions: order, bounds, and an automaton that outgrows its memory."""

from __future__ import annotations

import pytest

from engine.script_modules import regex_set_map
from engine.script_modules.regex_set_map import RegexSetMap
from policy.errors import LimitExceededError, PolicyLoadError


def test_the_first_pattern_given_wins_not_the_first_in_the_text():
    found = RegexSetMap({"full": 1, "mailbox": 2})

    assert found["mailbox is full"] == 1


def test_patterns_are_looked_for_anywhere_and_case_counts():
    found = RegexSetMap({r"\bspam\b": 1, "(?i)BLOCK": 2})

    assert found["it is spam."] == 1
    assert found.get("SPAM") is None
    assert found["blocked"] == 2


def test_no_match_is_a_key_error_or_the_default():
    found = RegexSetMap({"a": 1})

    assert found.get("b", "none") == "none" and "b" not in found and len(found) == 1
    with pytest.raises(KeyError):
        found["b"]


def test_a_set_without_patterns_matches_nothing():
    assert RegexSetMap({}).get("x") is None


def test_a_value_of_none_is_a_value():
    assert RegexSetMap({"a": None}).get("a", 1) is None


def test_patterns_are_tried_alone_where_a_set_of_them_would_not_fit(monkeypatch):
    monkeypatch.setattr(regex_set_map, "AUTOMATON_BYTES", 40_000)
    found = RegexSetMap({rf"w{n}.*[a-z]{{1,20}}{n}": n for n in range(60)})

    assert found.get("w7 something abc7 ") == 7
    assert found.get("nothing " * 50) is None


class GivesUp:
    """A set that ran out of memory: not even the pattern that always matches is found."""

    def Match(self, text):
        return []


def test_patterns_are_tried_alone_where_the_set_gives_up():
    found = RegexSetMap({"a": 1, "b+": 2})
    found._set = GivesUp()

    assert found.get("xbb") == 2 and found.get("x") is None


def test_a_long_text_is_refused():
    with pytest.raises(LimitExceededError):
        RegexSetMap({"a": 1}).get("x" * 300_000)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("mta.regex_set_map.new({'(': 1})", r"the pattern '\(' is not available: missing \)"),
        ("mta.regex_set_map.new({'(?=a)': 1})", "is not available: invalid perl operator"),
        ("mta.regex_set_map.new({'(a)\\\\1': 1})", "is not available: invalid escape"),
        ("mta.regex_set_map.new(['a'])", "wants a dict"),
        ("mta.regex_set_map.new({1: 1})", "a pattern is text"),
        ("mta.regex_set_map.new({'a' * 20000: 1})", "more than 10000 characters"),
        ("mta.regex_set_map.new({'a': 1})[b'x']", "wants text"),
        ("mta.regex_set_map.new({'a': 1})['a'] = 2", "does not support item assignment"),
    ],
)
def test_a_mistake_is_an_error_with_its_line(host, script, reason):
    with pytest.raises(PolicyLoadError, match=reason) as caught:
        host.load(script)

    assert caught.value.line == 3


def test_a_catastrophic_pattern_is_linear(host):
    host.load("print(repr(mta.regex_set_map.new({'(a+)+$': 1}).get('a' * 20000 + 'b')))")

    assert host.printed == ["None"]
