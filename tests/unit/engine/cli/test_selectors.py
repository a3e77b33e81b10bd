"""Which mail is meant."""

from __future__ import annotations

import click
import pytest

from engine.cli.selectors import read_selectors, show_criteria


def test_all_fields_that_were_said_are_meant_together():
    fields = {"domain": "a.test", "tenant": "acme", "campaign": None}

    assert read_selectors((), fields, everything=False) == {"domain": "a.test", "tenant": "acme"}


def test_queues_are_meant_by_their_names():
    assert read_selectors(("x", "y"), {}, everything=False) == {"queue_names": ["x", "y"]}


def test_everything_has_to_be_said():
    assert read_selectors((), {}, everything=True) == {}
    with pytest.raises(click.UsageError, match="say which mail"):
        read_selectors((), {"domain": None}, everything=False)


@pytest.mark.parametrize(
    ("queues", "fields", "everything"),
    [(("q",), {"domain": "a"}, False), ((), {"domain": "a"}, True), (("q",), {}, True)],
)
def test_kinds_of_selectors_exclude_each_other(queues, fields, everything):
    with pytest.raises(click.UsageError, match="exclude"):
        read_selectors(queues, fields, everything=everything)


def test_criteria_read_as_they_were_typed():
    criteria = {"domain": "a.test", "tenant": None, "queue_names": ["q"]}

    assert show_criteria(criteria) == "domain=a.test queue=q"
    assert show_criteria({"domain": None}) == "everything"
