"""Just enough of Redis and NATS to run the examples of the reference; the tests have real ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine

_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@contextlib.asynccontextmanager
async def _listen(serve: _Serve) -> AsyncIterator[int]:
    async def serve_until_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve_until_gone, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@contextlib.asynccontextmanager
async def small_redis() -> AsyncIterator[int]:
    """Serve SET and GET; gives the port."""
    kept: dict[bytes, bytes] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                length = int((await reader.readline())[1:])
                words.append((await reader.readexactly(length + 2))[:-2])
            if words[0] == b"GET":
                value = kept[words[1]]
                writer.write(b"$%d\r\n%s\r\n" % (len(value), value))
                continue
            if words[0] == b"SET":
                kept[words[1]] = words[2]
            writer.write(b"+OK\r\n")

    async with _listen(serve) as port:
        yield port


@contextlib.asynccontextmanager
async def small_nats() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Take messages and acknowledge none; gives the port and the subjects published to."""
    subjects: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b'INFO {"server_id":"x","version":"2","max_payload":1048576,"headers":true}\r\n'
        )
        while line := await reader.readline():
            words = line.split()
            if words[0] == b"PING":
                writer.write(b"PONG\r\n")
            if words[0] in (b"PUB", b"HPUB"):
                subjects.append(words[1])
                await reader.readexactly(int(words[-1]) + 2)

    async with _listen(serve) as port:
        yield port, subjects
