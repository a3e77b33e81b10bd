"""The slices that promotion takes of the loop's turns."""

import asyncio

from engine.schedule.pace import SERVED_A_TURN, SLICE_S, Pace


class Time:
    now = 0.0

    def __call__(self):
        return self.now


async def test_one_slice_is_shared_by_all_within_a_turn():
    time = Time()
    pace = Pace(time)
    assert not pace.is_spent()

    time.now += SLICE_S

    assert pace.is_spent()


async def test_the_next_turn_has_a_slice_of_its_own():
    time = Time()
    pace = Pace(time)
    pace.is_spent()
    time.now += SLICE_S
    await pace.wait()

    assert not pace.is_spent()


async def test_who_waits_is_served_in_order_and_before_newcomers():
    pace = Pace(Time())
    served = []

    async def work(name):
        await pace.wait()
        served.append(name)

    tasks = [asyncio.ensure_future(work(name)) for name in "abc"]
    await asyncio.sleep(0)
    assert pace.is_spent()
    await asyncio.gather(*tasks)

    assert served == ["a", "b", "c"]
    assert not pace.is_spent()


async def test_of_thousands_few_are_served_in_a_turn():
    pace = Pace(Time())
    served = []

    async def work(number):
        await pace.wait()
        served.append(number)

    tasks = [asyncio.ensure_future(work(number)) for number in range(1000)]
    steps = []
    while len(served) < 1000:
        before = len(served)
        await asyncio.sleep(0)
        steps.append(len(served) - before)
    await asyncio.gather(*tasks)

    assert max(steps) <= SERVED_A_TURN


async def test_who_gives_up_waiting_costs_nobody_a_turn():
    pace = Pace(Time())
    quitters = [asyncio.ensure_future(pace.wait()) for _ in range(3 * SERVED_A_TURN)]
    last = asyncio.ensure_future(pace.wait())
    await asyncio.sleep(0)
    for task in quitters:
        task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert last.done()
