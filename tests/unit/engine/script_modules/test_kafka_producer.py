"""Records of scripts to Kafka: a stand-in that speaks the protocol (see its module)."""

from __future__ import annotations

import asyncio
import sys

import pytest

from engine.script_modules.open_connections import IDLE_S
from policy.errors import HookFailedError, PolicyLoadError
from tests.fakes.kafka_broker import NOT_AUTHORIZED, TOO_LARGE, kafka_broker
from tests.fakes.script_world import script_world


@pytest.fixture
async def broker():
    async with kafka_broker() as made:
        yield made


@pytest.fixture
async def world(tmp_path):
    async with script_world(tmp_path) as made:
        yield made


def top(broker, **options):
    config = {"bootstrap.servers": f"127.0.0.1:{broker.port}", **options}
    return f"k = mta.kafka.build_producer({config!r})"


async def test_a_record_is_taken_when_send_returns(world, broker):
    assert await world.ask(
        """
        return [
            await k.send(topic="log", payload="text é", key="k", headers={"h": "v"}),
            await k.send(topic="log", payload=b"more"),
        ]
        """,
        top=top(broker, acks="all"),
    ) == [(0, 0), (0, 1)]

    assert [(topic, key, value) for topic, key, value, _ in broker.records] == [
        ("log", b"k", "text é".encode()),
        ("log", None, b"more"),
    ]
    assert list(broker.records[0][3]) == [("h", b"v")]


async def test_a_batch_says_which_failed_and_why(world, broker):
    broker.errors["closed"] = NOT_AUTHORIZED

    failed, reasons = await world.ask(
        """
        return await k.send_batch([
            {"topic": "log", "payload": "1"},
            {"topic": "closed", "payload": "2"},
            {"topic": "log", "payload": "3"},
        ])
        """,
        top=top(broker),
    )

    assert (failed, len(reasons)) == ([1], 1)
    assert sorted(value for _, _, value, _ in broker.records) == [b"1", b"3"]


async def test_calls_and_epochs_share_a_producer(world, broker):
    for _ in range(2):
        await world.ask("await k.send(topic='log', payload='x')", top=top(broker))
        await asyncio.gather(*(world.again() for _ in range(10)))
    opened = len(world.network.connections)

    assert (opened, len(broker.records)) == (1, 22)
    assert broker.most_connections <= 2


async def test_a_producer_is_closed_when_no_script_asks_any_more(world, broker):
    await world.ask("await k.send(topic='log', payload='x')", top=top(broker))
    await asyncio.sleep(3 * IDLE_S)

    assert broker.connections == 0


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (NOT_AUTHORIZED, "init.py:6: ValueError: kafka: "),
        (TOO_LARGE, "init.py:6: ValueError: kafka: "),
    ],
)
async def test_what_brokers_do_not_take_is_an_error(world, broker, code, message):
    broker.errors["log"] = code

    with pytest.raises(HookFailedError, match=message):
        await world.ask("await k.send(topic='log', payload='x')", top=top(broker))


@pytest.mark.parametrize("trouble", ["mute", "hang-up"])
async def test_brokers_that_do_not_answer_are_an_error_in_time(world, broker, trouble):
    broker.trouble = trouble

    with pytest.raises(HookFailedError, match="init.py:6: TimeoutError: kafka: "):
        await world.ask("await k.send(topic='log', payload='x', timeout='3s')", top=top(broker))


async def test_a_broker_that_is_silent_from_the_first_is_an_error_in_time(world, broker):
    broker.trouble = "silent"

    with pytest.raises(HookFailedError, match="init.py:6: (TimeoutError|ConnectionError): kafka: "):
        await world.ask("await k.send(topic='log', payload='x')", top=top(broker))
    await asyncio.sleep(1)

    assert broker.connections == 0


async def test_nobody_there_is_an_error(world, broker):
    broker.port = 1

    with pytest.raises(HookFailedError, match="init.py:6: ConnectionError: kafka: "):
        await world.ask("await k.send(topic='log', payload='x')", top=top(broker))


async def test_the_waiting_time_of_the_handler_ends_a_record(world, broker):
    broker.trouble = "mute"

    with pytest.raises(HookFailedError, match="waited longer than 10"):
        await world.ask("await k.send(topic='log', payload='x')", top=top(broker))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("mta.kafka.build_producer()", "bootstrap.servers is missing"),
        ("mta.kafka.build_producer({'bootstrap.server': 'x'})", "did you mean 'bootstrap.servers'"),
        ("mta.kafka.build_producer(bootstrap_servers='x', acks='some')", "acks: all, 1 or 0"),
        ("mta.kafka.build_producer(bootstrap_servers='x', linger_ms=-1)", "linger.ms: a number"),
        ("mta.kafka.build_producer({'compression.type': 'lzo'})", "one of none, gzip"),
        ("k.send(topic='x', payload='y')", r"kafka.send\(\) waits: await it"),
    ],
)
async def test_wrong_use_is_an_error_at_the_call(world, broker, call, message):
    world.load_body(call, top=top(broker), kind="def")

    with pytest.raises(HookFailedError, match=message):
        world.runtime.fire_nowait("ask", None)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("send(topic='x')", "missing payload"),
        ("send(topic='x', payload=5)", "payload: text or bytes"),
        ("send(topic='x', payload='y', key=5)", "key: text or bytes"),
        ("send(topic='x', payload='y', timeout=0)", "timeout: a duration above"),
        ("send(topics='x', payload='y')", "did you mean 'topic'"),
        ("send(topic='x', payload='y' * 2_000_000)", "ValueError: kafka: "),
        ("send_batch([{'topic': 'x', 'payload': 'y'}] * 1001)", "more than 1000 records"),
    ],
)
async def test_records_that_cannot_be_are_errors(world, broker, call, message):
    with pytest.raises(HookFailedError, match=message):
        await world.ask(f"await k.{call}", top=top(broker))


async def test_without_the_library_it_is_a_load_error_with_its_line(world, broker, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiokafka", None)

    with pytest.raises(PolicyLoadError, match=r"init.py:3: .*pip install 'cirrus-mta\[kafka\]'"):
        world.load(top(broker))


async def test_without_await_it_is_an_error_with_its_line(world, broker):
    with pytest.raises(HookFailedError, match=r"init.py:6: .*kafka.send\(\) without await"):
        await world.ask("k.send(topic='x', payload='y')", top=top(broker))
