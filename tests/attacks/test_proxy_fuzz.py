"""Random and damaged octets at a listener of the proxy: it answers, or leaves, and lives on."""

from __future__ import annotations

import asyncio
import random

import pytest

from engine.model.cidr import CidrSet
from engine.model.proxy_header import format_proxy_header
from tests.fakes.proxy_world import (
    client_of,
    credentials,
    destination,
    eventually,
    request,
    running_proxy,
)

pytestmark = [pytest.mark.real_time, pytest.mark.slow]
HEADER = format_proxy_header(("127.0.0.5", 4711), ("127.0.0.6", 1080))
PIECES = [
    b"\5\1\0",
    b"\5\2\0\2",
    b"\5\xff" + bytes(255),
    credentials("node", "secret"),
    request("127.0.0.7", 0, 2),
    request("127.0.0.1", 9),
    request("::1", 9),
    request("mx.example", 25),
    request("127.0.0.1", 9, 3),
    HEADER,
    b"PROXY TCP4 127.0.0.5 127.0.0.6 4711 1080\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),
    b"GET / HTTP/1.1\r\n\r\n",
    b"\4\1\0\x19\x7f\0\0\1\0",
]


def damaged(chance: random.Random) -> bytes:
    data = bytearray(b"".join(chance.choices(PIECES, k=chance.randint(1, 6))))
    for _ in range(chance.randrange(4)):
        place = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[place] = chance.randrange(256)
            case 1:
                del data[place : place + chance.randrange(5)]
                data += b"\0"
            case _:
                data[place:place] = chance.randbytes(chance.randrange(9))
    return bytes(data)


async def attack(proxy, chance, **options):
    async with client_of(proxy, **options) as client:
        data = damaged(chance)
        cut = chance.randrange(len(data) + 1)
        try:
            await client.send(data[:cut])
            await asyncio.sleep(0)
            await client.send(data[cut:])
            match chance.randrange(3):
                case 0:
                    client.reset()
                case 1:
                    client.end()
                    await client.see_end()
                case _:
                    await client.see_end()
        except OSError:
            pass  # it was left, which is an answer


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_splice": False, "require_auth": True},
        {"proxy_protocol_from": CidrSet(["127.0.0.0/8"])},
        {"use_tls": True},
    ],
    ids=["plain", "passwords", "balancer", "TLS"],
)
async def test_it_lives_on(options):
    chance = random.Random(repr(options))
    async with destination() as there, running_proxy(timeout_s=0.2, **options) as proxy:
        for _ in range(40):
            await asyncio.gather(*(attack(proxy, chance) for _ in range(25)))
        await eventually(lambda: proxy.open == 0)
        if not options:
            async with client_of(proxy) as client:
                await client.greet()
                assert (await client.ask(request("127.0.0.1", there.port)))[0] == 0

        text = "".join(proxy.metrics.iter_text())
        assert 'proxy_connections_accepted_total{listener="127.0.0.1:0"} 10' in text
