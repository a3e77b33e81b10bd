"""Supervised tasks: how they end is seen, and the end is bounded."""

from __future__ import annotations

import asyncio

from engine.base.lifecycle import Supervisor


async def fail():
    raise RuntimeError("broken inside")


async def test_an_unknown_error_is_logged_counted_and_reported(caplog):
    seen = []
    supervisor = Supervisor(lambda name, error: seen.append((name, str(error))))

    supervisor.start(fail(), "worker")
    assert await supervisor.wait_empty(1)

    assert seen == [("worker", "broken inside")]
    assert supervisor.defects == 1
    assert "task worker failed" in caplog.text


async def test_results_are_kept_and_tasks_are_forgotten():
    supervisor = Supervisor()

    async def answer():
        return 7

    task = supervisor.start(answer())
    assert len(supervisor) == 1
    assert await task == 7
    await asyncio.sleep(0)
    assert len(supervisor) == 0
    assert supervisor.defects == 0


async def test_waiting_is_bounded():
    supervisor = Supervisor()
    supervisor.start(asyncio.sleep(1000))

    assert not await supervisor.wait_empty(5)
    await supervisor.stop()
    assert await supervisor.wait_empty(0)


async def test_stop_lets_tasks_clean_up():
    supervisor = Supervisor()
    cleaned = []

    async def work():
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(1)
            cleaned.append(True)

    supervisor.start(work())
    await asyncio.sleep(0)

    await supervisor.stop()

    assert cleaned == [True]
    assert supervisor.defects == 0


async def test_stop_names_what_ignores_it_and_goes_on(caplog):
    supervisor = Supervisor()
    release = asyncio.Event()

    async def stubborn():
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task = supervisor.start(stubborn(), "mule")
    await asyncio.sleep(0)

    await supervisor.stop(cleanup_s=2)

    assert "task mule ignored its cancellation" in caplog.text
    release.set()
    await task


async def test_a_task_can_stop_the_supervisor_it_belongs_to():
    supervisor = Supervisor()
    other = supervisor.start(asyncio.sleep(1000))
    await supervisor.start(supervisor.stop())

    assert other.cancelled()
