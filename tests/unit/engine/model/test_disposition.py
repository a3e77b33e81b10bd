"""What may become of a recipient."""

from __future__ import annotations

from engine.model.disposition import Disposition


def test_there_are_three_ends_and_no_more():
    assert {item.value for item in Disposition} == {"delivered", "deferred", "failed"}
