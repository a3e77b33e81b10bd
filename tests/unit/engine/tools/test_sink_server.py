"""The sink as a whole: listening, counting, keeping, ending."""

from __future__ import annotations

import asyncio

import pytest

from engine.tools.sink_options import SinkOptions
from engine.tools.sink_server import Sink
from tests.fakes.sink_dialogue import connect, greeted, talking


class FullStore:
    def __init__(self) -> None:
        self.is_full = True
        self.kept: list[bytes] = []
        self.is_closed = False

    def keep(self, message) -> None:
        if self.is_full:
            raise OSError("no space left")
        self.kept.append(message.data)

    def close(self) -> None:
        self.is_closed = True


async def test_it_listens_on_several_addresses_and_knows_which_one_was_called():
    async with Sink() as sink:
        await sink.start("127.0.0.1")
        assert len({port for _, port in sink.addresses}) == 2
        client = await greeted(sink)
        await client.deliver(b"hi\r\n")
        assert sink.messages[0].local == f"127.0.0.1:{sink.port}"
        client.close()


async def test_ipv6():
    async with Sink() as sink:
        port = await sink.start("::1")
        _, writer = await asyncio.open_connection("::1", port)
        writer.close()


async def test_an_address_that_is_taken_cannot_be_had():
    async with Sink() as sink:
        other = Sink()
        with pytest.raises(OSError, match="in use"):
            await other.start("127.0.0.1", sink.port)


async def test_connections_are_counted_and_their_peak_kept():
    async with talking() as (sink, _):
        second = await greeted(sink)
        await second.command(b"QUIT")
        second.close()
        await asyncio.sleep(0.1)
        stats = sink.stats
        assert (stats.connections, stats.connections_open, stats.connections_peak) == (2, 1, 2)


async def test_a_message_that_cannot_be_stored_is_deferred_and_not_counted():
    store = FullStore()
    async with talking(stores=[store]) as (sink, client):
        assert (await client.deliver(b"one\r\n")).code == 452
        assert (sink.stats.messages, sink.messages) == (0, [])

        store.is_full = False
        assert (await client.deliver(b"two\r\n")).code == 250
        assert (store.kept, sink.stats.messages) == ([b"two\r\n"], 1)
    assert store.is_closed


async def test_messages_need_not_be_kept():
    async with talking(keep_messages=False) as (sink, client):
        await client.deliver(b"hi\r\n")
        assert (sink.stats.messages, sink.messages) == (1, [])


async def test_one_can_wait_for_messages():
    async with talking() as (sink, client):
        await client.deliver(b"hi\r\n")
        assert len(await sink.wait_messages(1)) == 1
        with pytest.raises(TimeoutError):
            await sink.wait_messages(2, limit_s=60)


async def test_the_end_closes_every_connection_and_port():
    sink = Sink(SinkOptions(delay_s=1000.0))
    await sink.start()
    client = await connect(sink)
    await asyncio.sleep(0.1)

    await sink.stop()

    assert await client.rest() == b""
    client.close()
    with pytest.raises(OSError, match="refused|Connect"):
        await connect(sink)


async def test_a_script_of_a_test_chooses_replies():
    def refuse(stage, _session, argument):
        return "550 5.1.1 no" if argument == "b@y.test" else None

    async with talking(script=refuse) as (_, client):
        codes = await client.codes(
            b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"RCPT TO:<c@y.test>"
        )
        assert codes == [250, 550, 250]
