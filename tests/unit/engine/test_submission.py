"""Messages of scripts are stored and queued, or nothing is kept of them."""

from __future__ import annotations

import asyncio

import pytest

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.model.errors import SpoolUnavailableError
from engine.model.log_record import RecordKind
from engine.model.message import Message, new_spool_id
from engine.records.recorder import Recorder
from engine.spool.memory_store import MemoryStore
from engine.submission import Submission
from tests.fakes.smtp_node import ListSink


class World:
    """A store that can stall or fail, and a list for a queue."""

    def __init__(self) -> None:
        self.clock = Clock(lambda: 0.0, lambda: 1_700_000_000.0)
        self.supervisor = Supervisor()
        self.memory = MemoryStore(self.clock.wall_of)
        self.store = self
        self.sink = ListSink()
        self.recorder = Recorder(self.clock, "node-1", "mx.test")
        self.recorder.add_sink(self.sink)
        self.promotion = self
        self.queued: list[Message] = []
        self.relaxed: list[bool] = []
        self.disk = asyncio.Event()
        self.disk.set()
        self.trouble: str | None = None
        self.error: Exception | None = None
        self.submission = Submission(self)

    def gate(self) -> str | None:
        return self.trouble

    async def commit(self, messages, *, relaxed: bool = False) -> None:
        await self.disk.wait()
        if self.error is not None:
            raise self.error
        self.relaxed.append(relaxed)
        await self.memory.commit(messages, relaxed=relaxed)

    def insert(self, message: Message) -> None:
        assert message.spool_id in self.memory.envelopes
        self.queued.append(message)

    @property
    def kinds(self) -> list[RecordKind]:
        return [record.kind for record in self.sink.records]


@pytest.fixture
async def world():
    return World()


def make(recipients: list[str] | None = None, **meta: str) -> Message:
    return Message(
        new_spool_id(),
        "a@x.test",
        recipients or ["b@Y.test"],
        data=b"Subject: x\r\n\r\nbody\r\n",
        size=20,
        created_at=1_700_000_000.0,
        meta={"reception_protocol": "Script", **meta},
    )


@pytest.mark.parametrize("relaxed", [True, False])
async def test_a_message_is_stored_recorded_and_queued(world, relaxed):
    message = make(tenant="t")

    await world.submission.submit(message, [], relaxed)

    assert [queued.queue_name for queued in world.queued] == ["t@y.test"]
    assert world.relaxed == [relaxed]
    (record,) = world.sink.records
    assert (record.kind, record.reception_protocol) == (RecordKind.RECEPTION, "Script")


async def test_a_message_for_the_null_queue_is_recorded_only(world):
    await world.submission.submit(make(queue="null"), [], False)

    assert (world.queued, world.memory.envelopes) == ([], {})
    assert world.kinds == [RecordKind.RECEPTION]


async def test_nothing_is_taken_that_reception_would_not_take(world):
    world.trouble = "shutting down"

    with pytest.raises(SpoolUnavailableError, match="shutting down"):
        await world.submission.submit(make(), [], False)

    assert (world.queued, world.sink.records) == ([], [])


async def test_a_disk_that_fails_is_an_error_of_the_script(world):
    world.error = SpoolUnavailableError("full")

    with pytest.raises(SpoolUnavailableError, match="full"):
        await world.submission.submit(make(), [], False)

    assert (world.queued, world.sink.records) == ([], [])


async def test_a_handler_that_ends_meanwhile_leaves_the_message_wholly_taken(world):
    world.disk.clear()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await world.submission.submit(make(), [], False)
    assert world.queued == []
    world.disk.set()
    await world.supervisor.wait_empty(1)

    assert len(world.queued) == 1
    assert world.kinds == [RecordKind.RECEPTION]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (make(["b@y.test", "c@z.test"]), "several domains"),
        (make(["postmaster"]), "names no domain"),
    ],
)
async def test_a_message_without_one_queue_is_refused(world, message, text):
    with pytest.raises(ValueError, match=text):
        await world.submission.submit(message, [], False)

    assert (world.queued, world.memory.envelopes) == ([], {})


@pytest.mark.parametrize(
    "message",
    [
        make(["b@y.test", "c@Y.Test"]),
        make(["b@y.test", "c@z.test"], routing_domain="r.test"),
        make(["b@y.test", "c@z.test"], queue="own"),
    ],
)
async def test_recipients_that_go_one_way_share_a_message(world, message):
    await world.submission.submit(message, [], False)

    assert world.queued == [message]
