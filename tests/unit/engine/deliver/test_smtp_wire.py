"""The transport side: bounded waits, bounded memory."""

import asyncio
import contextlib
import resource

import pytest

from engine.deliver.smtp_wire import UNREAD_MAX, SmtpWire
from engine.model.errors import PeerClosedError, PeerProtocolError, PeerTimeoutError
from tests.fakes.scripted_peer import CLOSE, SILENCE, Flood, Trickle, Wait, scripted_peer


@contextlib.asynccontextmanager
async def wire_to(answer):
    async with scripted_peer({"banner": answer}, reads_ahead=1 << 16) as peer:
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(lambda: SmtpWire(loop.time), *peer.address)
        yield wire
        wire.transport.abort()


async def test_returns_replies_in_order():
    async with wire_to(b"220 a\r\n250 b\r\n") as wire:
        assert (await wire.reply(5)).code == 220
        assert (await wire.reply(5)).code == 250


async def test_a_reply_before_the_end_counts():
    async with wire_to(("220 a", CLOSE)) as wire:
        await asyncio.sleep(1)
        assert wire.is_lost
        assert (await wire.reply(5)).code == 220
        with pytest.raises(PeerClosedError):
            await wire.reply(5)


@pytest.mark.parametrize(
    "answer", [SILENCE, Trickle(b"250-x\r\n", 1), Trickle(b"2", 4), b"250-x\r\n250-y"], ids=str
)
async def test_a_wait_ends_at_its_time_whatever_trickles_in(answer):
    async with wire_to((answer, SILENCE)) as wire:
        started = asyncio.get_running_loop().time()
        with pytest.raises((PeerTimeoutError, PeerProtocolError)):
            await wire.reply(20)
        assert asyncio.get_running_loop().time() - started < 21


@pytest.mark.parametrize(
    "octets",
    [b"x" * 1000, b"\r\n" * 50, b"250-" + b"y" * 500 + b"\r\n", b"250 \x00\x1b[2J\r\n" * 20],
    ids=["no end", "empty lines", "one reply", "many replies"],
)
async def test_ten_megabytes_nobody_asked_for_take_little_memory(octets):
    async with wire_to(Flood(octets, 10_000_000)) as wire:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await asyncio.sleep(30)
        held = wire.parser.size_bytes
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert held < UNREAD_MAX + (512 << 10)
    assert grown_kib < 8 << 10


async def test_replies_held_back_are_all_read_when_asked_for():
    async with wire_to((Flood(b"250 " + b"x" * 100 + b"\r\n", 1_000_000), "221 end")) as wire:
        await asyncio.sleep(30)
        codes = set()
        for _ in range(1_000_000 // 106):
            codes.add((await wire.reply(5)).code)
        assert (await wire.reply(5)).code == 221

    assert codes == {250}


async def test_one_reply_without_end_is_refused():
    async with wire_to(Flood(b"250-more\r\n" * 20, 10_000_000)) as wire:
        with pytest.raises(PeerProtocolError, match="too long"):
            await wire.reply(300)


async def test_progress_is_a_whole_reply_and_not_an_octet():
    async with wire_to((b"250-a\r\n", Wait(10), b"250 b\r\n", SILENCE)) as wire:
        started = wire.progress_mono
        waiting = asyncio.ensure_future(wire.reply(60))
        await asyncio.sleep(5)
        assert wire.progress_mono == started
        await waiting
        assert wire.progress_mono >= started + 10


async def test_a_host_that_does_not_read_is_not_waited_for_longer_than_its_time():
    async with wire_to(("220 a", SILENCE)) as wire:
        await wire.reply(5)
        wire.transport.write(b"x" * (20 << 20))
        started = asyncio.get_running_loop().time()
        with pytest.raises(PeerTimeoutError, match="took no data"):
            await wire.drain(30)
        assert 29 < asyncio.get_running_loop().time() - started < 32
        assert wire.has_unsent


async def test_a_host_that_speaks_ends_the_wait_for_it_to_read():
    async with wire_to(("220 a", Wait(10), "552 5.3.4 enough", SILENCE)) as wire:
        await wire.reply(5)
        wire.transport.write(b"x" * (20 << 20))
        await wire.drain(30)
        assert (await wire.reply(5)).code == 552
