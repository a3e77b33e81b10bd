"""What the spool held at start goes back where it belongs, whatever a handler does."""

from __future__ import annotations

import textwrap
from types import SimpleNamespace
from typing import Any

import pytest

from engine.base.clock import Clock
from engine.hooks import HOOKS
from engine.model.log_record import RecordKind
from engine.model.message import Message, SpoolId, decode_envelope, encode_envelope, new_spool_id
from engine.model.message_mark import mark_of
from engine.records.recorder import Recorder
from engine.schedule.reinsertion import UNROUTABLE, Reinsertion
from engine.script_api import ScriptApi
from engine.spool.memory_store import MemoryStore
from engine.spool.spool_store import DamagedEntry, StoredMessage
from engine.throttle.limiter import MemoryLimiter
from policy.runtime import PolicyRuntime
from policy.script_api import ScriptNamespace
from tests.fakes.smtp_node import HEADER, ListSink


class World:
    """A reinsertion with a script, a store and a list for a queue."""

    def __init__(self, tmp_path: Any, script: str = "") -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock.wall_of)
        self.sink = ListSink()
        recorder = Recorder(self.clock, "node-1", "mx.test")
        recorder.add_sink(self.sink)
        namespace = ScriptNamespace()
        ScriptApi(MemoryLimiter(self.clock.mono)).expose(namespace, version="test")
        runtime = PolicyRuntime(HOOKS, namespace, mono=self.clock.mono)
        path = tmp_path / "init.py"
        path.write_text(HEADER + textwrap.dedent(script))
        runtime.swap(runtime.load(path))
        self.placed: list[tuple[bytes, str, float, int]] = []
        promotion = SimpleNamespace(add_waiting=lambda *entry: self.placed.append(entry))
        self.reinsertion = Reinsertion(
            SimpleNamespace(
                clock=self.clock,
                store=self.store,
                runtime=runtime,
                recorder=recorder,
                promotion=promotion,
            )
        )

    async def reinsert(self, **fields: Any) -> Message:
        message = Message(
            new_spool_id(), "a@x.test", ["b@Y.test"], data=b"a: b\r\n\r\n", size=8, created_at=1.0
        )
        for name, value in fields.items():
            setattr(message, name, value)
        await self.store.commit([message])
        raw = encode_envelope(message, self.clock.wall() + 60)
        waiting = self.reinsertion.reinsert(StoredMessage(message.spool_id, decode_envelope(raw)))
        if waiting is not None:
            await waiting
        return message


async def test_a_message_waits_in_its_queue_until_its_stored_due_time(tmp_path):
    world = World(tmp_path)

    message = await world.reinsert(meta={"tenant": "t1"})

    ((spool_id, queue, due_mono, mark),) = world.placed
    assert (spool_id, queue) == (message.spool_id, "t1@y.test")
    assert due_mono - world.clock.mono() == pytest.approx(60, abs=1)
    assert mark == mark_of(message.sender, message.recipients)


async def test_what_message_enumerated_changes_is_stored(tmp_path):
    world = World(
        tmp_path,
        """
        @on("message_enumerated")
        def seen(msg):
            msg.set_meta("tenant", "moved")
            msg.append_header("X-Seen", "yes")
        """,
    )

    message = await world.reinsert()

    assert world.placed[0][1] == "moved@y.test"
    stored = world.store.load(message.spool_id)
    assert stored is not None and stored.meta["tenant"] == "moved"
    assert b"X-Seen: yes\r\n" in world.store.load_body(SpoolId(stored.body_id))


async def test_a_failing_handler_strands_nothing(tmp_path):
    world = World(
        tmp_path,
        """
        @on("message_enumerated")
        def seen(msg):
            1 // 0
        """,
    )

    await world.reinsert()

    assert world.placed[0][1] == "y.test"


async def test_a_message_whose_queue_cannot_be_named_waits_where_operators_see_it(tmp_path):
    world = World(tmp_path)

    await world.reinsert(meta={"queue": "t1@"})

    assert world.placed[0][1] == UNROUTABLE


@pytest.mark.parametrize("spool_id", [b"", b"short", bytes(range(16))])
async def test_a_damaged_entry_is_a_record_and_a_line(tmp_path, caplog, spool_id):
    world = World(tmp_path)

    world.reinsertion.report_damaged(DamagedEntry(spool_id, "no msgpack"))

    (record,) = world.sink.records
    assert record.kind is RecordKind.BOUNCE
    assert record.response.code == 554
    assert "the spool entry is damaged: no msgpack" in record.response.content
    assert "damaged spool entry" in caplog.text
    if len(spool_id) == 16:
        assert record.id == spool_id.hex()
