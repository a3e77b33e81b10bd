"""Old epochs are looked for until they are gone, and not for ever."""

from __future__ import annotations

import asyncio

import pytest

from engine.retired_epochs import LOOKS, RetiredEpochs
from policy.budget import Budget
from policy.epoch import Epoch


class World:
    """Epochs in circles, and a collector that is counted."""

    def __init__(self):
        self.looks = []
        self.used = []
        self.circles = []
        self.retired = RetiredEpochs(self.start, self.collect)
        self.tasks = []

    def start(self, work, name):
        self.tasks.append(asyncio.ensure_future(work))

    def collect(self):
        self.looks.append(asyncio.get_running_loop().time())
        # What nothing uses is gone, circle or not.
        self.circles.clear()

    def begin(self):
        epoch = Epoch(1, Budget())
        self.circles.append(epoch)
        self.retired.begin(epoch)
        return epoch


@pytest.fixture
async def world():
    return World()


async def test_an_epoch_that_nothing_uses_is_gone_soon_after_the_reload(world):
    world.begin()
    last = world.begin()
    assert world.retired.count() == 1
    assert len(world.retired.held()) == 1

    await asyncio.sleep(2)

    assert world.retired.count() == 0
    assert len(world.looks) == 1
    assert last is not None


async def test_one_in_use_is_looked_for_further_and_further_apart_and_then_no_more(world):
    used = world.begin()
    last = world.begin()

    await asyncio.sleep(10_000)

    assert world.retired.count() == 1
    assert len(world.looks) == LOOKS
    pauses = [b - a for a, b in zip(world.looks, world.looks[1:], strict=False)]
    assert pauses == pytest.approx([2.0**n for n in range(1, LOOKS)], rel=0.01)
    assert all(task.done() for task in world.tasks)
    assert used is not last


async def test_what_is_still_there_is_looked_for_again_after_the_next_reload(world):
    used = world.begin()
    last = world.begin()
    await asyncio.sleep(10_000)
    del used

    last = world.begin()
    await asyncio.sleep(5)

    assert world.retired.count() == 0
    assert last is not None


async def test_reloads_in_a_row_are_one_look_now_and_then(world):
    for _ in range(100):
        last = world.begin()
        await asyncio.sleep(0.1)
    await asyncio.sleep(5)

    assert world.retired.count() == 0
    assert len(world.looks) <= 12
    assert len(world.tasks) <= 100 / 5
    assert last is not None


async def test_the_first_epoch_asks_for_nothing(world):
    epoch = world.begin()
    world.retired.begin(epoch)

    assert world.tasks == []
