"""The sink takes mail as the standard says, and counts what clients do against it."""

from __future__ import annotations

import asyncio

import pytest

from engine.tools.sink_options import DEFAULT_EXTENSIONS, Extension
from tests.fakes.sink_dialogue import greeted, talking

CHUNKING = {"extensions": frozenset(Extension)}
TRANSACTION = (b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test>", b"DATA")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Subject: s\r\n\r\nbody\r\n",
        b".\r\n..\r\n.x\r\n",
        b"\r\n\r\n",
        b"x" * 998 + b"\r\n",
        b"trailing blanks  \t\r\n",
        b"bare \n and \r\r\n",
        bytes(range(128, 256)) + b"\r\n",
    ],
)
async def test_a_message_arrives_as_it_was(body):
    async with talking() as (sink, client):
        stuffed = b"".join(
            b"." + line if line.startswith(b".") else line for line in body.splitlines(True)
        )
        if b"bare" in body:
            stuffed = body

        assert (await client.deliver(stuffed)).code == 250

        assert [message.data for message in sink.messages] == [body]


@pytest.mark.parametrize("is_slow", [True, False])
async def test_segments_may_be_cut_anywhere(is_slow):
    octets = (
        b"\r\n".join(TRANSACTION) + b"\r\nSubject: s\r\n\r\n..dot\r\n.\r\n"
        b"RSET\r\n" + b"\r\n".join(TRANSACTION) + b"\r\n.\r\nQUIT\r\n"
    )
    async with talking() as (sink, client):
        await (client.send_slowly(octets) if is_slow else client.send(octets))

        codes = [(await client.reply()).code for _ in range(10)]
        assert codes == [250, 250, 354, 250, 250, 250, 250, 354, 250, 221]
        assert [message.data for message in sink.messages] == [b"Subject: s\r\n\r\n.dot\r\n", b""]


async def test_the_envelope_is_kept():
    async with talking() as (sink, client):
        await client.codes(
            b"mail from: <A@x.test> BODY=8BITMIME SIZE=5", b"rcpt to:<b@y.test>", b"RCPT TO:<c@z>"
        )
        await client.codes(b"DATA")
        await client.send(b"hi\r\n.\r\n")
        await client.reply()

        (message,) = sink.messages
        assert (message.sender, message.recipients) == ("A@x.test", ("b@y.test", "c@z"))
        assert dict(message.params) == {"BODY": "8BITMIME", "SIZE": "5"}
        assert (message.ehlo, message.tls, message.connection) == ("c.test", False, 1)
        assert sink.stats.domains == {"y.test": 1, "z": 1}


@pytest.mark.parametrize(
    ("lines", "codes"),
    [
        ((b"RCPT TO:<b@y.test>",), [503]),
        ((b"DATA",), [503]),
        ((b"MAIL FROM:<a@x.test>", b"DATA"), [250, 554]),
        ((b"MAIL FROM:<a@x.test>", b"MAIL FROM:<a@x.test>"), [250, 503]),
        ((b"MAIL FROM:a@x.test",), [501]),
        ((b"MAIL FROM:<>", b"RCPT TO:<>"), [250, 501]),
        ((b"MAIL FROM:<a@x.test>", b"RCPT TO:<b@y.test> NOTIFY=NEVER"), [250, 555]),
        ((b"MAIL FROM:<a@x.test> SIZE=99999999999",), [552]),
        ((b"MAIL FROM:<a@x.test> RET=FULL",), [555]),
        ((b"MAIL FROM:<a@x.test>", b"RCPT TO:<" + b"x" * 2000 + b"@y.test>"), [250, 501]),
        ((b"MAIL FROM:<a@x.test>", "RCPT TO:<bjørn@y.test>".encode()), [250, 553]),
        ((b"MAIL FROM:<a@x.test> SMTPUTF8", "RCPT TO:<bjørn@y.test>".encode()), [250, 250]),
        ((b"MAIL FROM:<a@x.test>", b"EHLO again", b"MAIL FROM:<a@x.test>"), [250, 250, 250]),
        ((b"MAIL FROM:<a@x.test>", b"RSET", b"RCPT TO:<b@y.test>"), [250, 250, 503]),
        ((b"NOOP", b"VRFY b", b"EXPN b", b""), [250, 252, 500, 500]),
    ],
)
async def test_each_step_is_answered_by_its_code(lines, codes):
    async with talking() as (_, client):
        assert await client.codes(*lines) == codes


async def test_mail_before_hello_is_refused_and_counted():
    async with talking() as (sink, _):
        client = await greeted(sink, b"NOOP")
        assert await client.codes(b"MAIL FROM:<a@x.test>") == [503]
        assert sink.stats.violations == {"MAIL before EHLO": 1}
        client.close()


@pytest.mark.parametrize(
    ("octets", "violation"),
    [
        (b"NOOP\n", "command line without CR"),
        (b"BLAH\r\n", "unknown command"),
        (b"x" * 9000, "command line too long"),
        (b"MAIL FROM:<a@x.test> NONSENSE=1\r\n", "parameter NONSENSE that was not offered"),
    ],
)
async def test_what_is_against_the_standard_is_counted(octets, violation):
    async with talking() as (sink, client):
        await client.send(octets)
        await client.reply()
        assert sink.stats.violations == {violation: 1}


