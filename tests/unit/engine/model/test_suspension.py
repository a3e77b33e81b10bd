"""Criteria of suspensions and bounces."""

import pytest

from engine.model.queue_name import parse_queue_name
from engine.model.suspension import Criteria, matches

NAME = "c:t@example.com!mx.example"


@pytest.mark.parametrize(
    "criteria",
    [
        Criteria(),
        Criteria(campaign="c"),
        Criteria(tenant="t"),
        Criteria(domain="example.com"),
        Criteria(domain="EXAMPLE.com."),
        Criteria(campaign="c", tenant="t", domain="example.com", routing_domain="mx.example"),
        Criteria(queue_names=frozenset([NAME])),
        Criteria(tenant="other", queue_names=frozenset([NAME])),
        Criteria(tenant=""),
    ],
)
def test_covers_the_queue(criteria):
    assert matches(criteria, NAME)
    assert matches(criteria, NAME, parse_queue_name(NAME))


@pytest.mark.parametrize(
    "criteria",
    [
        Criteria(campaign="x"),
        Criteria(campaign="c", tenant="x"),
        Criteria(domain="mx.example"),
        Criteria(routing_domain="example.com"),
        Criteria(tenant="t", queue_names=frozenset(["t@example.com"])),
    ],
)
def test_does_not_cover_the_queue(criteria):
    assert not matches(criteria, NAME)


def test_shows_only_what_was_given():
    assert Criteria(tenant="t", queue_names=frozenset("ba")).to_dict() == {
        "tenant": "t",
        "queue_names": ["a", "b"],
    }
