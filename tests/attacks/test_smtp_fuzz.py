"""Random octets and random commands: every cut gives the same replies, and the node lives on."""

from __future__ import annotations

import random

import pytest

PIECES = [
    b"EHLO x\r\n",
    b"HELO\r\n",
    b"MAIL FROM:<a@x.test>\r\n",
    b"MAIL FROM:<> SIZE=5\r\n",
    b"RCPT TO:<b@y.test>\r\n",
    b"RCPT TO:<>\r\n",
    b"DATA\r\n",
    b"BDAT 7\r\n",
    b"BDAT 3 LAST\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"x: y\r\n",
    b"\r\n",
    b".\r\n",
    b"..\r\n",
    b"\n",
    b"\r",
    b".",
    b"\x00\xff",
    b"z" * 1200,
]


async def replies_to(node, octets: bytes, cuts: list[int]) -> bytes:
    client = await node.connect()
    for start, stop in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        await client.send(octets[start:stop])
    client.writer.write_eof()
    told = await client.rest()
    client.close()
    # Ids of messages differ; everything else must not.
    return b"\n".join(row.split(b" ids=")[0] for row in told.split(b"\r\n"))


@pytest.mark.parametrize("seed", range(40))
async def test_random_dialogues_do_not_depend_on_their_segments(start_node, seed):
    chance = random.Random(seed)
    node = await start_node(max_message_size=2000)
    octets = b"".join(chance.choices(PIECES, k=chance.randint(5, 60)))
    cuts = sorted(chance.sample(range(len(octets)), k=min(len(octets), 20)))

    whole = await replies_to(node, octets, [])
    first = node.bodies()
    node.taken.clear()

    assert await replies_to(node, octets, cuts) == whole
    assert node.bodies() == first
    assert (await (await node.greeted()).deliver(b"still here\r\n")).code == 250


@pytest.mark.parametrize("seed", range(20))
async def test_random_octets_harm_nobody(start_node, seed):
    chance = random.Random(1000 + seed)
    node = await start_node()

    told = await replies_to(node, chance.randbytes(chance.randint(1, 20_000)), [])

    assert all(row[:1] in b"245" for row in told.split(b"\n"))
    assert b"Traceback" not in told
    assert (await (await node.greeted()).deliver(b"still here\r\n")).code == 250
