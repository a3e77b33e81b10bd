"""Compactions: all of it, beside the mail, and never under the hands of who closes."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from engine.base.clock import Clock
from engine.model.errors import SpoolUnavailableError
from engine.spool import compaction
from engine.spool.compaction import Compaction, key_ranges
from engine.spool.disk_store import DiskStore
from tests.fakes.faulty_disk import make_message

pytestmark = pytest.mark.real_time


class Database:
    """A database of two files whose compaction waits for a gate."""

    def __init__(self):
        self.calls = []
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.error = None

    def flush(self):
        self.calls.append("flush")

    def live_files(self):
        return [
            {"start_key": b"m", "end_key": b"z"},
            {"start_key": b"a", "end_key": b"c"},
            {"start_key": b"a", "end_key": b"c"},
            {"start_key": None, "end_key": None},
        ]

    def compact_range(self, start, end):
        self.began.set()
        self.gate.wait(10)
        if self.error is not None:
            raise self.error
        self.calls.append((start, end))


def test_each_range_of_files_is_rewritten_once_and_in_order():
    assert key_ranges(Database().live_files()) == [(b"a", b"c"), (b"m", b"z")]
    assert key_ranges([]) == []


async def test_memory_is_written_out_before_the_files_are_rewritten():
    database = Database()

    await Compaction(lambda: database).run()

    assert database.calls == ["flush", (b"a", b"c"), (b"m", b"z")]


async def test_who_comes_while_one_goes_on_waits_for_its_end():
    database = Database()
    database.gate.clear()
    made = Compaction(lambda: database)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(made.run())
        await asyncio.to_thread(database.began.wait, 10)
        database.gate.set()

    assert database.calls.count("flush") == 1
    await made.run()
    assert database.calls.count("flush") == 2


async def test_an_error_is_told_to_who_asked():
    database = Database()
    database.error = RuntimeError("Corruption: x")

    with pytest.raises(SpoolUnavailableError, match="Corruption"):
        await Compaction(lambda: database).run()
    with pytest.raises(SpoolUnavailableError, match="cannot be used now"):
        await Compaction(lambda: None).run()


async def test_who_closes_waits_for_the_file_at_work_and_not_for_ever(monkeypatch):
    database = Database()
    database.gate.clear()
    made = Compaction(lambda: database)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(made.run())
        await asyncio.to_thread(database.began.wait, 10)
        monkeypatch.setattr(compaction, "CLOSE_S", 0.05)
        with pytest.raises(TimeoutError), made.paused():
            pass
        monkeypatch.setattr(compaction, "CLOSE_S", 10.0)
        threading.Timer(0.05, database.gate.set).start()
        began = time.monotonic()

        def close():
            with made.paused():
                return time.monotonic() - began

        assert await asyncio.to_thread(close) < 9
        await running


async def test_a_spool_is_compacted_while_mail_comes_in_and_loses_nothing(tmp_path):
    store = DiskStore(tmp_path / "spool", Clock(), asyncio.get_running_loop())
    store.open()
    messages = [make_message(body=b"x" * 2000) for _ in range(200)]
    await store.commit(messages)
    for message in messages[:150]:
        store.remove(message)

    late = make_message(body=b"late")
    await asyncio.gather(store.compact(), store.commit([late]))

    assert [store.load(one.spool_id) is not None for one in (*messages, late)] == (
        [False] * 150 + [True] * 51
    )
    await store.close()
    with pytest.raises(SpoolUnavailableError):
        await store.compact()
