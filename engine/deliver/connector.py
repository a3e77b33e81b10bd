"""Open a connection from an egress source to a host, by its proxy where it has one.

Place in flow: ``engine.deliver.smtp_client`` asks for each candidate.

Invariants:
    * Every error that leaves here is ours, with a text for the log record.
    * The wait is bounded by the caller's timeout; a socket that is not handed over is closed.
    * A source with a proxy never connects without it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from engine.deliver.local_socket import as_ours, bind_source, connect_socket, family_of
from engine.deliver.proxied_connection import ResolveHost, connect_by_proxy
from engine.model.egress import EgressSource
from engine.model.errors import ConnectFailedError, PeerTimeoutError
from engine.model.log_record import SourceAddress
from engine.route.mx_plan import Candidate


class Link(NamedTuple):
    """A new connection.

    Attributes:
        transport: Its transport.
        protocol: What the factory made.
        source_address: The address that the host sees; None where nobody knows.
    """

    transport: Any
    protocol: Any
    source_address: SourceAddress | None


async def open_connection(
    candidate: Candidate,
    source: EgressSource,
    factory: Callable[[], asyncio.BaseProtocol],
    timeout_s: float,
    resolve: ResolveHost,
) -> Link:
    """Return a new connection.

    Args:
        candidate: The host.
        source: From where.
        factory: Makes the protocol.
        timeout_s: How long all of it may take.
        resolve: Finds the addresses of a proxy.

    Raises:
        LocalResourceError: This machine is at its limits.
        SourceUnplumbedError: The source's address cannot be bound.
        ProxyTroubleError: The source's proxy cannot be used.
        ConnectFailedError: It was refused.
        PeerTimeoutError: It took longer than the time given.
    """
    link: socket.socket | None = None
    proxy = source.proxy
    loop = asyncio.get_running_loop()
    target = (candidate.address, candidate.port)
    try:
        async with asyncio.timeout(timeout_s):
            if proxy is None:
                link, seen = _local_socket(source, candidate.address), None
                await connect_socket(link, target)
            else:
                ends = loop.time() + timeout_s
                link, seen = await connect_by_proxy(source, proxy, target, resolve, ends)
            transport, protocol = await loop.create_connection(factory, sock=link)
    except TimeoutError as error:
        _close(link)
        if error.errno == errno.ETIMEDOUT:
            raise ConnectFailedError("connection failed: ETIMEDOUT") from error
        raise PeerTimeoutError(f"no connection within {timeout_s:g} s") from None
    except (OSError, ValueError) as error:
        _close(link)
        raise as_ours(error) from error
    except BaseException:
        _close(link)
        raise
    if seen is None:
        own = transport.get_extra_info("sockname")
        seen = SourceAddress(own[0]) if own else None
    return Link(transport, protocol, seen)


def _local_socket(source: EgressSource, address: str) -> socket.socket:
    """Return a socket for an address, bound to that of the source.

    Raises:
        ConnectFailedError: It cannot be bound.
        OSError: There is none left.
        ValueError: The address is none.
    """
    family = family_of(address)
    link = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        link.setblocking(False)
        if source.source_address is not None:
            bind_source(link, family, source.source_address)
    except BaseException:
        link.close()
        raise
    return link


def _close(link: socket.socket | None) -> None:
    if link is not None:
        link.close()
