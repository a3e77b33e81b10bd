"""Docstrings taken apart: the whole, and each field."""

from __future__ import annotations

from engine.base.field_docs import split_docstring


class Shown:
    """A thing, as ``shown``: it goes on
    here.

    More of it.

    Attributes:
        one: Its first, and
            what follows.
        two, three: Seconds: ``2``.
    """


def test_the_whole_and_the_fields_are_told_apart():
    head, fields = split_docstring(Shown.__doc__)

    assert head == "A thing, as `shown`: it goes on here.\n\nMore of it."
    assert fields == {
        "one": "Its first, and what follows.",
        "two": "Seconds: `2`.",
        "three": "Seconds: `2`.",
    }


def test_one_without_fields_is_all_whole():
    assert split_docstring("A thing.") == ("A thing.", {})
