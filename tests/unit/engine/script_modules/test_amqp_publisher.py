"""Messages of scripts to an AMQP broker: a stand-in that speaks the protocol (see its module)."""

from __future__ import annotations

import asyncio
import sys

import pytest

from engine.script_modules.open_connections import IDLE_S
from policy.errors import HookFailedError
from tests.fakes.amqp_broker import amqp_broker
from tests.fakes.script_world import script_world


@pytest.fixture
async def broker():
    async with amqp_broker() as made:
        yield made


@pytest.fixture
async def world(tmp_path):
    async with script_world(tmp_path) as made:
        yield made


def publish(broker, more="", **connection):
    options = {"host": "127.0.0.1", "port": broker.port, **connection}
    return (
        "return await mta.amqp.basic_publish(routing_key='mail', payload='text é',"
        f" connection={options!r}{more})"
    )


async def test_a_message_arrives_with_its_properties(world, broker):
    more = (
        ", exchange='out', headers={'h': 'v'}, content_type='text/plain', delivery_mode=2,"
        " message_id='m1', message_type='kind', priority=3, expiration='5s', app_id='a'"
    )

    assert await world.ask(publish(broker, more)) is None

    ((exchange, key, properties, octets),) = broker.published
    assert (exchange, key, octets) == ("out", "mail", "text é".encode())
    assert (properties.headers, properties.content_type, properties.delivery_mode) == (
        {"h": "v"},
        "text/plain",
        2,
    )
    assert (properties.message_id, properties.message_type, properties.priority) == (
        "m1",
        "kind",
        3,
    )
    assert (properties.expiration, properties.app_id) == ("5000", "a")


async def test_calls_and_epochs_share_a_connection(world, broker):
    for _ in range(2):
        await world.ask(publish(broker))
        await asyncio.gather(*(world.again() for _ in range(10)))

    assert (len(broker.published), broker.most_connections) == (22, 1)


async def test_a_connection_is_closed_when_no_script_asks_any_more(world, broker):
    await world.ask(publish(broker))
    await asyncio.sleep(3 * IDLE_S)

    assert broker.connections == 0


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        ("silent", "init.py:6: TimeoutError: amqp: no answer in time"),
        ("no-channel", "init.py:6: TimeoutError: amqp: no answer in time"),
        ("nack", "init.py:6: RuntimeError: amqp: the broker did not take it"),
        ("return", "init.py:6: RuntimeError: amqp: the broker did not take it"),
        ("hang-up", "init.py:6: ConnectionError: amqp: "),
        ("unknown", "init.py:6: ConnectionError: amqp: .*NOT_FOUND"),
    ],
)
async def test_trouble_is_an_error_and_the_next_message_goes_on(world, broker, trouble, message):
    broker.trouble = trouble
    with pytest.raises(HookFailedError, match=message):
        await world.ask(publish(broker, ", mandatory=True", connect_timeout=3, publish_timeout=3))
    broker.trouble = ""

    assert await world.again() is None
    assert len(broker.published) == 1


async def test_a_wrong_password_is_an_error_that_does_not_show_it(world, broker):
    with pytest.raises(HookFailedError, match="ConnectionError: amqp: ") as caught:
        await world.ask(publish(broker, password="wr0ng"))

    assert "wr0ng" not in str(caught.value)
    assert broker.published == []


async def test_nobody_there_is_an_error(world, broker):
    with pytest.raises(HookFailedError, match="ConnectionError: amqp: "):
        await world.ask(publish(broker, port=1))


async def test_the_waiting_time_of_the_handler_ends_a_message(world, broker):
    broker.trouble = "silent"

    with pytest.raises(HookFailedError, match="waited longer than 10"):
        await world.ask(publish(broker, publish_timeout="1m"))


async def test_a_channel_that_owes_answers_is_not_used_again(world, broker):
    broker.trouble = "silent"
    world.load_body(publish(broker, publish_timeout=1))
    for _ in range(3):
        with pytest.raises(HookFailedError, match="no answer in time"):
            await world.again()
        await asyncio.sleep(0.1)
    broker.trouble = ""
    await world.again()

    assert (broker.connections, broker.opened) == (1, 4)


async def test_a_handler_that_is_cancelled_leaves_no_task(world, broker):
    broker.trouble = "no-channel"
    before = len(asyncio.all_tasks())
    world.load_body(publish(broker))
    firing = asyncio.ensure_future(world.again())
    await asyncio.sleep(0.5)
    firing.cancel()
    await asyncio.gather(firing, return_exceptions=True)
    await asyncio.sleep(30)

    # What is left closes idle connections.
    assert len(asyncio.all_tasks()) - before <= 1
    assert broker.connections == 0


async def test_options_of_pools_are_warnings(world, broker):
    await world.ask(publish(broker, pool_size=5))

    assert world.warnings == ["mta.amqp: connection: pool_size is known but not yet in force"]


@pytest.mark.parametrize(
    ("more", "connection", "message"),
    [
        (", delivery_mode=3", {}, "delivery_mode: a number from 1 to 2"),
        (", colour='x'", {}, "unknown option 'colour'"),
        (", exchange='x' * 300", {}, "exchange: text of at most 255"),
        (", headers=5", {}, "headers: a table"),
        ("", {"prot": 5}, "did you mean 'port'"),
    ],
)
async def test_what_cannot_be_published_is_an_error(world, broker, more, connection, message):
    with pytest.raises(HookFailedError, match=message):
        await world.ask(publish(broker, more, **connection))


async def test_without_the_library_it_is_an_error_with_its_line(world, broker, monkeypatch):
    monkeypatch.setitem(sys.modules, "aio_pika", None)

    with pytest.raises(HookFailedError, match=r"init.py:6: .*pip install 'cirrus-mta\[amqp\]'"):
        await world.ask(publish(broker))


async def test_without_await_it_is_an_error_with_its_line(world):
    with pytest.raises(HookFailedError, match=r"init.py:6: .*basic_publish\(\) without await"):
        await world.ask("mta.amqp.basic_publish(routing_key='x', payload='y')")
