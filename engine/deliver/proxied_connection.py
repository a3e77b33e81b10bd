"""A connection through the proxy of an egress source.

Place in flow: ``engine.deliver.connector`` hands over where a source names a proxy.

Invariants:
    * Every address of the proxy is tried inside the one deadline, each with its share of what is
      left of it.
    * Trouble with the proxy is told apart from trouble with the destination: rules, and the health
      of the source, must not mix them up.
    * What the destination says first is left in the socket.

Standard: RFC 1928, RFC 1929; the PROXY protocol, version 2.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.base.os_reason import os_reason
from engine.deliver.local_socket import (
    ProxySourceError,
    ProxyTroubleError,
    bind_source,
    connect_socket,
    family_of,
)
from engine.deliver.socks_dialogue import (
    SocksDestinationError,
    SocksError,
    SocksSourceError,
    Steps,
    begin_steps,
    connect_steps,
)
from engine.model.egress import EgressSource
from engine.model.egress_proxy import ProxyRoute
from engine.model.errors import ConnectFailedError, EngineError
from engine.model.log_record import SourceAddress
from engine.model.proxy_header import format_proxy_header

#: So long before the caller gives up silence is put down to the proxy, seconds.
_MARGIN_S = 0.02

#: Port: return the addresses of a host name, or of an address itself.
ResolveHost = Callable[[str], Awaitable[Sequence[str]]]


async def connect_by_proxy(
    source: EgressSource,
    proxy: ProxyRoute,
    target: tuple[str, int],
    resolve: ResolveHost,
    ends: float,
) -> tuple[socket.socket, SourceAddress]:
    """Return a socket that speaks with the destination, and the address that it sees.

    Args:
        source: The source; its own address is what the proxy sees.
        proxy: Its proxy.
        target: Address and port of the destination.
        resolve: Finds the addresses of the proxy.
        ends: When the caller gives up, by the loop's clock.

    Raises:
        ProxySourceError: The proxy does not give the source address.
        ProxyTroubleError: The proxy cannot be used.
        ConnectFailedError: The proxy could not reach the destination.
        OSError: This machine lacks what it takes.
    """
    addresses = await _addresses(source, proxy, resolve)
    failures = []
    for number, address in enumerate(addresses):
        link = _new_socket(source, address)
        try:
            await _reach(link, (address, proxy.server.port), ends, len(addresses) - number)
        except OSError as error:
            link.close()
            is_late = isinstance(error, TimeoutError) and not error.errno
            failures.append("it gave no answer in time" if is_late else os_reason(error))
            continue
        except BaseException:
            link.close()
            raise
        try:
            return link, await _ask(link, proxy, target, ends)
        except BaseException:
            link.close()
            raise
    reasons = "; ".join(dict.fromkeys(failures))
    raise ProxyTroubleError(f"proxy {proxy.server}: {reasons}")


async def _addresses(
    source: EgressSource, proxy: ProxyRoute, resolve: ResolveHost
) -> Sequence[str]:
    """Return the addresses of a proxy that can be reached from the source's own."""
    try:
        found = await resolve(proxy.server.host)
    except EngineError as error:
        raise ProxyTroubleError(f"proxy {proxy.server}: {error}") from error
    own = source.source_address
    found = [one for one in found if own is None or family_of(one) == family_of(own)]
    if not found:
        raise ProxyTroubleError(f"proxy {proxy.server}: it has no address that can be reached")
    return found


def _new_socket(source: EgressSource, address: str) -> socket.socket:
    family = family_of(address)
    link = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source.source_address is not None:
            bind_source(link, family, source.source_address)
    except BaseException:
        link.close()
        raise
    return link


async def _reach(link: socket.socket, server: tuple[str, int], ends: float, share: int) -> None:
    """Connect to one address of a proxy; it gets its share of the time that is left."""
    left_s = ends - asyncio.get_running_loop().time()
    # The last one has all of it: then the caller's own deadline ends the wait.
    async with asyncio.timeout(left_s / share if share > 1 else left_s - _MARGIN_S):
        await connect_socket(link, server)


async def _ask(
    link: socket.socket, proxy: ProxyRoute, target: tuple[str, int], ends: float
) -> SourceAddress:
    """Have the proxy connect; return what the destination sees."""
    if proxy.protocol == "haproxy":
        assert proxy.source_address is not None
        header = _header(proxy.source_address, target)
        try:
            await asyncio.get_running_loop().sock_sendall(link, header)
        except OSError as error:
            raise ProxyTroubleError(f"proxy {proxy.server}: {os_reason(error)}") from error
        return SourceAddress(f"{_shown(proxy.source_address)}:0", str(proxy.server), "haproxy")
    try:
        seen = await _speak(link, proxy, target, ends)
    except SocksDestinationError as error:
        raise ConnectFailedError(f"connection failed: {error}") from error
    except SocksSourceError as error:
        raise ProxySourceError(f"proxy {proxy.server}: {error}") from error
    except (SocksError, ConnectionError, EOFError) as error:
        why = os_reason(error) if isinstance(error, OSError) else str(error)
        raise ProxyTroubleError(f"proxy {proxy.server}: {why}") from error
    return SourceAddress(seen, str(proxy.server), "socks5")


async def _speak(
    link: socket.socket, proxy: ProxyRoute, target: tuple[str, int], ends: float
) -> str:
    """Return the address that the destination sees."""
    credentials = None
    if proxy.username is not None:
        credentials = (proxy.username, _secret(proxy.password))
    try:
        # Until the destination was named, silence is that of the proxy.
        async with asyncio.timeout_at(ends - _MARGIN_S):
            bound = await _run(link, begin_steps(proxy.source_address, credentials))
    except TimeoutError:
        raise SocksError("it gave no answer in time") from None
    used = await _run(link, connect_steps(target))
    return bound or used


async def _run(link: socket.socket, steps: Steps) -> str:
    """Carry out steps over a socket; return what they come to."""
    loop = asyncio.get_running_loop()
    step = next(steps)
    while True:
        try:
            if isinstance(step, bytes):
                await loop.sock_sendall(link, step)
                step = next(steps)
            else:
                step = steps.send(await _read(link, step))
        except StopIteration as end:
            found: str = end.value
            return found


async def _read(link: socket.socket, count: int) -> bytes:
    """Return so many octets, and not one more."""
    loop = asyncio.get_running_loop()
    found = b""
    while len(found) < count:
        got = await loop.sock_recv(link, count - len(found))
        if not got:
            raise EOFError("it closed the connection")
        found += got
    return found


def _header(source_address: str, target: tuple[str, int]) -> bytes:
    """Return what tells a proxy from which address to connect to where: port 0 is any port."""
    if family_of(source_address) != family_of(target[0]):
        text = f"the source address {source_address} is of another family than {target[0]}"
        raise ProxyTroubleError(text)
    return format_proxy_header((source_address, 0), target)


def _secret(source: Any) -> str:
    """Return the text of a key source.

    Raises:
        SocksError: It cannot be read.
    """
    try:
        if isinstance(source, str):
            return Path(source).read_text(encoding="utf-8").strip()
        if isinstance(source, Mapping):
            source = source["key_data"]
        return source if isinstance(source, str) else source.decode()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SocksError(f"socks5_proxy_password cannot be read: {why}") from error


def _shown(address: str) -> str:
    return f"[{address}]" if ":" in address else address
