"""What a sink offers and wants before mail."""

from __future__ import annotations

import asyncio
import base64

import pytest

from engine.tools.sink_options import Extension, SinkOptions
from engine.tools.sink_server import Sink
from tests.fakes.sink_dialogue import connect, talking


async def offers(client, hello: bytes = b"EHLO c.test") -> set[str]:
    return set((await client.command(hello)).lines[1:])


async def test_usual_extensions_are_offered():
    async with talking() as (_, client):
        assert await offers(client) == {
            "PIPELINING",
            "8BITMIME",
            "SMTPUTF8",
            "SIZE 52428800",
            "ENHANCEDSTATUSCODES",
        }


@pytest.mark.parametrize("extension", Extension)
async def test_each_extension_can_be_the_only_one(extension):
    async with talking({"extensions": frozenset({extension})}) as (_, client):
        (offer,) = await offers(client)
        assert offer.split()[0].lower() == extension.value


async def test_helo_offers_nothing():
    async with talking() as (_, client):
        assert await offers(client, b"HELO c.test") == set()


@pytest.mark.parametrize(
    ("lmtp", "codes"), [(True, [500, 500, 250, 501]), (False, [250, 250, 500, 500])]
)
async def test_each_protocol_has_its_greeting(lmtp, codes):
    async with talking({"lmtp": lmtp}) as (_, client):
        lines = (b"HELO c.test", b"EHLO c.test", b"LHLO c.test", b"LHLO ")
        assert await client.codes(*lines) == codes


async def test_a_greeting_without_a_name_is_refused():
    async with talking() as (_, client):
        assert await client.codes(b"EHLO", b"EHLO  ") == [501, 501]


async def test_without_enhanced_codes_replies_have_none():
    async with talking({"extensions": frozenset()}) as (_, client):
        assert (await client.command(b"MAIL FROM:<a@x.test>")).text == "sender ok"


async def test_connections_over_the_limit_are_answered_421_and_closed():
    async with talking({"max_connections": 1}) as (sink, _):
        second = await connect(sink)
        assert (await second.reply()).code == 421
        assert await second.rest() == b""
        second.close()


@pytest.mark.real_time
async def test_starttls_begins_a_new_dialogue():
    async with talking({"starttls": True, "require_tls": True}) as (sink, client):
        assert "STARTTLS" in await offers(client)
        assert await client.codes(b"MAIL FROM:<a@x.test>", b"STARTTLS") == [530, 220]
        await client.start_tls()

        assert await client.codes(b"MAIL FROM:<a@x.test>") == [503]
        assert "STARTTLS" not in await offers(client)
        assert (await client.deliver(b"hi\r\n")).code == 250
        assert (sink.messages[0].tls, sink.stats.tls_connections) == (True, 1)


@pytest.mark.real_time
async def test_tls_from_the_first_byte():
    async with Sink(SinkOptions(tls_from_first_byte=True)) as sink:
        client = await connect(sink, tls=True)
        assert (await client.reply()).code == 220
        assert (await client.command(b"EHLO c.test")).code == 250
        assert (await client.deliver(b"hi\r\n")).code == 250
        assert (sink.messages[0].tls, sink.stats.tls_connections) == (True, 1)
        client.close()


async def test_starttls_is_refused_where_it_is_not_offered():
    async with talking() as (_, client):
        assert await client.codes(b"STARTTLS") == [503]


@pytest.mark.real_time
async def test_input_after_starttls_is_discarded_and_counted():
    async with talking({"starttls": True}) as (sink, client):
        await client.send(b"STARTTLS\r\nMAIL FROM:<evil@x.test>\r\n")
        assert (await client.reply()).code == 220
        await client.start_tls()

        assert await client.codes(b"RCPT TO:<b@y.test>") == [503]
        assert sink.stats.violations["input after STARTTLS"] == 1


@pytest.mark.real_time
async def test_a_handshake_that_fails_is_counted_and_ends_the_connection():
    async with talking({"starttls": True}) as (sink, client):
        await client.command(b"STARTTLS")
        await client.send(b"this is no handshake\r\n" * 100)
        await client.rest()
        async with asyncio.timeout(10):
            while sink.stats.connections_open:
                await asyncio.sleep(0.01)
        assert sink.stats.violations == {"TLS handshake that failed": 1}


ACCOUNTS = {"accounts": {"ann": "pässword"}, "require_auth": True}


def plain(user: str, password: str) -> bytes:
    return b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode())


async def test_auth_opens_the_door():
    async with talking(ACCOUNTS) as (sink, client):
        assert "AUTH PLAIN LOGIN" in await offers(client)
        assert await client.codes(b"MAIL FROM:<a@x.test>", plain("ann", "no")) == [530, 535]
        assert await client.codes(plain("ann", "pässword"), plain("ann", "pässword")) == [235, 503]
        assert (await client.deliver(b"hi\r\n")).code == 250
        assert sink.messages[0].auth_user == "ann"


async def test_auth_is_refused_where_it_is_not_offered():
    async with talking() as (_, client):
        assert await client.codes(plain("ann", "x")) == [502]


async def test_auth_inside_a_transaction_is_refused():
    async with talking({"accounts": {"ann": "x"}}) as (_, client):
        assert await client.codes(b"MAIL FROM:<a@x.test>", plain("ann", "x")) == [250, 503]


async def test_auth_by_steps():
    async with talking(ACCOUNTS) as (_, client):
        user, password = (base64.b64encode(text.encode()) for text in ("ann", "pässword"))
        assert await client.codes(b"AUTH LOGIN", user, password) == [334, 334, 235]
