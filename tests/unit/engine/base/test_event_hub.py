"""Events: free while nobody watches, bounded for those who do."""

from __future__ import annotations

import asyncio

import pytest

from engine.base import event_hub
from engine.base.event_hub import EventHub, TooManyReadersError
from engine.base.trace_hub import TraceEvent


def event(value="x", **meta):
    return TraceEvent(meta, "Read", value, 0.0)


def everything(_event):
    return True


async def test_a_hub_is_on_while_somebody_watches():
    hub = EventHub()
    assert not hub.is_on

    one, two = hub.watch(everything), hub.watch(everything)
    one.close()
    assert hub.is_on
    two.close()

    assert not hub.is_on and len(hub) == 0


async def test_a_reader_gets_what_it_wants_in_order_and_then_the_end():
    hub = EventHub()
    reader = hub.watch(lambda event: event.meta["n"] % 2 == 0)
    for number in range(6):
        hub.publish(event(n=number))
    reader.close()

    got = []
    while (item := await reader.next()) is not None:
        got.append(item.meta["n"])
    assert got == [0, 2, 4]


async def test_who_waits_is_woken_by_an_event_and_by_the_end():
    hub = EventHub()
    reader = hub.watch(everything)
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
    monkeypatch.setattr(event_hub, "EVENTS_MAX", 3)
    hub = EventHub()
    reader = hub.watch(everything)
    for number in range(10):
        hub.publish(event(number=number))

    got = [await reader.next() for _ in range(4)]
    hub.publish(event(number=10))
    got.append(await reader.next())

    shown = [item if isinstance(item, int) else item.meta["number"] for item in got]
    assert shown == [0, 1, 2, 7, 10]


@pytest.mark.parametrize("value", [b"x" * 1000, "x" * 1000])
async def test_large_events_are_bounded_by_their_octets(monkeypatch, value):
    monkeypatch.setattr(event_hub, "OCTETS_MAX", 5000)
    hub = EventHub()
    reader = hub.watch(everything)
    for _ in range(100):
        hub.publish(event(value))

    kept = 0
    while not isinstance(await reader.next(), int):
        kept += 1
    assert kept == 3
    hub.publish(event(value))
    assert (await reader.next()).value == value


async def test_no_more_readers_than_there_are_places(monkeypatch):
    monkeypatch.setattr(event_hub, "READERS_MAX", 2)
    hub = EventHub()
    first = hub.watch(everything)
    hub.watch(everything)
    with pytest.raises(TooManyReadersError):
        hub.watch(everything)
    first.close()

    hub.watch(everything)


async def test_who_wants_to_know_is_told_when_the_first_comes_and_the_last_leaves():
    hub = EventHub()
    told = []
    hub.on_switch = told.append
    one, two = hub.watch(everything), hub.watch(everything)
    one.close()
    one.close()
    assert told == [True]
    two.close()

    assert told == [True, False]
