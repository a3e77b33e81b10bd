"""Commands of scripts to servers that are no good Redis; a good one is in the integration tests."""

from __future__ import annotations

import asyncio

import pytest

from engine.script_modules.open_connections import IDLE_S
from engine.script_modules.redis_query import RedisOptions
from policy.errors import HookFailedError
from tests.fakes.script_world import script_world


class RedisPeer:
    """Answers each command by a rule; knows who is connected.

    Attributes:
        reply: What a command is answered, by its first word; None for silence.
    """

    def __init__(self) -> None:
        self.reply: dict[str, bytes | None] = {}
        self.commands: list[list[str]] = []
        self.connections = 0
        self.most_connections = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    length = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(length + 2))[:-2].decode())
                if words[0] == "CLIENT":
                    writer.write(b"+OK\r\n")
                    continue
                self.commands.append(words)
                answer = self.reply.get(words[0], b"+OK\r\n")
                if answer == b"":
                    return
                if answer is not None:
                    writer.write(answer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.connections -= 1
            writer.close()


@pytest.fixture
async def peer():
    made = RedisPeer()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@pytest.fixture
async def world(tmp_path):
    async with script_world(tmp_path) as made:
        yield made


def top(peer, more=""):
    return f"r = mta.redis.open(node='redis://127.0.0.1:{peer.port}'{more})"


async def settled(peer) -> int:
    await asyncio.sleep(0.1)
    return peer.connections


async def test_arguments_arrive_as_they_were_given(world, peer):
    await world.ask("await r.query('config set', 'a b', 1, 2.5, b'c')", top=top(peer))

    assert peer.commands == [["config", "set", "a b", "1", "2.5", "c"]]


async def test_a_silent_server_is_an_error_in_time_and_its_connection_ends(world, peer):
    peer.reply["GET"] = None

    with pytest.raises(HookFailedError, match="init.py:6: TimeoutError: redis: no reply in time"):
        await world.ask("await r.query('GET', 'x')", top=top(peer))
    assert await settled(peer) == 0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "ConnectionError: redis: Connection closed by server"),
        (b"?what\r\n", "ConnectionError: redis: Protocol Error"),
        (b"$x\r\n", "ConnectionError: redis: not a reply"),
        (b":y\r\n", "ConnectionError: redis: not a reply"),
        (b"$99999999999\r\n", "ConnectionError: redis: the reply has more than"),
        (b"x" * 200_000 + b"\r\n", "ConnectionError: redis: "),
        (b"-ERR no\r\n", "RuntimeError: redis: no"),
        (b"-LOADING wait\r\n", "ConnectionError: redis: wait"),
    ],
)
async def test_bad_answers_are_errors(world, peer, answer, message):
    peer.reply["GET"] = answer

    with pytest.raises(HookFailedError, match=message):
        await world.ask("await r.query('GET', 'x')", top=top(peer))


async def test_a_command_is_never_sent_twice(world, peer):
    peer.reply["INCR"] = b""

    with pytest.raises(HookFailedError):
        await world.ask("await r.query('INCR', 'x')", top=top(peer))

    assert peer.commands == [["INCR", "x"]]


async def test_nobody_there_is_an_error(world):
    with pytest.raises(HookFailedError, match="ConnectionError: redis: .*127.0.0.1:1"):
        await world.ask("await mta.redis.open(node='redis://127.0.0.1:1').query('PING')")


async def test_the_waiting_time_of_the_handler_ends_a_command(world, peer):
    peer.reply["GET"] = None

    with pytest.raises(HookFailedError, match="waited longer than 10"):
        await world.ask("await r.query('GET', 'x')", top=top(peer, ", response_timeout='1m'"))
    assert await settled(peer) == 0


async def test_a_command_under_way_ends_well_across_a_reload(world, peer):
    peer.reply["GET"] = None
    world.load_body("return await r.query('GET', 'x')", top=top(peer))
    firing = asyncio.ensure_future(world.again())
    await asyncio.sleep(1)
    world.load_body("return 'new'", top=top(peer))
    assert await world.again() == "new"
    peer.reply["GET"] = b"+late\r\n"

    with pytest.raises(HookFailedError, match="no reply in time"):
        await firing


async def test_connections_are_closed_when_no_script_asks_any_more(world, peer):
    await world.ask("await r.query('PING')", top=top(peer))
    assert await settled(peer) == 1
    await asyncio.sleep(3 * IDLE_S)

    assert await settled(peer) == 0


async def test_opening_in_each_call_opens_no_more_connections(world, peer):
    body = f"return await mta.redis.open(node='redis://127.0.0.1:{peer.port}').query('PING')"
    for _ in range(5):
        await world.ask(body)

    assert peer.most_connections == 1


async def test_a_password_in_the_address_is_not_told(world):
    with pytest.raises(HookFailedError) as caught:
        await world.ask("await mta.redis.open(node='redis://u:hush@127.0.0.1:1').query('PING')")

    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("mta.redis.open()", "TypeError: mta.redis.open: node is missing"),
        ("mta.redis.open(node='http://x.test')", "redis://host:port"),
        ("mta.redis.open(node='redis://')", "redis://host:port"),
        ("mta.redis.open(node=[])", "1 to 64 nodes"),
        ("mta.redis.open(node=['redis://a', 'redis://b'], cluster=False)", "are a cluster"),
        ("mta.redis.open(node='redis://a', pool_size=0)", "pool_size: a number from 1"),
        ("mta.redis.open(node='redis://a', wait_timeout=0)", "wait_timeout: a duration above"),
        ("mta.redis.open(node='redis://a', pasword='x')", "did you mean 'password'"),
        ("mta.redis.open(node='redis://a').query('PING')", r"redis.query\(\) waits: await it"),
    ],
)
async def test_wrong_use_is_an_error_at_the_call(world, call, message):
    world.load_body(call, kind="def")

    with pytest.raises(HookFailedError, match=message):
        world.runtime.fire_nowait("ask", None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("query('SUBSCRIBE', 'x')", "SUBSCRIBE changes a connection that is shared"),
        ("query('select 5')", "SELECT changes"),
        ("query('')", "the command is text"),
        ("query(5)", "the command is text"),
        ("query('SET', 'a', True)", "text, bytes or numbers, not bool"),
        ("query('SET', 'a', None)", "not NoneType"),
        ("query('DEL', *['x'] * 10001)", "more than 10000 arguments"),
    ],
)
async def test_commands_that_cannot_be_are_errors(world, peer, call, message):
    with pytest.raises(HookFailedError, match=message):
        await world.ask(f"await r.{call}", top=top(peer))

    assert peer.commands == []


async def test_without_await_a_command_is_an_error_with_its_line(world, peer):
    with pytest.raises(HookFailedError, match=r"init.py:6: .*redis.query\(\) without await"):
        await world.ask("r.query('PING')", top=top(peer))


def test_options_show_no_password():
    assert "hush" not in repr(RedisOptions(("redis://u:hush@x",), password="hush"))
