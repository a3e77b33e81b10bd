"""The message behind an entry: there, gone, damaged, or not readable now."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.base.clock import Clock
from engine.model.errors import SpoolEntryDamagedError, SpoolUnavailableError
from engine.model.message import Message, new_spool_id
from engine.model.queue_name import parse_queue_name
from engine.schedule.scheduled_queue import ScheduledQueue
from engine.schedule.stored_messages import SPOOL_RETRY_S, StoredMessages
from engine.schedule.timer_wheel import Waiting
from engine.spool.memory_store import MemoryStore


class World:
    def __init__(self) -> None:
        self.clock = Clock(lambda: 100.0, lambda: 0.0)
        self.store = MemoryStore(self.clock.wall_of)
        self.dropped: list[tuple[Message, str]] = []
        self.resumed: list[tuple[float, str]] = []
        settlement = SimpleNamespace(
            drop_damaged=lambda message, text: self.dropped.append((message, text))
        )
        self.stored = StoredMessages(
            self,
            lambda: settlement,
            lambda _queue, delay_s, why: self.resumed.append((delay_s, why)),
        )
        self.queue = ScheduledQueue("x.test", parse_queue_name("x.test"), 0.0)
        self.message = Message(
            new_spool_id(), "a@b", ["c@x.test"], data=b"x", size=1, created_at=0.0
        )
        self.message.queue_name = "x.test"
        self.entry = Waiting(self.message.spool_id, 5.0, self.queue, 0)
        self.queue.add(self.entry)

    def fail(self, error: Exception) -> None:
        def load(_spool_id):
            raise error

        self.store.load = load


@pytest.fixture
def world():
    return World()


async def test_a_message_comes_with_its_due_time_and_queue(world):
    await world.store.commit([world.message])

    found = world.stored.load(world.queue, world.entry)

    assert found.spool_id == world.message.spool_id
    assert (found.due_mono, found.queue_name) == (5.0, "x.test")
    assert world.queue.knows(world.entry)


def test_one_that_is_gone_leaves_its_queue(world):
    assert world.stored.load(world.queue, world.entry) is None
    assert not world.queue.knows(world.entry)
    assert world.resumed == []


def test_one_that_is_damaged_leaves_its_queue_and_is_recorded(world):
    world.fail(SpoolEntryDamagedError("torn"))

    assert world.stored.load(world.queue, world.entry) is None
    assert not world.queue.knows(world.entry)
    assert [(one.queue_name, text) for one, text in world.dropped] == [("x.test", "torn")]


def test_one_that_cannot_be_read_now_stays_and_is_tried_again(world):
    world.fail(SpoolUnavailableError("away"))

    assert world.stored.load(world.queue, world.entry) is None
    assert world.queue.knows(world.entry)
    assert world.resumed == [(SPOOL_RETRY_S, "away")]
