"""The alarm over waiting messages."""

import asyncio

import pytest

from engine.base.clock import loop_clock
from engine.base.lifecycle import Supervisor
from engine.schedule.due_times import DueTimes
from engine.schedule.timer_wheel import TICK_S, Waiting


class Queue:
    """A queue that knows all but what it is told to forget."""

    def __init__(self):
        self.forgotten = set()

    def knows(self, entry):
        return entry.spool_id not in self.forgotten


class Node:
    def __init__(self):
        self.clock = loop_clock(asyncio.get_running_loop())
        self.supervisor = Supervisor()
        self.queue = Queue()
        self.out = []
        self.broken = 0
        self.alarm = DueTimes(self, self.due)

    def due(self, entry):
        if self.broken:
            self.broken -= 1
            raise RuntimeError("cannot take it")
        self.out.append((self.clock.mono(), entry))

    def add(self, name, delay_s):
        entry = Waiting(name.encode(), self.clock.mono() + delay_s, self.queue)
        self.alarm.add(entry)
        return entry

    @property
    def names(self):
        return [entry.spool_id.decode() for _, entry in self.out]


@pytest.fixture
async def node():
    return Node()


async def test_hands_over_at_the_due_time_and_not_before(node):
    for name, delay_s in (("c", 7200.0), ("a", 3.3), ("b", 60.0)):
        node.add(name, delay_s)
    await asyncio.sleep(7201)

    assert node.names == ["a", "b", "c"]
    assert all(0 <= at - entry.due_mono < TICK_S + 0.05 for at, entry in node.out)


async def test_an_entry_added_later_and_due_sooner_comes_first(node):
    node.add("late", 500)
    await asyncio.sleep(1)
    node.add("soon", 1)
    await asyncio.sleep(2)

    assert node.names == ["soon"]


async def test_passes_over_what_its_queue_no_longer_knows(node):
    node.add("gone", 1)
    node.add("here", 1)
    node.queue.forgotten.add(b"gone")
    await asyncio.sleep(2)

    assert node.names == ["here"]


async def test_what_could_not_be_handed_over_comes_again_and_the_rest_with_it(node):
    for name in "abc":
        node.add(name, 1.0)
    node.broken = 1
    await asyncio.sleep(2)
    assert node.names == []
    await asyncio.sleep(61)

    assert node.names == ["a", "b", "c"]


async def test_after_an_error_later_entries_still_come(node):
    node.add("a", 1.0)
    node.add("b", 10.0)
    node.broken = 1
    await asyncio.sleep(11)

    assert node.names == ["b"]


async def test_many_due_at_once_let_others_have_their_turns(node):
    for _ in range(20_000):
        node.add("x", 1.0)
    await asyncio.sleep(0.9)
    turns = 0
    while len(node.out) < 20_000:
        await asyncio.sleep(0)
        turns += bool(node.out)

    assert turns >= 3


async def test_nothing_comes_after_the_stop(node):
    node.add("a", 1.0)
    node.alarm.stop()
    node.add("b", 0.5)
    await asyncio.sleep(5)

    assert node.names == []
