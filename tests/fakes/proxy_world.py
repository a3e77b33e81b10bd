"""Both ends of a proxy: connections to relay between, a destination, and a client that is exact."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from proxy.access import AccessRule, AccessRules, parse_destination
from proxy.app import Proxy
from proxy.settings import ProxySettings, SocksOptions

#: What may be reached in these tests: this host, at any port.
HERE = AccessRules(rules=(AccessRule(destinations=(parse_destination("127.0.0.0/8:*"),)),))
PATIENCE_S = 10.0
NO_AUTH = b"\5\1\0"


def connected_pair(buffer_octets: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Return two sockets that are connected to each other over TCP, none of them blocking."""
    with socket.socket() as listening:
        if buffer_octets is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_octets)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        first = socket.socket()
        if buffer_octets is not None:
            first.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_octets)
        first.connect(listening.getsockname())
        second, _ = listening.accept()
    first.setblocking(False)
    second.setblocking(False)
    return first, second


def request(host: str, port: int, command: int = 1) -> bytes:
    """Return a request in octets; a host that is no address goes as a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        target = bytes([3, len(host)]) + host.encode()
    else:
        target = bytes([1 if address.version == 4 else 4]) + address.packed
    return bytes([5, command, 0]) + target + struct.pack(">H", port)


def credentials(user: str, password: str) -> bytes:
    """Return the message of RFC 1929."""
    parts = [user.encode(), password.encode()]
    return b"\1" + b"".join(bytes([len(part)]) + part for part in parts)


class Peer:
    """A client, or what a destination has of it: reads exactly what it expects."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(size)

    async def read_rest(self) -> bytes:
        """Return everything up to the end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()

    async def see_end(self) -> bytes:
        """Return everything up to the end, which may be a break."""
        with contextlib.suppress(OSError):
            return await self.read_rest()
        return b""

    async def ask(self, data: bytes) -> tuple[int, str, int]:
        """Send a request; return code, address and port of the reply."""
        await self.send(data)
        return await self.reply()

    async def reply(self) -> tuple[int, str, int]:
        version, code, reserved, kind = await self.read(4)
        assert (version, reserved) == (5, 0)
        address = ipaddress.ip_address(await self.read(4 if kind == 1 else 16))
        (port,) = struct.unpack(">H", await self.read(2))
        return code, str(address), port

    async def greet(self) -> None:
        """Agree on no authentication."""
        await self.send(NO_AUTH)
        assert await self.read(2) == b"\5\0"

    @property
    def address(self) -> Any:
        return self.writer.get_extra_info("sockname")

    def end(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Break the connection off."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


@dataclass
class Destination:
    """A server that hands over each connection it gets."""

    port: int = 0
    peers: asyncio.Queue[Peer] = field(default_factory=asyncio.Queue)
    came_from: list[tuple[str, int]] = field(default_factory=list)

    async def next(self) -> Peer:
        async with asyncio.timeout(PATIENCE_S):
            return await self.peers.get()


@contextlib.asynccontextmanager
async def destination(host: str = "127.0.0.1") -> AsyncIterator[Destination]:
    """Run a destination."""
    found = Destination()
    kept: list[Peer] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        kept.append(peer)
        found.came_from.append(writer.get_extra_info("peername")[:2])
        found.peers.put_nowait(peer)

    server = await asyncio.start_server(take, host, 0)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for peer in kept:
            peer.writer.transport.abort()


@contextlib.asynccontextmanager
async def running_proxy(**options: Any) -> AsyncIterator[Proxy]:
    """Run a proxy with one listener, which may reach this host if nothing else is said."""
    listener = SocksOptions(**{"listen": ("127.0.0.1", 0), "access": HERE, **options})
    proxy = Proxy(ProxySettings((listener,)), drain_s=0.0)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
    assert proxy.supervisor.defects == proxy.sessions.defects == 0


@contextlib.asynccontextmanager
async def client_of(proxy: Proxy, **options: Any) -> AsyncIterator[Peer]:
    """Connect to the first listener of a proxy."""
    host, port = proxy.listeners[0].address
    client = Peer(*await asyncio.open_connection(host, port, **options))
    try:
        yield client
    finally:
        client.writer.transport.abort()


async def eventually(holds: Callable[[], Any]) -> Any:
    """Return what a condition gives as soon as it is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := holds()):
            await asyncio.sleep(0.01)
    return found


def metric(proxy: Proxy, name: str, *labels: str) -> float:
    """Return the sum of the series of a metric that carry these label values."""
    return sum(values(proxy, name, *labels))


def values(proxy: Proxy, name: str, *labels: str) -> Iterator[float]:
    for line in "".join(proxy.metrics.iter_text()).splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and all(f'"{label}"' in series for label in labels):
            yield float(value)
