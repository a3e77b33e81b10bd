"""Connections that scripts use: shared, replaced, closed when idle."""

from __future__ import annotations

import asyncio

import pytest

from engine.base.lifecycle import Supervisor
from engine.script_modules.open_connections import (
    CONNECTIONS_MAX,
    IDLE_S,
    OpenConnections,
    Opening,
)


class Server:
    """Hands out numbered connections and remembers which were closed."""

    def __init__(self) -> None:
        self.opened = 0
        self.closed: list[int] = []
        self.good = True
        self.delay_s = 0.0
        self.failures = 0

    async def open(self) -> int:
        await asyncio.sleep(self.delay_s)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no")
        self.opened += 1
        return self.opened

    async def close(self, number: int) -> None:
        self.closed.append(number)

    def opening(self, key: object = "k") -> Opening[int]:
        return Opening(key, self.open, self.close, lambda _number: self.good)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
async def connections():
    supervisor = Supervisor()
    made = OpenConnections(asyncio.get_running_loop().time, supervisor.start)
    yield made
    await made.close()
    await supervisor.stop()
    assert supervisor.defects == 0


async def use(connections, server, hold_s=0.0, key="k"):
    async with connections.use(server.opening(key)) as number:
        await asyncio.sleep(hold_s)
        return number


async def test_calls_at_once_share_one_that_is_opened_once(connections, server):
    server.delay_s = 1.0

    numbers = await asyncio.gather(*(use(connections, server, 5.0) for _ in range(4)))

    assert numbers == [1, 1, 1, 1]


async def test_what_nobody_uses_is_closed_after_a_while(connections, server):
    await use(connections, server)
    await asyncio.sleep(IDLE_S / 2)
    assert server.closed == []

    await asyncio.sleep(2 * IDLE_S)

    assert (server.closed, len(connections)) == ([1], 0)


async def test_what_is_in_use_is_not_closed(connections, server):
    await use(connections, server, hold_s=5 * IDLE_S)

    assert server.closed == []


async def test_after_it_was_closed_it_is_opened_anew(connections, server):
    await use(connections, server)
    await asyncio.sleep(3 * IDLE_S)

    assert await use(connections, server) == 2


async def test_one_that_broke_is_replaced(connections, server):
    await use(connections, server)
    server.good = False

    assert await use(connections, server) == 2
    assert server.closed == [1]


async def test_an_opening_that_fails_is_the_error_of_its_call_only(connections, server):
    server.failures = 1

    with pytest.raises(ConnectionError):
        await use(connections, server)

    assert await use(connections, server) == 1


async def test_a_call_that_is_broken_off_while_opening_leaves_it_to_the_next(connections, server):
    server.delay_s = 10.0
    first = asyncio.ensure_future(use(connections, server))
    await asyncio.sleep(1)
    second = asyncio.ensure_future(use(connections, server))
    await asyncio.sleep(1)
    first.cancel()

    assert await second == 1


async def test_beyond_the_limit_the_one_unused_longest_goes(connections, server):
    for key in range(CONNECTIONS_MAX + 1):
        await use(connections, server, key=key)
    await asyncio.sleep(0)

    assert server.closed == [1]
    assert len(connections) == CONNECTIONS_MAX


async def test_more_in_use_than_the_limit_is_an_error(connections, server):
    busy = [
        asyncio.ensure_future(use(connections, server, 60.0, key)) for key in range(CONNECTIONS_MAX)
    ]
    await asyncio.sleep(1)

    with pytest.raises(RuntimeError, match="different connections"):
        await use(connections, server, key="one more")
    for task in busy:
        task.cancel()


async def test_closing_that_hangs_is_given_up(connections, server):
    async def hang(_number: int) -> None:
        await asyncio.sleep(10**6)

    async with connections.use(Opening("k", server.open, hang)):
        pass
    started = asyncio.get_running_loop().time()
    await connections.close()

    assert asyncio.get_running_loop().time() - started < 10


async def test_after_the_stop_nothing_is_opened(connections, server):
    await use(connections, server)
    await connections.close()

    assert server.closed == [1]
    with pytest.raises(RuntimeError, match="stopping"):
        await use(connections, server)
