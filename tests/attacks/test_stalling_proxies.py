"""Proxies that fall silent at any octet, or drip: mail is deferred within the time to connect."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from engine.deliver.dispatcher import SmtpDispatcher
from engine.model.disposition import Disposition
from engine.model.egress import make_egress_source
from engine.route.mx_plan import RouteHost
from tests.fakes.dispatch import DispatchWorld

TIMEOUT_S = 600.0
#: What a busy machine may add, seconds.
SLACK_S = 30.0
REQUEST = 10
#: How many octets are read, and what is answered.
GREETED = ((3, b"\5\0"),)
KNOWN = ((4, b"\5\2"), (13, b"\1\0"))
BOUND = ((REQUEST, b"\5\0\0\1\x7f\0\0\7\0\0"),)
CONNECTED = ((REQUEST, b"\5\0\0\4" + bytes(15) + b"\1\0\0"),)
CONNECTED_BY_NAME = ((REQUEST, b"\5\0\0\3\x0amx.example\0\0"),)


@contextlib.asynccontextmanager
async def halting_proxy(steps, size, every_s=0.0):
    """Run a proxy that answers so many octets and then says nothing more; yield its port."""
    writers = []

    async def serve(reader, writer):
        writers.append(writer)
        left = size
        for asked, answer in steps:
            await reader.readexactly(asked)
            for octet in answer[: max(left, 0)]:
                writer.write(bytes([octet]))
                if every_s:
                    await asyncio.sleep(every_s)
            left -= len(answer)
        await reader.read()

    async def serve_to_the_end(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    server = await asyncio.start_server(serve_to_the_end, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def attempt(steps, size, every_s=0.0):
    """Return what became of mail by such a proxy, and how long that took."""
    loop = asyncio.get_running_loop()
    route = RouteHost(0, "mx.test", 25, ("192.0.2.1",))
    async with halting_proxy(steps, size, every_s) as port:
        world = DispatchWorld(hosts=[route], connect_timeout=TIMEOUT_S)
        secret = {"socks5_proxy_username": "node", "socks5_proxy_password": {"key_data": "secret"}}
        world.source = make_egress_source(
            name="src",
            socks5_proxy_server=f"127.0.0.1:{port}",
            socks5_proxy_source_address="127.0.0.7",
            **(secret if steps[0][0] == 4 else {}),
        )
        message = world.add()
        began_s = loop.time()
        await SmtpDispatcher(world, world.services).run()
        took_s = loop.time() - began_s
    assert world.ends(message) == 1
    return world.dispositions(message), took_s, world.lines


@pytest.mark.parametrize(
    "steps",
    [GREETED + BOUND + CONNECTED, KNOWN + BOUND + CONNECTED, GREETED + BOUND + CONNECTED_BY_NAME],
    ids=["plain", "password", "name"],
)
async def test_mail_is_deferred_in_time_wherever_the_proxy_stops(steps):
    count = sum(len(answer) for _, answer in steps)

    ends = await asyncio.gather(*(attempt(steps, size) for size in range(count)))

    assert len(ends) == count
    for dispositions, took_s, lines in ends:
        assert dispositions == {"b@y.test": Disposition.DEFERRED}
        assert took_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)
        # Until the destination was named the silence is the proxy's, and is said to be.
        assert ("proxy 127.0.0.1" in lines[0]) != ("no connection within 600 s" in lines[0])


async def test_answers_in_drips_have_one_deadline_for_all_of_them():
    steps = KNOWN + BOUND + CONNECTED

    dispositions, took_s, lines = await attempt(steps, 1000, every_s=TIMEOUT_S / 4)

    assert dispositions == {"b@y.test": Disposition.DEFERRED}
    assert took_s == pytest.approx(TIMEOUT_S, abs=SLACK_S)
    assert "it gave no answer in time" in lines[0]
