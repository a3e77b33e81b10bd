"""Traces: free while nobody watches, bounded for those who do."""

from __future__ import annotations

import asyncio

import pytest

from engine.base import trace_hub
from engine.base.trace_hub import OFF, TooManyReadersError, TraceEvent, TraceHub


def event(value="x", **meta):
    return TraceEvent(meta, "Read", value, 0.0)


def everything(_meta):
    return True


async def test_a_hub_is_on_while_somebody_watches():
    hub = TraceHub()
    assert not hub.is_on and not OFF.is_on

    one, two = hub.subscribe(everything), hub.subscribe(everything)
    one.close()
    assert hub.is_on
    two.close()

    assert not hub.is_on and len(hub) == 0


async def test_a_reader_gets_what_it_wants_in_order_and_then_the_end():
    hub = TraceHub()
    reader = hub.subscribe(lambda meta: meta.get("n", 0) % 2 == 0)
    for number in range(6):
        hub.publish(event(n=number))
    reader.close()

    got = []
    while (item := await reader.next()) is not None:
        got.append(item.meta["n"])
    assert got == [0, 2, 4]


async def test_who_waits_is_woken_by_an_event_and_by_the_end():
    hub = TraceHub()
    reader = hub.subscribe(everything)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(reader.next())
        await asyncio.sleep(1)
        hub.publish(event("late"))
        await asyncio.sleep(1)
        last = group.create_task(reader.next())
        await asyncio.sleep(1)
        reader.close()

    assert (first.result().value, last.result()) == ("late", None)


async def test_what_does_not_fit_is_counted_and_told_where_it_was_missed(monkeypatch):
    monkeypatch.setattr(trace_hub, "EVENTS_MAX", 3)
    hub = TraceHub()
    reader = hub.subscribe(everything)
    for number in range(10):
        hub.publish(event(number=number))

    got = [await reader.next() for _ in range(4)]
    hub.publish(event(number=10))
    got.append(await reader.next())

    shown = [item if isinstance(item, int) else item.meta["number"] for item in got]
    assert shown == [0, 1, 2, 7, 10]


@pytest.mark.parametrize("value", [b"x" * 1000, "x" * 1000])
async def test_large_events_are_bounded_by_their_octets(monkeypatch, value):
    monkeypatch.setattr(trace_hub, "OCTETS_MAX", 5000)
    hub = TraceHub()
    reader = hub.subscribe(everything)
    for _ in range(100):
        hub.publish(event(value))

    kept = 0
    while not isinstance(await reader.next(), int):
        kept += 1
    assert kept == 3
    hub.publish(event(value))
    assert (await reader.next()).value == value


async def test_no_more_readers_than_there_are_places(monkeypatch):
    monkeypatch.setattr(trace_hub, "READERS_MAX", 2)
    hub = TraceHub()
    first = hub.subscribe(everything)
    hub.subscribe(everything)
    with pytest.raises(TooManyReadersError):
        hub.subscribe(everything)
    first.close()

    hub.subscribe(everything)
