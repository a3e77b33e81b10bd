"""What is shown fits into an answer."""

from __future__ import annotations

import pytest

from engine.admin.shown_text import TEXT_MAX, shown_text, shown_value


@pytest.mark.parametrize(
    ("text", "shown"),
    [("/etc/init.py", "/etc/init.py"), ("a\udcffb", "a?b"), ("x" * 3000, "x" * TEXT_MAX)],
)
def test_a_text_is_cut_and_can_be_encoded(text, shown):
    assert shown_text(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": [1, None]}, {"a": [1, None]}),
        (["x" * 3000], '["' + "x" * (TEXT_MAX - 2)),
        (object, "<class 'object'>"),
        ("\udcff", "?"),
    ],
)
def test_a_value_is_shown_as_it_is_or_as_the_beginning_of_its_text(value, shown):
    assert shown_value(value) == shown
