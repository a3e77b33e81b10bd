"""Content on its way: byte-exact, large, and to hosts that stop in the middle."""

import asyncio
import contextlib

import pytest

from engine.deliver.dot_stuffing import stuff_dots
from engine.deliver.smtp_transaction import WRITE_CHUNK, SmtpTransaction
from engine.deliver.smtp_wire import SmtpWire
from engine.model.egress import make_egress_path
from tests.fakes.scripted_peer import (
    CLOSE,
    RESET,
    SILENCE,
    STOP_READING,
    Wait,
    scripted_peer,
)

LARGE = (b"x" * 78 + b"\r\n") * 100_000


@contextlib.asynccontextmanager
async def transaction_with(
    playbook=None, *, recipients=("b@y.test",), lmtp=False, reads_ahead=1 << 26, **path
):
    async with scripted_peer(playbook, lmtp=lmtp, reads_ahead=reads_ahead) as peer:
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(lambda: SmtpWire(loop.time), *peer.address)
        await wire.reply(5)
        wire.say("EHLO c.test")
        await wire.reply(5)
        transaction = SmtpTransaction(
            wire,
            make_egress_path(use_lmtp=lmtp, **path),
            {"PIPELINING": "", "SIZE": ""},
            sender="a@x.test",
            recipients=list(recipients),
            is_reused=False,
        )
        yield transaction, peer
        wire.transport.abort()


async def run(transaction, body):
    return await transaction.run(stuff_dots(body), len(body), is_8bit=False, needs_smtputf8=False)


def shown(result):
    return [f"{one.disposition.name} {one.reply.code}" for one in result.outcomes]


@pytest.mark.parametrize(
    "body",
    [
        b".\r\n..\r\n...\r\n.x\r\n",
        b"x" * 998 + b"\r\n",
        b"trailing blanks   \t \r\n \r\n",
        b"8-bit \xff\xfe\x00\r\n",
        b"B: 2\r\na: 1\r\nB: 1\r\n\r\nbody\r\n",
        b"\r\n\r\n\r\n",
        LARGE,
        b"." * WRITE_CHUNK + b"\r\n",
        b"x" * (WRITE_CHUNK - 2) + b"\r\n.\r\n" + b"y\r\n",
    ],
    ids=["dots", "998", "blanks", "8bit", "headers", "empty", "large", "all dots", "at the seam"],
)
async def test_the_octets_arrive_as_they_are(body):
    async with transaction_with() as (transaction, peer):
        result = await run(transaction, body)

    assert shown(result) == ["DELIVERED 250"]
    assert peer.mails[0].data == body


async def test_the_envelope_goes_out_in_one_write():
    async with transaction_with({"MAIL": (Wait(5), "250 ok")}) as (transaction, peer):
        await run(transaction, b"x\r\n")

    assert [line.split()[0] for line in peer.commands] == ["EHLO", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize(
    ("early", "expected"),
    [
        ("552 5.3.4 too large", "FAILED 552"),
        ("452 4.3.1 no room", "DEFERRED 452"),
        ("421 4.3.2 closing", "DEFERRED 421"),
        ("250 2.0.0 taken", "DEFERRED 451"),
        ("354 more", "DEFERRED 451"),
    ],
)
@pytest.mark.parametrize("then", [SILENCE, CLOSE, RESET], ids=["silence", "close", "reset"])
async def test_what_a_host_says_before_the_end_of_the_data_is_heard(early, expected, then):
    playbook = {"DATA": ("354 go", Wait(5), early, Wait(5), then)}
    async with transaction_with(playbook, reads_ahead=1 << 16) as (transaction, peer):
        result = await run(transaction, LARGE * 3)

    assert shown(result) == [expected]
    assert not result.usable
    assert peer.mails == []


async def test_an_early_refusal_of_lmtp_is_for_the_first_only():
    playbook = {"DATA": ("354 go", Wait(5), "552 5.2.2 full", SILENCE)}
    recipients = ["a@y.test", "b@y.test"]
    options = {"recipients": recipients, "lmtp": True, "reads_ahead": 1 << 16}
    async with transaction_with(playbook, **options) as (transaction, _):
        result = await run(transaction, LARGE * 3)

    assert shown(result) == ["FAILED 552", "DEFERRED 451"]


@pytest.mark.parametrize(
    "answer",
    [STOP_READING, ("354 go", CLOSE), ("354 go", RESET)],
    ids=["stops", "closes", "resets"],
)
async def test_a_host_that_takes_no_more_data_is_a_deferral(answer):
    async with transaction_with({"DATA": answer}) as (transaction, _):
        started = asyncio.get_running_loop().time()
        result = await run(transaction, LARGE * 3)

    assert [line.split()[0] for line in shown(result)] == ["DEFERRED"]
    assert asyncio.get_running_loop().time() - started < 330
    assert not result.usable


async def test_lmtp_that_wants_data_for_nobody_is_left():
    playbook = {"RCPT": "550 5.1.1 who", "DATA": "354 go"}
    async with transaction_with(playbook, lmtp=True) as (transaction, _):
        result = await run(transaction, b"x\r\n")

    assert shown(result) == ["FAILED 550"]
    assert not result.usable


@pytest.mark.parametrize("pipelined", [True, False])
@pytest.mark.parametrize("action", [SILENCE, CLOSE, RESET])
@pytest.mark.parametrize(
    ("step", "command"),
    [
        ("MAIL", "MAIL FROM:<a@x.test> SIZE=3"),
        ("RCPT", "RCPT TO:<b@y.test>"),
        ("DATA", "DATA"),
        ("dot", "."),
    ],
)
async def test_a_host_that_says_no_more_is_reported_with_the_command(
    step, command, action, pipelined
):
    async with transaction_with({step: [action]}, enable_pipelining=pipelined) as (transaction, _):
        result = await run(transaction, b"x\r\n")

    assert [(one.disposition.name, one.command) for one in result.outcomes] == [
        ("DEFERRED", command)
    ]