async def test_what_is_made_up_by_a_client_is_counted_in_bounded_memory():
    async with talking() as (sink, client):
        for number in range(600):
            await client.command(b"MAIL FROM:<a@x.test> P%d=1" % number)

        assert len(sink.stats.violations) == 501
        assert sink.stats.violations["(others)"] == 100


@pytest.mark.parametrize(
    ("body", "violation"),
    [
        (b"a\nb\r\n", "bare CR or LF in a message"),
        (b"\xff\r\n", "octets beyond ASCII without BODY=8BITMIME"),
    ],
)
async def test_content_against_the_standard_is_taken_and_counted(body, violation):
    async with talking() as (sink, client):
        assert (await client.deliver(body)).code == 250
        assert sink.stats.violations == {violation: 1}


async def test_pipelining_that_was_not_offered_is_counted():
    without = {"extensions": DEFAULT_EXTENSIONS - {Extension.PIPELINING}}
    async with talking(without) as (sink, client):
        await client.send(b"NOOP\r\nNOOP\r\n")
        await client.reply()
        await client.reply()
        assert sink.stats.violations == {"pipelining that was not offered": 1}


async def test_a_message_sent_before_354_is_counted():
    async with talking() as (sink, client):
        await client.send(b"\r\n".join(TRANSACTION) + b"\r\nearly\r\n.\r\n")
        assert [(await client.reply()).code for _ in range(4)] == [250, 250, 354, 250]
        assert sink.stats.violations == {"message sent before 354": 1}


async def test_a_connection_that_ends_inside_a_message_takes_nothing_and_is_counted():
    async with talking() as (sink, client):
        await client.codes(*TRANSACTION)
        await client.send(b"half a message\r\n")
        client.reset()
        while sink.stats.connections_open:
            await asyncio.sleep(0.01)

        assert sink.stats.violations == {"connection that ended inside a message": 1}
        assert sink.messages == []


@pytest.mark.parametrize("size", [1001, 50_000, 500_000])
async def test_a_message_over_the_limit_is_refused_at_its_end_and_the_dialogue_goes_on(size):
    async with talking({"max_message_size": 1000}) as (sink, client):
        await client.codes(*TRANSACTION)
        for _ in range(size // 100 + 1):
            await client.send(b"x" * 98 + b"\r\n")
        await client.send(b".\r\n")

        assert (await client.reply()).code == 552
        assert (await client.deliver(b"short\r\n")).code == 250
        assert [message.data for message in sink.messages] == [b"short\r\n"]


async def test_recipients_over_the_limit_are_answered_452():
    async with talking({"max_recipients": 2}) as (_, client):
        codes = await client.codes(b"MAIL FROM:<a@x.test>", *[b"RCPT TO:<b@y.test>"] * 3)
        assert codes == [250, 250, 250, 452]


async def test_messages_over_the_limit_of_a_connection_end_it():
    async with talking({"max_messages_per_connection": 1}) as (sink, client):
        await client.deliver(b"one\r\n")
        assert (await client.command(b"MAIL FROM:<a@x.test>")).code == 421
        assert await client.rest() == b""
        assert sink.stats.messages == 1


async def test_chunks_make_a_message():
    async with talking(CHUNKING) as (sink, client):
        await client.codes(*TRANSACTION[:2])
        await client.send_slowly(b"BDAT 6\r\n.one\r\nBDAT 0\r\nBDAT 5 LAST\r\ntwo\r\n")
        assert [(await client.reply()).code for _ in range(3)] == [250, 250, 250]
        assert [message.data for message in sink.messages] == [b".one\r\ntwo\r\n"]


@pytest.mark.parametrize(
    ("line", "codes"),
    [(b"BDAT x", [501]), (b"BDAT 1 FIRST", [501]), (b"BDAT 3 LAST\r\nabc", [503])],
)
async def test_a_wrong_chunk_is_refused(line, codes):
    async with talking(CHUNKING) as (_, client):
        await client.send(line + b"\r\n")
        assert [(await client.reply()).code for _ in codes] == codes


async def test_chunks_past_the_limit_are_refused_at_the_last_one():
    async with talking({**CHUNKING, "max_message_size": 1000}) as (sink, client):
        await client.codes(*TRANSACTION[:2])
        for _ in range(20):
            await client.send(b"BDAT 100\r\n" + b"x" * 100)
            assert (await client.reply()).code == 250
        assert (await client.command(b"BDAT 0 LAST")).code == 552
        assert sink.messages == []


async def test_a_chunk_that_was_not_offered_ends_the_connection():
    async with talking() as (sink, client):
        assert (await client.command(b"BDAT 3 LAST")).code == 502
        assert sink.stats.violations == {"BDAT that was not offered": 1}


async def test_lmtp_answers_for_each_recipient():
    async with talking({"lmtp": True}) as (sink, client):
        recipients = (b"one@y.test", b"permfail-data@y.test", b"tempfail-data@y.test")
        reply = await client.deliver(b"hi\r\n", to=recipients)
        codes = [reply.code, (await client.reply()).code, (await client.reply()).code]

        assert codes == [250, 550, 451]
        assert [message.recipients for message in sink.messages] == [("one@y.test",)]


async def test_lmtp_that_refuses_everyone_takes_nothing():
    async with talking({"lmtp": True}) as (sink, client):
        assert (await client.deliver(b"hi\r\n", to=(b"permfail-data@y.test",))).code == 550
        assert (sink.messages, sink.stats.messages) == ([], 0)
