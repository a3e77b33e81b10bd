"""One client at a time: each step, each refusal, and what it is told."""

from __future__ import annotations

import asyncio
import socket

import pytest

from engine.model.cidr import CidrSet
from proxy import client_stream
from proxy.access import AccessRule, AccessRules, parse_destination
from tests.fakes.proxy_world import (
    NO_AUTH,
    client_of,
    credentials,
    destination,
    eventually,
    metric,
    request,
    running_proxy,
)

pytestmark = pytest.mark.real_time
LEAVE_FROM_7 = request("127.0.0.7", 0, 2)


@pytest.fixture(autouse=True)
def _short_farewell(monkeypatch):
    """Wait less for clients that, as these here, do not leave when they were refused."""
    monkeypatch.setattr(client_stream, "LINGER_S", 0.05)


async def test_a_plain_client_reaches_its_destination_and_both_talk():
    async with running_proxy() as proxy, destination() as there, client_of(proxy) as client:
        await client.greet()
        code, host, port = await client.ask(request("127.0.0.1", there.port))
        server = await there.next()

        assert code == 0
        assert there.came_from == [(host, port)]
        await server.send(b"220 mx\r\n")
        assert await client.read(8) == b"220 mx\r\n"
        await client.send(b"QUIT\r\n")
        assert await server.read(6) == b"QUIT\r\n"


async def test_a_source_that_is_asked_for_is_left_from_on_the_same_connection():
    async with running_proxy() as proxy, destination() as there, client_of(proxy) as client:
        await client.greet()
        assert await client.ask(LEAVE_FROM_7) == (0, "127.0.0.7", 0)
        code, host, port = await client.ask(request("127.0.0.1", there.port))
        await there.next()

        assert (code, host) == (0, "127.0.0.7")
        assert there.came_from == [(host, port)]


async def test_what_a_client_says_too_early_is_not_lost():
    async with running_proxy() as proxy, destination() as there, client_of(proxy) as client:
        connect = request("127.0.0.1", there.port)
        await client.send(NO_AUTH + LEAVE_FROM_7 + connect + b"EHLO x\r\n")
        server = await there.next()

        assert await server.read(8) == b"EHLO x\r\n"
        assert await client.read(2) == b"\5\0"
        assert [(await client.reply())[:2] for _ in range(2)] == [(0, "127.0.0.7")] * 2


async def test_octets_one_by_one_are_understood():
    async with running_proxy() as proxy, destination() as there, client_of(proxy) as client:
        for octet in NO_AUTH + LEAVE_FROM_7 + request("127.0.0.1", there.port):
            await client.send(bytes([octet]))
        await there.next()

        assert await client.read(2) == b"\5\0"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (request("127.0.0.1", 25, 3), 7),
        (request("127.0.0.1", 25, 9), 7),
        (request("mx.example", 25), 8),
        (request("mx.example", 25, 2), 8),
        (b"\5\1\0\7\0", 8),
        (request("198.51.100.9", 25), 2),
        (request("127.0.0.1", 0), 2),
        (request("192.0.2.7", 0, 2), 1),
        (LEAVE_FROM_7 + LEAVE_FROM_7, 7),
        (LEAVE_FROM_7 + request("::1", 25), 2),
    ],
    ids=[
        "UDP",
        "no command",
        "name",
        "name as source",
        "no address",
        "elsewhere",
        "port 0",
        "foreign source",
        "a second source",
        "another family",
    ],
)
async def test_what_cannot_be_had_is_answered_and_ends_the_session(said, code):
    async with running_proxy() as proxy, client_of(proxy) as client:
        await client.greet()
        await client.send(said)
        if said.startswith(LEAVE_FROM_7):
            assert (await client.reply())[0] == 0

        assert await client.reply() == (code, "0.0.0.0", 0)
        assert await client.read_rest() == b""
        await eventually(lambda: not proxy.listeners[0].clients)
        assert metric(proxy, "proxy_connections_completed_total") == 1


