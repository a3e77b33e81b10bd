"""Sending records to a daemon: until it has them, and never twice without need."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from engine.records.feed_journal import Position, Stretch
from engine.records.feed_publisher import FeedPublisher
from tests.fakes.fake_tsa import FakeTsa, wait_until

pytestmark = pytest.mark.real_time


class Source:
    """Lines in memory; a position counts them."""

    def __init__(self, lines):
        self.lines = lines

    async def read(self, position, lines_max, octets_max):
        while position.offset >= len(self.lines):
            await asyncio.sleep(0.01)
        some = self.lines[position.offset : position.offset + lines_max]
        return Stretch(some, Position(1, position.offset + len(some)))


@pytest.fixture
async def tsa():
    made = FakeTsa()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def publish(tsa):
    tasks, pauses = [], []
    session = aiohttp.ClientSession()

    async def pause(seconds):
        pauses.append(seconds)
        await asyncio.sleep(0)

    def start(lines, **options):
        publisher = FeedPublisher(
            tsa.url,
            Source(lines),
            Position(1, 0),
            session=lambda: session,
            sleep=pause,
            **{"timeout_s": 5.0, **options},
        )
        publisher.pauses = pauses
        tasks.append(asyncio.get_running_loop().create_task(publisher.run()))
        return publisher

    yield start
    for task in tasks:
        task.cancel()
    await session.close()


LINES = [f'{{"record_id":"r{number}"}}'.encode() for number in range(5000)]


async def test_many_lines_go_in_few_requests(publish, tsa):
    publisher = publish(LINES)

    await wait_until(lambda: publisher.position.offset == 5000)

    assert len(tsa.records) == 5000
    assert [count for _, count in tsa.requests] == [2000, 2000, 1000]


@pytest.mark.parametrize("status", [500, 503, 429, 401, 302])
async def test_a_batch_that_was_not_taken_comes_again(publish, tsa, status):
    tsa.statuses = [status, status]
    publisher = publish(LINES[:3])

    await wait_until(lambda: publisher.position.offset == 3)

    assert [one["record_id"] for one in tsa.records] == ["r0", "r1", "r2"]
    assert publisher.pauses == [0.25, 0.5]
    assert publisher.trouble is None


async def test_a_daemon_that_is_away_is_tried_within_seconds_for_ever(publish, tsa, caplog):
    await tsa.stop()
    publisher = publish(LINES[:1])

    await wait_until(lambda: len(publisher.pauses) > 20)

    assert max(publisher.pauses) == 3.0
    assert publisher.position == (1, 0)
    assert len([one for one in caplog.records if "wait on disk" in one.message]) == 1


async def test_a_daemon_that_takes_no_batches_gets_single_records(publish, tsa):
    tsa.takes_batches = False
    publisher = publish(LINES[:20])

    await wait_until(lambda: publisher.position.offset == 20)

    assert sorted(one["record_id"] for one in tsa.records) == sorted(f"r{n}" for n in range(20))
    assert tsa.requests[0] == ("application/x-ndjson", 20)
    assert set(tsa.requests[1:]) == {("application/json", 1)}


async def test_what_the_daemon_calls_no_record_is_counted_and_left(publish, tsa, caplog):
    tsa.refused = 2
    publisher = publish(LINES[:5])

    await wait_until(lambda: publisher.position.offset == 5)

    assert publisher.refused == 2
    assert "refuses records" in caplog.text


async def test_an_address_of_a_daemon_is_logged_without_its_password(publish, tsa, caplog):
    tsa.statuses = [500]
    publisher = publish(LINES[:1])
    publisher.url = "http://user:secret@tsa.test/"

    await wait_until(lambda: publisher.position.offset == 1)

    assert "secret" not in caplog.text
    assert "http://tsa.test/" in caplog.text
