"""Replies of Redis are read within bounds."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse

from engine.script_modules.redis_parser import (
    REPLY_BYTES_MAX,
    REPLY_VALUES_MAX,
    BoundedParser,
)


class Plain:
    """Stands for redis-py's encoder: everything stays bytes."""

    @staticmethod
    def decode(value):
        return value


def reading(octets: bytes) -> BoundedParser:
    stream = asyncio.StreamReader()
    stream.feed_data(octets)
    stream.feed_eof()
    parser = BoundedParser(65536)
    parser.on_connect(SimpleNamespace(_reader=stream, encoder=Plain()))
    return parser


async def test_replies_within_bounds_are_read():
    parser = reading(b"+OK\r\n:5\r\n$3\r\nabc\r\n*2\r\n$-1\r\n*1\r\n:1\r\n")

    assert [await parser.read_response() for _ in range(4)] == [b"OK", 5, b"abc", [None, [1]]]


async def test_the_bounds_are_those_of_one_reply():
    half = b"*%d\r\n" % (REPLY_VALUES_MAX // 2) + b":1\r\n" * (REPLY_VALUES_MAX // 2)
    parser = reading(half * 3)

    assert [len(await parser.read_response()) for _ in range(3)] == [REPLY_VALUES_MAX // 2] * 3


async def test_a_reply_of_too_many_values_is_an_error():
    parser = reading(b"*%d\r\n" % 10**9 + b":1\r\n" * (REPLY_VALUES_MAX + 1))

    with pytest.raises(InvalidResponse, match="values"):
        await parser.read_response()


@pytest.mark.parametrize("length", [REPLY_BYTES_MAX + 1, 10**12, -7])
async def test_an_outsized_text_is_refused_before_it_is_read(length):
    with pytest.raises(InvalidResponse, match="octets"):
        await reading(b"$%d\r\n" % length).read_response()


async def test_others_have_the_loop_while_a_long_reply_is_read():
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count())
    await reading(b"*20000\r\n" + b":1\r\n" * 20000).read_response()
    counting.cancel()

    assert turns > 20


async def test_an_end_in_the_middle_is_an_error():
    with pytest.raises(RedisConnectionError):
        await reading(b"*2\r\n:1\r\n").read_response()
