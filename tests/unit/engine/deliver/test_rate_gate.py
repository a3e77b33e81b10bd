"""Rates as a dispatcher meets them."""

import asyncio

import pytest

from engine.deliver.rate_gate import RateGate
from engine.model.throttle_spec import parse_throttle
from tests.fakes.dispatch import DispatchWorld


def gate(world, phases=None):
    return RateGate(world, world.services, (phases if phases is not None else []).append)


def left(world, key, rate):
    return world.limiter.peek_nowait(key, parse_throttle(rate)).remaining


async def test_no_rate_is_no_wait():
    world = DispatchWorld()

    assert await gate(world).wait_messages() == 0.0
    assert await gate(world).wait_connection() == 0.0


async def test_waits_for_a_turn_that_comes_soon():
    world = DispatchWorld(max_message_rate="1/s", idle_timeout="5s")
    phases = []
    each = gate(world, phases)
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(3):
        assert await each.wait_messages() == 0.0

    assert 1.9 < loop.time() - started < 2.2
    assert set(phases) == {"MessageRateThrottled"}


async def test_says_how_long_a_turn_takes_that_comes_late():
    world = DispatchWorld(max_connection_rate="1/h", idle_timeout="5s")
    each = gate(world)

    assert await each.wait_connection() == 0.0
    assert 3500 < await each.wait_connection() <= 3600


async def test_a_batch_takes_a_turn_for_each_message():
    world = DispatchWorld(max_message_rate="10/h")
    each = gate(world)
    await each.wait_messages(4)
    each.use_turn()

    assert left(world, f"max_message_rate.{world.name}", "10/h") == 6


async def test_an_unused_turn_comes_back():
    world = DispatchWorld(additional_message_rate_throttles={"k": "10/h"})
    each = gate(world)
    await each.wait_messages(4)
    each.return_turn()
    each.return_turn()

    assert left(world, "k", "10/h") == 10


@pytest.mark.parametrize("how", ["too long", "cancelled"])
async def test_what_was_taken_of_other_rates_comes_back(how):
    idle = "5s" if how == "too long" else "1d"
    world = DispatchWorld(
        additional_message_rate_throttles={"a": "5/h", "b": "100/h"}, idle_timeout=idle
    )
    world.limiter.take_nowait("b", parse_throttle("100/h"), 100)
    each = gate(world)
    task = asyncio.ensure_future(each.wait_messages())
    if how == "cancelled":
        await asyncio.sleep(1)
        task.cancel()
    await asyncio.wait([task])

    assert left(world, "a", "5/h") == 5
