"""Messages of a transaction get their signatures together, or none of them does."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.base.dkim_signer import SignerRegistry
from engine.model.message import FLAG_WIRE_READY, Message, new_spool_id
from engine.receive.message_signing import MessageSigning, SigningJob
from tests.fakes.dkim_oracle import DOMAIN, SELECTOR, is_verified, rsa_pair, tags_of

pytestmark = pytest.mark.real_time

DATA = b"From: a@example.com\r\nSubject: s\r\n\r\nbody\r\n"


def make_signer(**changes):
    options = {
        "domain": DOMAIN,
        "selector": SELECTOR,
        "headers": ["From", "Received"],
        "key": {"key_data": rsa_pair().pem},
        **changes,
    }
    return SignerRegistry().rsa_sha256_signer(**options)


def make_message(data: bytes | None = DATA, prefix: bytes = b"", flags: int = 0) -> Message:
    size = len(prefix) + len(data or b"")
    return Message(
        new_spool_id(),
        "a@x",
        ["b@y"],
        data=data,
        size=size,
        created_at=0,
        prefix=prefix,
        flags=flags,
    )


async def sign(*jobs: SigningJob) -> None:
    await MessageSigning().sign(jobs, time.time())


async def test_each_message_is_signed_as_it_is():
    parts = [make_message(prefix=b"Received: %d\r\n" % number) for number in range(3)]

    await sign(*(SigningJob(part, [make_signer()]) for part in parts))

    for part in parts:
        assert is_verified(part.prefix + part.data, rsa_pair())
        assert part.size == len(part.prefix + part.data)
    assert len({tags_of(part.prefix + part.data)["b"] for part in parts}) == 3


async def test_signatures_stand_in_front_the_last_one_first():
    message = make_message()

    await sign(SigningJob(message, [make_signer(selector="one"), make_signer(selector="two")]))

    found = [tags_of(message.prefix + message.data, index)["s"] for index in (0, 1)]
    assert found == ["two", "one"]


@pytest.mark.parametrize("flags", [0, FLAG_WIRE_READY])
async def test_content_known_to_be_ready_is_signed_the_same(flags):
    message = make_message(flags=flags)

    await sign(SigningJob(message, [make_signer()]))

    assert is_verified(message.prefix + message.data, rsa_pair())


async def test_a_message_that_cannot_be_signed_leaves_all_as_they_were():
    good, bad = make_message(), make_message(data=None)

    with pytest.raises(ValueError, match="not in memory"):
        await sign(SigningJob(good, [make_signer()]), SigningJob(bad, [make_signer()]))

    assert (good.prefix, good.size) == (b"", len(DATA))


@pytest.mark.slow
async def test_the_loop_goes_on_while_a_large_message_is_signed():
    message = make_message(DATA + b"words and  blanks \r\n" * 500_000)
    task = asyncio.get_running_loop().create_task(sign(SigningJob(message, [make_signer()])))

    turns = 0
    while not task.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert message.prefix.startswith(b"DKIM-Signature:")
    assert turns >= 10
