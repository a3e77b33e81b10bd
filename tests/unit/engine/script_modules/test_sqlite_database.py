"""One file, used by threads: turns, ends, and what is left of an abandoned statement."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.script_modules.sqlite_database import SqliteDatabase

pytestmark = pytest.mark.real_time

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
async def database(tmp_path):
    threads = ThreadPoolExecutor(2)
    made = await SqliteDatabase(tmp_path / "x.db", 0.1, time.monotonic, threads).open()
    yield made
    await made.close()
    threads.shutdown()


async def test_an_endless_statement_ends_at_its_deadline(database):
    with pytest.raises(TimeoutError):
        await database.execute(ENDLESS, (), 0.05)

    assert await database.execute("SELECT 1", (), 5.0) == [1]


async def test_closing_waits_for_the_statement_under_way(tmp_path):
    threads = ThreadPoolExecutor(2)
    database = await SqliteDatabase(tmp_path / "y.db", 0.1, time.monotonic, threads).open()
    running = asyncio.ensure_future(database.execute(ENDLESS, (), 0.1))
    await asyncio.sleep(0.01)
    await database.close()

    with pytest.raises(TimeoutError):
        await running
    threads.shutdown()


async def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    threads = ThreadPoolExecutor(1)
    database = SqliteDatabase(tmp_path / "none" / "x.db", 0.1, time.monotonic, threads)

    with pytest.raises(OSError, match="unable to open"):
        await database.open()
    threads.shutdown()
