"""Directives by criteria."""

import pytest

from engine.control.directive_set import DirectiveSet
from engine.model.suspension import Criteria


class Time:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def changes():
    return []


@pytest.fixture
def directives(time, changes):
    return DirectiveSet(time, lambda: changes.append(1))


def test_is_empty_until_something_is_added(directives):
    assert directives.is_empty
    assert directives.find("t@example.com") is None

    directives.add(Criteria(tenant="t"), "why", "who", 60)

    assert not directives.is_empty
    assert directives.find("t@example.com").reason == "why"
    assert directives.find("u@example.com") is None


def test_a_new_directive_counts_for_a_queue_that_was_asked_before(directives):
    directives.add(Criteria(tenant="x"), "", "", 60)
    assert directives.find("t@example.com") is None

    added = directives.add(Criteria(tenant="t"), "", "", 60)

    assert directives.find("t@example.com") is added


def test_identical_criteria_replace(directives):
    first = directives.add(Criteria(tenant="t"), "one", "", 60)
    second = directives.add(Criteria(tenant="t"), "two", "", 30)

    assert list(directives) == [second]
    assert not directives.cancel(first.id)
    assert directives.find("t@d").reason == "two"


def test_the_one_that_ends_last_is_used(directives, time):
    directives.add(Criteria(), "short", "", 10)
    directives.add(Criteria(tenant="t"), "long", "", 100)
    directives.add(Criteria(domain="d"), "middle", "", 50)

    assert directives.find("t@d").reason == "long"
    assert directives.find("u@d").reason == "middle"
    time.now = 60
    assert directives.find("u@d") is None
    assert directives.find("t@d").reason == "long"


def test_an_expired_one_never_matches_and_is_removed(directives, time, changes):
    directives.add(Criteria(), "", "", 10)
    assert directives.find("d")
    before = directives.generation
    time.now = 10

    assert directives.find("d") is None
    assert directives.is_empty
    assert directives.generation > before
    assert directives.next_expiry_mono is None
    assert len(changes) == 2


def test_an_expired_one_that_was_never_asked_for_is_not_listed(directives, time):
    directives.add(Criteria(), "", "", 10)
    time.now = 11

    assert list(directives) == []


def test_a_cancelled_one_no_longer_matches(directives):
    made = directives.add(Criteria(), "", "", 10)
    assert directives.find("d")

    assert directives.cancel(made.id)
    assert directives.find("d") is None
    assert not directives.cancel(made.id)


def test_all_four_criteria_together_match(directives):
    criteria = Criteria(campaign="c", tenant="t", domain="d", routing_domain="r")
    directives.add(criteria, "", "", 10)

    assert directives.find("c:t@d!r")
    assert directives.find("c:t@d") is None
    assert directives.next_expiry_mono == 10
