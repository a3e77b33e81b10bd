"""A SOCKS5 proxy on loopback that keeps what it was asked, refuses as told, and relays."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator


class SocksServer:
    """What it does, and what it saw.

    Attributes:
        credentials: User and password that it asks for; None for nobody.
        codes: What it answers a command (1 connect, 2 bind) with, instead of doing it.
        greeting: What it answers the greeting with, instead of a method.
        silent_at: Where it says nothing more: ``greeting``, ``bind``, ``connect``.
        asked: The commands, each with address and port.
        users: Who authenticated.
    """

    def __init__(self) -> None:
        self.credentials: tuple[str, str] | None = None
        self.codes: dict[int, int] = {}
        self.greeting: bytes | None = None
        self.silent_at = ""
        self.asked: list[tuple[int, str, int]] = []
        self.users: list[tuple[str, str]] = []
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._converse(reader, writer)
        writer.close()

    async def _converse(self, reader, writer) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        if self.silent_at == "greeting":
            await asyncio.sleep(3600)
        if self.greeting is not None:
            writer.write(self.greeting)
            return
        if self.credentials is None:
            writer.write(b"\x05\x00")
        elif 2 not in methods:
            writer.write(b"\x05\xff")
            return
        else:
            writer.write(b"\x05\x02")
            if not await self._authenticate(reader, writer):
                return
        source: str | None = None
        while True:
            _, command, _, kind = await reader.readexactly(4)
            size = {1: 4, 4: 16}[kind]
            host = str(ipaddress.ip_address(await reader.readexactly(size)))
            port = int.from_bytes(await reader.readexactly(2), "big")
            self.asked.append((command, host, port))
            if self.silent_at == {1: "connect", 2: "bind"}[command]:
                await asyncio.sleep(3600)
            if command in self.codes:
                writer.write(b"\x05" + bytes([self.codes[command]]) + b"\0\1\0\0\0\0\0\0")
                return
            if command == 2:
                source = host
                writer.write(self._ok(host, 40_000))
                continue
            local = (source, 0) if source is not None else None
            far_reader, far_writer = await asyncio.open_connection(host, port, local_addr=local)
            own = far_writer.get_extra_info("sockname")
            writer.write(self._ok(own[0], own[1]))
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
            return

    async def _authenticate(self, reader, writer) -> bool:
        _, length = await reader.readexactly(2)
        user = (await reader.readexactly(length)).decode()
        (length,) = await reader.readexactly(1)
        password = (await reader.readexactly(length)).decode()
        self.users.append((user, password))
        is_right = (user, password) == self.credentials
        writer.write(b"\x01\x00" if is_right else b"\x01\x01")
        return is_right

    @staticmethod
    def _ok(host: str, port: int) -> bytes:
        address = ipaddress.ip_address(host)
        kind = b"\1" if address.version == 4 else b"\4"
        return b"\x05\x00\x00" + kind + address.packed + port.to_bytes(2, "big")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


@contextlib.asynccontextmanager
async def socks_server(host: str = "127.0.0.1") -> AsyncIterator[SocksServer]:
    """Run one."""
    made = SocksServer()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader, writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await made.serve(reader, writer)
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, host, 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
