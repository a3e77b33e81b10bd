"""The choice of a source."""

from collections import Counter

import pytest

from engine.model.egress import PoolEntry
from engine.ready.source_selector import SourceSelector


def selector(*weights, start=0):
    entries = [PoolEntry(name, weight) for name, weight in zip("abcdef", weights, strict=False)]
    return SourceSelector(entries, lambda below: start % below)


def pick(chooser, eligible=None):
    name = next(chooser.order(eligible), None)
    if name is not None:
        chooser.chosen(name)
    return name


def test_spreads_each_cycle_by_weight_and_evenly():
    chooser = selector(5, 1, 1)

    assert "".join(pick(chooser) for _ in range(14)) == "aabacaa" * 2


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (10, 20, 30), (7, 3, 2, 1), (900, 300, 11)])
def test_over_a_cycle_each_source_gets_its_weight(weights):
    chooser = selector(*weights, start=1)
    counts = Counter(pick(chooser) for _ in range(sum(weights)))

    assert tuple(counts[name] for name in "abcd"[: len(weights)]) == weights


def test_the_first_choices_of_many_queues_are_spread_by_weight():
    counts = Counter(pick(selector(3, 1, start=start)) for start in range(4))

    assert counts == {"a": 3, "b": 1}


def test_the_first_choice_is_spread_by_weight_in_a_long_cycle_too():
    counts = Counter(pick(selector(2000, 1001, start=start)) for start in range(3001))

    assert counts == {"a": 2000, "b": 1001}


def test_an_only_source_is_always_first():
    chooser = selector(4)

    assert [pick(chooser), pick(chooser)] == ["a", "a"]
    assert pick(chooser, lambda name: False) is None


def test_weight_zero_gets_no_mail():
    chooser = selector(0, 1, 1)

    assert chooser.names == ("b", "c")
    assert {pick(chooser) for _ in range(10)} == {"b", "c"}


def test_no_sources_are_no_choice():
    assert pick(selector()) is None
    assert pick(selector(0)) is None


def test_the_others_keep_their_shares_while_one_is_out():
    chooser = selector(1, 2, 3)
    counts = Counter(pick(chooser, lambda name: name != "a") for _ in range(50))

    assert counts == {"b": 20, "c": 30}


def test_a_source_that_returns_makes_no_burst():
    chooser = selector(1, 1)
    for _ in range(100):
        pick(chooser, lambda name: name != "a")

    following = [pick(chooser) for _ in range(10)]

    assert Counter(following) == {"a": 5, "b": 5}
    assert "aa" not in "".join(following)


def test_a_source_that_refuses_makes_no_burst_either():
    chooser = selector(1, 1, 1)
    for _ in range(90):
        taken = next(name for name in chooser.order() if name != "a")
        chooser.chosen(taken)

    following = "".join(pick(chooser) for _ in range(9))

    assert Counter(following) == {"a": 3, "b": 3, "c": 3}


def test_a_choice_from_an_earlier_round_still_counts():
    chooser = selector(1, 1)
    first = next(chooser.order())
    list(chooser.order(lambda name: name != first))
    chooser.chosen(first)

    assert next(chooser.order()) != first
