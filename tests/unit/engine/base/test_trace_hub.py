"""Traces of sessions: chosen by what is known of them."""

from __future__ import annotations

import pytest

from engine.base.trace_hub import OFF, TraceEvent, TraceHub, Tracing


async def test_sessions_are_chosen_by_what_is_known_of_them():
    hub = TraceHub()
    reader = hub.subscribe(lambda meta: meta["domain"] == "a.test")
    for domain in ("a.test", "b.test"):
        hub.publish(TraceEvent({"domain": domain}, "Connected", None, 0.0))
    reader.close()

    assert (await reader.next()).meta == {"domain": "a.test"}
    assert await reader.next() is None


@pytest.mark.parametrize(
    ("value", "octets"), [(None, 512), (b"x" * 10, 522), ("x" * 10, 522), ({"a": "b"}, 512)]
)
def test_an_event_weighs_its_content(value, octets):
    assert TraceEvent({}, "Read", value, 0.0).octets == octets


def test_nobody_watches_at_first():
    tracing = Tracing()

    assert not (OFF.is_on or tracing.server.is_on or tracing.client.is_on or tracing.records.is_on)
