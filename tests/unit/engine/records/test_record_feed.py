"""The record feed: what is fed, what a restart keeps, what a bad disk costs."""

from __future__ import annotations

import asyncio

import pytest

from engine.base.clock import loop_clock
from engine.base.lifecycle import Supervisor
from engine.model.log_record import LogRecord, RecordKind, Response
from engine.model.shaping_rule_set import SKIPPED_KINDS
from engine.records import record_feed
from engine.records.record_feed import RecordFeed
from tests.fakes.fake_tsa import FakeTsa, wait_until

pytestmark = pytest.mark.real_time


def record(number: int = 0, **fields) -> LogRecord:
    return LogRecord(
        **{
            "kind": RecordKind.TRANSIENT_FAILURE,
            "record_id": f"r{number}",
            "response": Response(421, None, "slow down", "DATA"),
            **fields,
        }
    )


def make_feed(folder, **options) -> RecordFeed:
    return RecordFeed(
        folder,
        loop_clock(asyncio.get_running_loop()),
        Supervisor(),
        **{
            "wants_record": lambda record: True,
            "longest_duration_s": lambda: 3600.0,
            "skipped": SKIPPED_KINDS,
            "timeout_s": 5.0,
            **options,
        },
    )


@pytest.fixture
async def tsa():
    made = FakeTsa()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def feed(tmp_path):
    made = make_feed(tmp_path)
    yield made
    await made.stop()


def ids(tsa):
    return [one["record_id"] for one in tsa.records]


async def test_records_reach_every_daemon_in_order(feed, tsa):
    other = FakeTsa()
    await other.start()
    await feed.start([tsa.url, other.url])

    for number in range(50):
        feed.write(record(number), None)
    await wait_until(lambda: len(tsa.records) == len(other.records) == 50)

    assert ids(tsa) == ids(other) == [f"r{number}" for number in range(50)]
    await other.stop()


async def test_what_no_rule_could_count_is_not_fed(tmp_path, tsa):
    feed = make_feed(tmp_path, wants_record=lambda record: record.response.code == 421)
    await feed.start([tsa.url])

    feed.write(record(1, response=Response(250, None, "fine", None)), None)
    feed.write(record(2, reception_protocol="LogRecord"), None)
    feed.write(record(3), None)
    await wait_until(lambda: tsa.records)

    assert ids(tsa) == ["r3"]
    assert feed.wants(RecordKind.BOUNCE)
    assert not feed.wants(RecordKind.RECEPTION)
    await feed.stop()


async def test_what_another_node_says_to_a_transfer_is_not_fed(feed, tsa):
    await feed.start([tsa.url])

    feed.write(record(1, delivery_protocol="Xfer"), None)
    feed.write(record(2, delivery_protocol="ESMTP"), None)
    await wait_until(lambda: tsa.records)

    assert ids(tsa) == ["r2"]


async def test_records_wait_on_disk_while_the_daemon_is_away_and_over_a_restart(tmp_path, tsa):
    port = tsa.port
    await tsa.stop()
    feed = make_feed(tmp_path)
    await feed.start([tsa.url])
    feed.write(record(1), None)
    await wait_until(lambda: feed.publishers[tsa.url].trouble)
    assert feed.backlog(tsa.url) > 0
    await feed.stop()

    await tsa.start(port)
    again = make_feed(tmp_path)
    await again.start([tsa.url])
    again.write(record(2), None)
    await wait_until(lambda: len(tsa.records) == 2)

    assert ids(tsa) == ["r1", "r2"]
    await again.stop()


async def test_what_a_daemon_has_is_not_sent_again_after_a_restart(tmp_path, tsa):
    feed = make_feed(tmp_path)
    await feed.start([tsa.url])
    feed.write(record(1), None)
    await wait_until(lambda: feed.backlog(tsa.url) == 0)
    await feed.stop()

    again = make_feed(tmp_path)
    await again.start([tsa.url])
    again.write(record(2), None)
    await wait_until(lambda: len(tsa.records) >= 2)

    assert ids(tsa) == ["r1", "r2"]
    await again.stop()


async def test_a_daemon_that_is_no_longer_wanted_gets_nothing_more(feed, tsa):
    await feed.start([tsa.url])
    feed.publish_to([])
    feed.write(record(1), None)
    await feed.keep()

    assert tsa.records == []
    assert feed.publishers == {}


async def test_lines_that_a_slow_thread_is_writing_survive_the_stop(tmp_path, tsa):
    began, may_write = asyncio.Event(), asyncio.Event()

    async def in_slow_thread(function, *values):
        if getattr(function, "__name__", "") == "append" and not may_write.is_set():
            began.set()
            await may_write.wait()
        return function(*values)

    feed = make_feed(tmp_path, in_thread=in_slow_thread)
    await feed.start([])
    feed.write(record(1), None)
    await began.wait()
    feed.write(record(2), None)
    stopping = asyncio.ensure_future(feed.stop())
    await asyncio.sleep(0)
    may_write.set()
    await stopping

    again = make_feed(tmp_path)
    await again.start([tsa.url])
    await wait_until(lambda: len(tsa.records) == 2)
    assert ids(tsa) == ["r1", "r2"]
    await again.stop()


async def test_a_disk_that_hangs_does_not_hold_the_stop(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(record_feed, "STOP_S", 0.02)
    began = asyncio.Event()

    async def in_hanging_thread(function, *values):
        if getattr(function, "__name__", "") == "append":
            began.set()
            await asyncio.Event().wait()
        return function(*values)

    feed = make_feed(tmp_path, in_thread=in_hanging_thread)
    await feed.start([])
    feed.write(record(1), None)
    await began.wait()
    await feed.stop()

    assert "does not answer" in caplog.text


async def test_a_full_disk_holds_nobody_up_and_is_made_up_for(feed, tsa, monkeypatch, caplog):
    monkeypatch.setattr(record_feed, "RETRY_S", 0.02)
    await feed.start([tsa.url])
    journal = feed._journal
    append, failures = journal.append, [OSError(28, "No space left on device")] * 2

    def full(lines):
        if failures:
            raise failures.pop()
        append(lines)

    monkeypatch.setattr(journal, "append", full)
    feed.write(record(1), None)
    await wait_until(lambda: tsa.records)

    assert ids(tsa) == ["r1"]
    assert not feed.must_wait
    assert [one.message for one in caplog.records if "cannot be written" in one.message] == [
        "records for the automation cannot be written: [Errno 28] No space left on device"
    ]


async def test_what_finds_no_room_in_memory_is_dropped_and_counted(tmp_path):
    feed = make_feed(tmp_path, waiting_max=3)  # not started: nobody writes

    for number in range(5):
        feed.write(record(number), None)

    assert feed.dropped == 2


async def test_records_too_old_for_any_rule_are_given_up_and_counted(tmp_path, tsa):
    import os

    await tsa.stop()
    feed = make_feed(tmp_path, longest_duration_s=lambda: 10.0)
    feed._journal._segment_octets = 10
    await feed.start([tsa.url])
    for number in range(3):
        feed.write(record(number), None)
        await wait_until(lambda: not feed._waiting)
        await asyncio.sleep(0.02)
    for path in sorted(tmp_path.glob("*.ndjson"))[:-1]:
        os.utime(path, (1000, 1000))

    await feed.keep()

    assert feed.missed[tsa.url] >= 1
    await feed.stop()
