"""The line for connection slots."""

import asyncio

from engine.ready.slot_line import SlotLine
from engine.throttle.lease import MemoryLeases


class Waiter:
    """Takes one slot each time it is asked, as long as it has work."""

    def __init__(self, name, world, work=1):
        self.name = name
        self.world = world
        self.work = work
        self.asked = 0

    def maintain(self):
        self.asked += 1
        if not self.work:
            return
        lease = self.world.leases.acquire_nowait("k", 1, 60.0)
        if lease is None:
            self.world.line.join("k", self)
            return
        self.work -= 1
        self.world.line.leave("k", self)
        self.world.turns.append((self.name, lease))


class World:
    def __init__(self):
        self.leases = MemoryLeases(asyncio.get_running_loop().time)
        self.line = SlotLine(self.leases)
        self.turns = []

    @property
    def names(self):
        return [name for name, _ in self.turns]

    async def free(self):
        self.turns[-1][1].release()
        await asyncio.sleep(0)


async def test_a_free_slot_goes_to_who_came_first():
    world = World()
    a, b, c = (Waiter(name, world) for name in "abc")
    for each in (a, b, c):
        each.maintain()
    await world.free()
    await world.free()

    assert world.names == ["a", "b", "c"]


async def test_who_had_a_slot_goes_behind_those_that_wait():
    world = World()
    a, b = Waiter("a", world, work=3), Waiter("b", world, work=3)
    a.maintain()
    b.maintain()
    for _ in range(4):
        last = a if world.names[-1] == "a" else b
        world.turns[-1][1].release()
        asyncio.get_running_loop().call_soon(last.maintain)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert world.names == ["a", "b", "a", "b", "a"]


async def test_who_needs_no_slot_any_more_lets_the_next_have_it():
    world = World()
    a, b, c = (Waiter(name, world) for name in "abc")
    for each in (a, b, c):
        each.maintain()
    b.work = 0
    await world.free()

    assert world.names == ["a", "c"]
    assert len(world.line) == 0


async def test_who_is_refused_keeps_its_place():
    world = World()
    a, b, c = (Waiter(name, world) for name in "abc")
    for each in (a, b, c):
        each.maintain()
    world.turns[-1][1].release()
    thief = world.leases.acquire_nowait("k", 1, 60.0)
    await asyncio.sleep(0)
    thief.release()
    await asyncio.sleep(0)

    assert world.names == ["a", "b"]


async def test_a_slot_of_another_limit_wakes_nobody():
    world = World()
    a, b = Waiter("a", world), Waiter("b", world)
    a.maintain()
    b.maintain()
    world.leases.acquire_nowait("other", 1, 60.0).release()
    await asyncio.sleep(0)

    assert b.asked == 1


async def test_a_thousand_in_line_that_left_cost_no_recursion():
    world = World()
    first = Waiter("first", world)
    first.maintain()
    crowd = [Waiter(str(number), world) for number in range(3000)]
    for each in crowd:
        each.maintain()
        each.work = 0
    await world.free()

    assert len(world.line) == 0
