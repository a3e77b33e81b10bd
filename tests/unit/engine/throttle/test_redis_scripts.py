"""What runs inside Redis, against a real one."""

from __future__ import annotations

import asyncio

import pytest
from redis import asyncio as redis

from engine.throttle import redis_scripts
from engine.throttle.redis_scripts import (
    ACQUIRE_LEASES,
    GIVE_BACK_RATE,
    NOTE_NODE,
    RELEASE_LEASES,
    RENEW_LEASES,
    TAKE_RATE,
    RedisScript,
)

pytestmark = pytest.mark.real_time

HOUR_US = 3_600_000_000
LIFE_US = 60_000_000
LINE_US = 4_000_000


@pytest.fixture
async def run(server):
    client = redis.Redis.from_url(server.url, decode_responses=True)
    await client.flushall()

    async def evaluate(script, key, *arguments):
        return await client.eval(script.text, 1, key, *arguments)

    evaluate.client = client
    yield evaluate
    await client.aclose()


async def take(run, least=1, most=1, *, burst=10, interval_us=HOUR_US):
    return await run(TAKE_RATE, "rate", interval_us, burst, least, most)


async def test_the_hash_of_a_script_is_the_one_that_redis_knows_it_by(run):
    scripts = [one for one in vars(redis_scripts).values() if isinstance(one, RedisScript)]
    assert len(scripts) == 7
    for script in scripts:
        assert await run.client.script_load(script.text) == script.sha


async def test_as_many_as_there_are_are_taken_but_never_fewer_than_the_least(run):
    assert (await take(run, 1, 4))[:2] == [4, 6]
    assert (await take(run, 1, 20))[:2] == [6, 0]
    taken, remaining, reset_us, wait_us = await take(run, 1, 1)
    assert (taken, remaining) == (0, 0)
    assert 9 * HOUR_US < reset_us <= 10 * HOUR_US
    assert 0 < wait_us <= HOUR_US


async def test_what_was_taken_tells_when_one_more_may_go(run):
    assert (await take(run, 1, 3))[3] == 0
    assert 0 < (await take(run, 7, 7))[3] <= HOUR_US


async def test_too_few_are_left_where_they_are(run):
    await take(run, 7, 7)

    assert (await take(run, 4, 9))[:2] == [0, 3]
    assert (await take(run, 3, 9))[:2] == [3, 0]


async def test_what_is_given_back_can_be_taken_again(run):
    await take(run, 10, 10)
    await run(GIVE_BACK_RATE, "rate", HOUR_US, 4)

    assert (await take(run, 1, 10))[0] == 4
    assert await run(GIVE_BACK_RATE, "unknown", HOUR_US, 4) == 0
    assert not await run.client.exists("unknown")


async def test_a_rate_refills_by_the_clock_of_the_server_and_its_key_goes_when_it_is_whole(run):
    await take(run, 10, 10, interval_us=20_000)
    await asyncio.sleep(0.05)
    assert 2 <= (await take(run, 1, 10, interval_us=20_000))[0] <= 9
    await asyncio.sleep(0.3)
    assert not await run.client.exists("rate")


async def acquire(run, node, limit, *members):
    return await run(ACQUIRE_LEASES, "lease", node, limit, LIFE_US, LINE_US, *members)


async def test_leases_are_granted_up_to_the_limit(run):
    assert await acquire(run, "a", 3, "=a 1", "=a 2") == [2, 2, 0]
    assert await acquire(run, "b", 3, "=b 1", "=b 2") == [1, 3, 0]
    assert await acquire(run, "c", 3, "=c 1") == [0, 3, 0]
    assert await acquire(run, "d", 3, "=d 1") == [0, 3, 1]
    assert await run(RELEASE_LEASES, "lease", "=a 1", "=b 1") == 2
    assert await acquire(run, "c", 3, "=c 1") == [1, 2, 0]


async def test_who_was_refused_first_is_served_first(run):
    await acquire(run, "a", 1, "=a 1")
    assert (await acquire(run, "b", 1, "=b 1"))[0] == 0
    assert (await acquire(run, "c", 1, "=c 1"))[0] == 0
    await run(RELEASE_LEASES, "lease", "=a 1")

    assert (await acquire(run, "a", 1, "=a 2"))[0] == 0
    assert (await acquire(run, "c", 1, "=c 2"))[0] == 0
    assert (await acquire(run, "b", 1, "=b 2"))[0] == 1
    await run(RELEASE_LEASES, "lease", "=b 2")
    assert (await acquire(run, "c", 1, "=c 3"))[0] == 1


async def test_who_stands_in_line_and_goes_away_is_forgotten(run):
    await run(ACQUIRE_LEASES, "lease", "a", 1, LIFE_US, 20_000, "=a 1")
    assert (await run(ACQUIRE_LEASES, "lease", "b", 1, LIFE_US, 20_000, "=b 1"))[0] == 0
    await run(RELEASE_LEASES, "lease", "=a 1")
    await asyncio.sleep(0.03)

    assert (await acquire(run, "a", 1, "=a 2"))[0] == 1


async def test_renewal_adds_what_is_not_there_while_there_is_room(run):
    await acquire(run, "a", 2, "=a 1")

    assert await run(RENEW_LEASES, "lease", 2, LIFE_US, "=a 1", "=a 2", "=a 3") == [2, 1, 1, 0]


async def test_a_lease_that_is_not_renewed_ends(run):
    await run(ACQUIRE_LEASES, "lease", "a", 1, 20_000, LINE_US, "=a 1")
    await asyncio.sleep(0.03)

    assert (await acquire(run, "b", 1, "=b 1"))[0] == 1


async def test_nodes_count_as_long_as_they_give_a_sign_of_life(run):
    assert await run(NOTE_NODE, "nodes", "a", 20_000) == 1
    assert await run(NOTE_NODE, "nodes", "b", LIFE_US) == 2
    await asyncio.sleep(0.03)
    assert await run(NOTE_NODE, "nodes", "b", LIFE_US) == 1
