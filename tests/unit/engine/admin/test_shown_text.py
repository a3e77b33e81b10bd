"""What is shown fits into an answer."""

from __future__ import annotations

import pytest

from engine.admin.shown_text import TEXT_MAX, shown_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("/etc/init.py", "/etc/init.py"), ("a\udcffb", "a?b"), ("x" * 3000, "x" * TEXT_MAX)],
)
def test_a_text_is_cut_and_can_be_encoded(text, shown):
    assert shown_text(text) == shown
