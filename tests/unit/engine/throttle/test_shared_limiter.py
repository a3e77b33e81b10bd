"""Rates that nodes share by way of a real Redis."""

from __future__ import annotations

import asyncio

import pytest

from engine.model.throttle_spec import parse_throttle
from engine.throttle.limiter import ASKING
from tests.fakes.shared_redis import take_until_refused

pytestmark = pytest.mark.real_time


async def test_two_nodes_have_one_burst_together(pair):
    spec = parse_throttle("50/h")

    counts = await asyncio.gather(*(take_until_refused(node, "k", spec) for node in pair))

    assert sum(counts) == 50
    result = await pair[0].limiter.take("k", spec)
    assert result.throttled
    assert result.limit == 50
    assert 60 < result.retry_after_s <= 72
    assert result.remaining == 0


async def test_two_nodes_together_keep_one_rate(pair):
    spec = parse_throttle("200/s,max_burst=10")
    loop = asyncio.get_running_loop()

    async def send(node):
        sent = []
        while loop.time() < end:
            result = await node.limiter.take("rate", spec)
            if result.throttled:
                await asyncio.sleep(result.retry_after_s)
            else:
                sent.append(loop.time())
        return sent

    end = loop.time() + 2.0
    times = sorted(sum(await asyncio.gather(*(send(node) for node in pair)), []))

    assert 0.8 * 400 <= len(times) <= 400 + 10 + 2
    # Over any second: the rate, the burst, and what two nodes may have fetched ahead.
    busiest = max(sum(start <= at < start + 1.0 for at in times) for start in times)
    assert busiest <= 200 + 10 + 2 * (10 // 8)


async def test_a_rate_far_from_its_ceiling_costs_few_round_trips(pair):
    spec = parse_throttle("100000/s")
    node = pair[0]
    before = node.report.trips

    for _ in range(2_000):
        assert not (await node.limiter.take("ahead", spec)).throttled

    assert node.report.trips - before < 100


async def test_what_was_fetched_ahead_and_finds_no_use_is_given_back(pair):
    spec = parse_throttle("100000/d,max_burst=100000")
    one, other = pair
    bucket = one.limiter.bucket("unused", spec)
    while bucket.take(5) == ASKING:
        await bucket.answer(5)
    bucket.give_back(5)
    one.limiter.give_all_back()

    result = await other.limiter.take("unused", spec, 100_000)

    assert not result.throttled


async def test_a_quantity_above_the_burst_goes_when_the_allowance_is_full(pair):
    spec = parse_throttle("10/h,max_burst=2")

    assert not (await pair[0].limiter.take("large", spec, 5)).throttled
    assert (await pair[1].limiter.take("large", spec, 1)).throttled


async def test_a_changed_rate_starts_afresh_and_a_local_one_is_not_shared(pair):
    one, other = pair
    assert await take_until_refused(one, "k2", parse_throttle("3/h")) == 3
    assert await take_until_refused(other, "k2", parse_throttle("3/h")) == 0
    assert await take_until_refused(other, "k2", parse_throttle("4/h")) == 4
    assert await take_until_refused(one, "k2", parse_throttle("local:3/h")) == 3
    assert await take_until_refused(other, "k2", parse_throttle("local:3/h")) == 3


async def test_at_the_ceiling_what_is_known_is_not_asked_again(pair):
    spec = parse_throttle("3/h")
    node = pair[0]
    bucket = node.limiter.bucket("ceiling", spec)
    assert await take_until_refused(node, "ceiling", spec) == 3
    before = node.report.trips

    for _ in range(100):
        assert (await node.limiter.take("ceiling", spec)).throttled

    assert node.report.trips == before
    assert bucket.wait_s() > 0
