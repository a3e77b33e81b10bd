"""What tasks wait for, many alike as one."""

from __future__ import annotations

import asyncio

from engine.base.task_dump import dump_tasks, format_dump, waits_at


async def deep(gate):
    await deeper(gate)


async def deeper(gate):
    await gate.wait()


async def test_tasks_that_wait_at_one_place_are_one_entry():
    gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(500):
            group.create_task(deep(gate), name=f"session {number}")
        await asyncio.sleep(0)

        text = await dump_tasks(5.0, asyncio.get_running_loop().time)
        gate.set()

    assert "500 x session 0, session 1, session 2, ..." in text or "500 x session" in text
    assert text.index(" deep\n") < text.index(" deeper\n")
    assert text.startswith("501 tasks, 501 looked at")


async def test_a_look_ends_with_its_time():
    now = [0.0]

    def mono():
        now[0] += 1.0
        return now[0]

    text = await dump_tasks(0.0, mono)

    assert " 0 looked at" in text


async def test_a_task_that_runs_shows_where():
    (place, *_) = waits_at(asyncio.current_task())

    assert "test_a_task_that_runs_shows_where" in place


def test_of_many_places_those_with_most_tasks_are_shown():
    found = {(f"file:{number} f",): ["t"] * number for number in range(1, 300)}

    text = format_dump(found, 10, 20)

    assert text.splitlines()[2].startswith("299 x ")
    assert text.endswith("and 99 other places")
