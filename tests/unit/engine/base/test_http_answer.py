"""What answers look like, and how streams share the loop."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib

import aiohttp
import pytest
from aiohttp import web

from engine.base import http_answer
from engine.base.http_answer import (
    WRITE_CHARS,
    accepts_gzip,
    make_refusal,
    make_response,
    stream,
    take_slice,
)
from engine.base.http_call import HttpRefusalError


def test_values_become_json_and_text_stays_text():
    ready = web.Response(text="x")

    assert make_response({"a": 1}).body == b'{"a":1}'
    assert make_response("OK").content_type == "text/plain"
    assert make_response(ready) is ready


def test_a_refusal_names_the_field_and_asks_for_credentials_where_they_lack():
    refused = make_refusal(HttpRefusalError(422, "wrong", "name"))
    unknown = make_refusal(HttpRefusalError(401, "who are you"))

    assert refused.body == b'{"error":"wrong","field":"name"}'
    assert "WWW-Authenticate" not in refused.headers
    assert unknown.headers["WWW-Authenticate"].startswith("Basic ")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.001
        return self.now


def test_a_slice_ends_with_its_time_and_nothing_is_lost():
    pieces = iter([f"{number} " for number in range(100)])
    clock = Clock()
    slices = []
    is_over = False
    while not is_over:
        text, is_over = take_slice(pieces, clock)
        slices.append(text)

    assert "".join(slices).split() == [str(number) for number in range(100)]
    assert max(len(one.split()) for one in slices) <= 5


def test_a_slice_ends_before_it_is_too_much_to_write():
    text, is_over = take_slice(iter(["x" * 50_000] * 4), lambda: 0.0)

    assert WRITE_CHARS <= len(text) <= WRITE_CHARS + 50_000
    assert not is_over


@pytest.mark.parametrize(
    ("field", "is_taken"),
    [
        ("", False),
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity;q=1, x-gzip", True),
        ("gzip;level=0", True),
        ("gzip2", False),
    ],
)
def test_who_takes_gzip_says_so(field, is_taken):
    assert accepts_gzip(field) is is_taken


class Streaming:
    """A server that streams numbered lines, and what it looked like to make them."""

    def __init__(self, count, padding=""):
        self.count = count
        self.padding = padding
        self.port = 0
        self.is_over = asyncio.Event()

    async def answer(self, request):
        try:
            return await stream(request, self.lines(), "text/plain")
        finally:
            self.is_over.set()

    def lines(self):
        for number in range(self.count):
            yield f'scheduled_count{{queue="q{number}.test"}} 1{self.padding}\n'

    @property
    def text(self):
        return "".join(self.lines())

    async def __aenter__(self):
        self.runner = web.ServerRunner(web.Server(self.answer))
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        await self.runner.cleanup()

    async def get(self, accepted):
        options = {"auto_decompress": False, "skip_auto_headers": ["Accept-Encoding"]}
        headers = {} if accepted is None else {"Accept-Encoding": accepted}
        async with (
            aiohttp.ClientSession(**options) as session,
            session.get(f"http://127.0.0.1:{self.port}/", headers=headers) as answer,
        ):
            return answer.headers, await answer.read()


@pytest.mark.real_time
async def test_a_stream_is_packed_for_who_takes_that_and_for_nobody_else():
    async with Streaming(20_000) as server:
        plain_headers, plain = await server.get(None)
        packed_headers, packed = await server.get("deflate, gzip")

    assert plain.decode() == gzip.decompress(packed).decode() == server.text
    assert len(packed) < len(plain) / 5
    assert packed_headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain_headers
    assert {plain_headers["Vary"], packed_headers["Vary"]} == {"Accept-Encoding"}


@pytest.mark.real_time
async def test_a_packed_stream_leaves_as_it_is_made():
    async with Streaming(200_000) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        unpack, text = zlib.decompressobj(wbits=31), b""
        while not text:
            size = int(await reader.readline(), 16)
            text = unpack.decompress((await reader.readexactly(size + 2))[:-2])
        writer.transport.abort()

    assert len(text) < len(server.text) / 4


@pytest.mark.real_time
async def test_a_reader_that_does_not_read_is_left_and_sees_no_end(monkeypatch):
    monkeypatch.setattr(http_answer, "STREAM_S", 0.2)
    async with Streaming(2000, padding=" " * 50_000) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 12)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await server.is_over.wait()
        got = b""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1 << 20):
                got += piece
        writer.transport.abort()

    assert 0 < len(got) < len(server.text)
    assert not got.endswith(b"0\r\n\r\n")


@pytest.mark.real_time
async def test_what_takes_long_to_say_is_said_to_a_reader_that_reads(monkeypatch):
    monkeypatch.setattr(http_answer, "STREAM_S", 0.5)
    monkeypatch.setattr(http_answer, "PAUSE_S", 0.05)
    monkeypatch.setattr(http_answer, "WRITE_CHARS", 16 << 10)
    async with Streaming(10_000) as server:
        _, plain = await server.get(None)
    assert plain.decode() == server.text


@pytest.mark.real_time
async def test_a_stream_has_no_body_for_who_asks_for_the_head_alone():
    async with Streaming(10) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for method in ("HEAD", "GET"):
            writer.write(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"\r\n\r\n")
        assert int(await reader.readline(), 16) == len(server.text)
        writer.transport.abort()
