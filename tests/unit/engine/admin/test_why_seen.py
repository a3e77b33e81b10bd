"""What was seen is a value: it does not change with what it was seen of."""

from __future__ import annotations

import dataclasses

import pytest

from engine.admin.why_seen import MessageSeen, QueueSeen, SessionSeen, WaySeen


def test_what_was_seen_does_not_change():
    for seen in (
        QueueSeen(name="a.test"),
        WaySeen(name="w", source="s"),
        SessionSeen("Idle", "", 0.0),
        MessageSeen(place="waiting", due_at=0.0),
    ):
        name = dataclasses.fields(seen)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(seen, name, "other")


def test_of_a_queue_nothing_is_known_but_its_name_until_it_is_looked_at():
    seen = QueueSeen(name="a.test")

    assert (seen.count, seen.ways, seen.suspended, seen.blocked_by) == (0, (), None, "")
