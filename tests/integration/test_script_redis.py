"""Scripts and a real Redis."""

from __future__ import annotations

import asyncio

import pytest

from policy.errors import HookFailedError
from tests.fakes.redis_server import redis_server
from tests.fakes.script_world import script_world

pytestmark = [pytest.mark.real_time, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def world(tmp_path, server):
    async with script_world(tmp_path) as made:
        yield made
        await made.ask("await r.query('FLUSHALL')", top=top(server))


def top(server, **options):
    given = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"r = mta.redis.open(node={server.url!r}{given})"


async def test_replies_come_as_the_server_sends_them(world, server):
    assert await world.ask(
        """
        return [
            await r.query("SET", "a", "text é"),
            await r.query("GET", "a"),
            await r.query("GET", "none"),
            await r.query("INCRBY", "n", 5),
            await r.query("HSET", "h", "f", 1.5, "g", b"x"),
            await r.query("HGETALL", "h"),
            await r.query("CONFIG GET", "appendonly"),
            await r.query("EVAL", "return {1, {'two', false}}", 0),
        ]
        """,
        top=top(server),
    ) == [
        "OK",
        "text é",
        None,
        5,
        2,
        ["f", "1.5", "g", "x"],
        ["appendonly", "no"],
        [1, ["two", None]],
    ]


async def test_octets_survive_a_round_trip(world, server):
    assert (
        await world.ask(
            """
        await r.query("SET", "b", bytes([255, 0, 10]))
        return (await r.query("GET", "b")).encode("utf-8", "surrogateescape")
        """,
            top=top(server),
        )
        == b"\xff\x00\n"
    )


async def test_what_the_server_refuses_is_an_error_with_its_line(world, server):
    with pytest.raises(
        HookFailedError, match="init.py:7: RuntimeError: redis: .*WRONGTYPE|wrong kind"
    ):
        await world.ask(
            "await r.query('SET', 'a', 1)\nawait r.query('LPUSH', 'a', 1)", top=top(server)
        )


async def test_a_command_that_is_broken_off_mixes_up_no_replies(world, server):
    world.load_body(
        """
        if given == "block":
            return await r.query("BLPOP", "nothing", 0)
        return [await r.query("ECHO", f"{given}-{n}") for n in range(5)]
        """,
        top=top(server, pool_size=2),
    )
    for _ in range(10):
        blocked = [asyncio.ensure_future(world.again("block")) for _ in range(2)]
        await asyncio.sleep(0.02)
        for task in blocked:
            task.cancel()
        answers = await asyncio.gather(*(world.again(f"m{n}") for n in range(4)))
        assert answers == [[f"m{n}-{k}" for k in range(5)] for n in range(4)]


async def test_connections_are_bounded_and_shared_by_epochs(world, server):
    body = "return await r.query('ECHO', 'x')"
    for _ in range(3):
        await world.ask(body, top=top(server, pool_size=3))
        await asyncio.gather(*(world.again() for _ in range(20)))

    clients = await world.ask(
        "return await r.query('INFO', 'clients')", top=top(server, pool_size=3)
    )
    assert "connected_clients:3\r\n" in clients


async def test_waiting_for_a_connection_is_bounded(world, server):
    world.load_body(
        "return await r.query('BLPOP', 'nothing', 0)",
        top=top(server, pool_size=1, wait_timeout="200ms", response_timeout=2),
    )

    first = asyncio.ensure_future(world.again())
    await asyncio.sleep(0.05)
    with pytest.raises(HookFailedError, match="ConnectionError: redis: No connection available"):
        await world.again()
    first.cancel()


async def test_waiting_for_a_reply_is_bounded(world, server):
    with pytest.raises(HookFailedError, match="init.py:6: TimeoutError: redis: no reply in time"):
        await world.ask("await r.query('BLPOP', 'x', 0)", top=top(server, response_timeout="200ms"))


async def test_a_server_that_was_restarted_is_used_again(tmp_path):
    (tmp_path / "r").mkdir()
    with redis_server(tmp_path / "r") as server:
        async with script_world(tmp_path) as world:
            assert await world.ask("return await r.query('PING')", top=top(server)) == "PONG"
            server.stop()
            with pytest.raises(HookFailedError, match="ConnectionError: redis: .*"):
                await world.again()
            server.start()

            assert await world.again() == "PONG"


async def test_a_password_is_shown_and_told_to_nobody(tmp_path):
    (tmp_path / "r").mkdir()
    with redis_server(tmp_path / "r", "--requirepass", "s3cret") as server:
        async with script_world(tmp_path) as world:
            good = top(server, password="s3cret")
            assert await world.ask("return await r.query('PING')", top=good) == "PONG"
            with pytest.raises(HookFailedError, match="redis: ") as wrong:
                await world.ask("await r.query('PING')", top=top(server, password="wr0ng"))
            with pytest.raises(HookFailedError, match="Authentication required"):
                await world.ask("await r.query('PING')", top=top(server))

    assert "wr0ng" not in str(wrong.value)


async def test_too_many_values_are_refused_and_the_next_command_goes_on(world, server):
    assert await world.ask(
        """
            await r.query("EVAL", "for i = 1, 60000 do redis.call('RPUSH', 'l', i) end", 0)
            try:
                await r.query("LRANGE", "l", 0, -1)
            except ConnectionError as error:
                return [str(error), await r.query("PING")]
            """,
        top=top(server),
    ) == ["redis: the reply has more than 50000 values", "PONG"]


async def test_too_many_octets_are_refused(world, server):
    with pytest.raises(HookFailedError, match="the reply has more than 16777216 octets"):
        await world.ask(
            "await r.query('SETRANGE', 'big', 17 << 20, 'x')\nawait r.query('GET', 'big')",
            top=top(server),
        )


async def test_a_cluster_is_asked_where_the_key_is(tmp_path):
    (tmp_path / "r").mkdir()
    with redis_server(tmp_path / "r", "--cluster-enabled", "yes") as server:
        async with script_world(tmp_path) as world:
            await world.ask("await r.query('CLUSTER', 'ADDSLOTSRANGE', 0, 16383)", top=top(server))
            async with asyncio.timeout(10):
                while "cluster_state:ok" not in await world.ask(
                    "return await r.query('CLUSTER', 'INFO')", top=top(server)
                ):
                    await asyncio.sleep(0.05)

            answers = await world.ask(
                """
                for n in range(20):
                    await r.query("SET", f"k{n}", n)
                await r.query("HSET", "h", "f", 1)
                return [await r.query("GET", "k19"), await r.query("HGETALL", "h")]
                """,
                top=top(server, cluster=True, pool_size=4),
            )
            with pytest.raises(HookFailedError, match="more than 50000 values"):
                await world.ask(
                    """
                    script = "local t = {} for i = 1, 60000 do t[i] = i end return t"
                    await r.query("EVAL", script, 1, "k")
                    """,
                    top=top(server, cluster=True, pool_size=4),
                )

    assert answers == ["19", ["f", "1"]]
