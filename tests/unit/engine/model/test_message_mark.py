"""Marks: what is equal is found, most of the rest is passed by."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.model.message_mark import MARKS, bits_of, fitting, mark_of, summed

addresses = st.text(min_size=1, max_size=30)


def may_be(mark, wanted):
    return fitting(wanted)[mark] == 1


@given(addresses, addresses)
def test_a_message_is_never_passed_by_who_looks_for_it(sender, recipient):
    mark = mark_of(sender, [recipient])

    assert 0 < mark < MARKS
    assert may_be(mark, mark_of(sender.upper(), [recipient])) or sender.upper().lower() != (
        sender.lower()
    )
    assert may_be(mark, mark_of(None, [recipient]))
    assert may_be(mark, mark_of(sender, []))
    assert may_be(mark, mark_of(None, []))


def test_most_others_are_passed_by():
    wanted = mark_of(None, ["someone@a.test"])

    fits = fitting(wanted)
    assert len(fits) == MARKS
    taken = sum(fits[mark_of("s@x.test", [f"r{n}@a.test"])] for n in range(10_000))
    assert taken < 100


def test_who_goes_to_several_may_be_anybody():
    several = mark_of("s@x.test", ["a@a.test", "b@a.test"])

    assert may_be(several, mark_of(None, ["z@a.test"]))
    assert not may_be(several, mark_of("other@x.test", []))


def test_a_bounce_has_a_sender_that_can_be_looked_for():
    assert may_be(mark_of("", ["a@a.test"]), mark_of("", []))
    assert not may_be(mark_of("s@x.test", ["a@a.test"]), mark_of("", []))


def test_equal_marks_are_one_object():
    assert mark_of("s@x.test", ["a@a.test"]) is mark_of("s@x.test", ["a@a.test"])


@given(st.lists(st.tuples(addresses, addresses), max_size=5), addresses, addresses)
def test_a_sum_has_the_bits_of_all_that_was_added(others, sender, recipient):
    total = summed(0, mark_of(sender, [recipient]))
    for other in others:
        total = summed(total, mark_of(other[0], [other[1]]))

    for wanted in (mark_of(sender, [recipient]), mark_of(None, [recipient]), mark_of(sender, [])):
        assert all(not bits or total & bits for bits in bits_of(wanted))


def test_a_sum_of_few_has_few_bits_and_one_of_unknown_addresses_may_be_anything():
    total = 0
    for number in range(10):
        total = summed(total, mark_of("s@x.test", [f"r{number}@a.test"]))
    several = summed(0, mark_of("s@x.test", ["a@a.test", "b@a.test"]))

    wanted = [bits_of(mark_of(None, [f"other{number}@a.test"]))[0] for number in range(1000)]
    assert sum(bool(total & bits) for bits in wanted) < 100
    assert all(several & bits for bits in wanted)
    assert bits_of(mark_of(None, [])) == (0, 0)