async def test_a_port_where_nobody_listens_is_answered_as_such():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        async with running_proxy() as proxy, client_of(proxy) as client:
            await client.greet()
            assert (await client.ask(request("127.0.0.1", taken.getsockname()[1])))[0] == 5
            assert await client.read_rest() == b""


async def test_a_reply_arrives_even_if_the_client_talks_on():
    async with running_proxy() as proxy, client_of(proxy) as client:
        await client.greet()
        await client.send(request("198.51.100.9", 25) + bytes(20_000))

        assert (await client.reply())[0] == 2
        assert await client.read_rest() == b""


@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\4\1\0\x19\x7f\0\0\1\0", NO_AUTH + b"\1", b""]
)
async def test_who_speaks_something_else_is_left_without_a_word(said):
    async with running_proxy() as proxy, client_of(proxy) as client:
        await client.send(said)
        client.end()

        assert await client.read_rest() == (b"\5\0" if said.startswith(NO_AUTH) else b"")
        await eventually(lambda: metric(proxy, "proxy_connections_failed_total") == 1)


async def test_who_offers_nothing_that_will_do_is_told_so():
    async with running_proxy() as proxy, client_of(proxy) as client:
        await client.send(b"\5\1\1")

        assert await client.read_rest() == b"\5\xff"


async def test_where_passwords_cannot_be_judged_none_is_asked_for():
    async with running_proxy() as proxy, client_of(proxy) as client:
        await client.send(b"\5\2\0\2")

        assert await client.read(2) == b"\5\0"


async def test_where_everybody_must_show_one_nobody_enters_without():
    async with running_proxy(require_auth=True) as proxy, client_of(proxy) as client:
        await client.send(NO_AUTH + credentials("node", "secret"))

        assert await client.read(2) == b"\5\xff"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\5",
        b"\5\1",
        NO_AUTH,
        NO_AUTH + request("127.0.0.1", 25)[:-1],
        NO_AUTH + LEAVE_FROM_7,
        NO_AUTH + LEAVE_FROM_7 + b"\5",
    ],
)
async def test_who_stalls_is_left_at_the_deadline_of_the_step(said):
    async with running_proxy(timeout_s=0.2) as proxy, client_of(proxy) as client:
        await client.send(said)
        await client.read_rest()

        await eventually(lambda: not proxy.listeners[0].clients)
        assert metric(proxy, "proxy_connections_failed_total") == 1


async def test_who_drips_octets_does_not_move_the_deadline():
    async with running_proxy(timeout_s=0.3) as proxy, client_of(proxy) as client:
        await client.send(NO_AUTH)
        assert await client.read(2) == b"\5\0"
        dripped = 0
        for octet in b"\5\1\0\3\xff" + b"x" * 255:
            if not proxy.listeners[0].clients:
                break
            await client.send(bytes([octet]))
            dripped += 1
            await eventually(lambda: True)
            await pause()

        assert dripped < 100


async def pause():
    await asyncio.sleep(0.01)


# -- rules


async def test_a_source_that_no_rule_allows_is_refused():
    rules = AccessRules(rules=(AccessRule(sources=CidrSet(["127.0.0.8"])),))
    async with running_proxy(access=rules) as proxy, client_of(proxy) as client:
        await client.greet()

        assert (await client.ask(LEAVE_FROM_7))[0] == 2


async def test_who_asks_for_no_source_leaves_from_the_first_one_that_is_allowed():
    here = (parse_destination("127.0.0.1:*"),)
    rule = AccessRule(sources=CidrSet(["::1", "127.0.0.8", "127.0.0.7"]), destinations=here)
    rules = AccessRules(rules=(rule,))
    async with (
        running_proxy(access=rules) as proxy,
        destination() as there,
        client_of(proxy) as client,
    ):
        await client.greet()

        assert (await client.ask(request("127.0.0.1", there.port)))[:2] == (0, "127.0.0.8")


async def test_by_default_this_host_cannot_be_reached():
    async with (
        running_proxy(access=AccessRules()) as proxy,
        destination() as there,
        client_of(proxy) as client,
    ):
        await client.greet()

        assert (await client.ask(request("127.0.0.1", there.port)))[0] == 2
        assert there.came_from == []
