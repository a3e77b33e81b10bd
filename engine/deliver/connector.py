"""Open a connection from an egress source to a host.

Place in flow: ``engine.deliver.smtp_client`` asks for each candidate.

Invariants:
    * Every error that leaves here is ours, with a text for the log record.
    * The wait is bounded by the caller's timeout; a socket that is not handed over is closed.
    * What this machine lacks (descriptors, ports, memory) is told apart from what the host does:
      mail is not to blame for it and loses no attempt by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any

from engine.model.egress import EgressSource
from engine.model.errors import ConnectFailedError, PeerTimeoutError
from engine.route.mx_plan import Candidate

#: The source's address is not on this machine.
UNPLUMBED = "the source address is not on this machine"
_EXHAUSTED = frozenset(
    (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EADDRINUSE)
)
#: Linux: choose the port at connect, so that two hosts may be reached from one port. Without it
#: a source address has some 28,000 connections, not some 28,000 to each host.
_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)


class LocalResourceError(ConnectFailedError):
    """This machine has no descriptor, port or memory left for a connection."""


async def open_connection(
    candidate: Candidate,
    source: EgressSource,
    factory: Callable[[], asyncio.BaseProtocol],
    timeout_s: float,
) -> tuple[Any, Any]:
    """Return transport and protocol of a new connection.

    Raises:
        LocalResourceError: This machine is at its limits.
        ConnectFailedError: It was refused, or the source cannot be bound.
        PeerTimeoutError: It took longer than the time given.
    """
    loop = asyncio.get_running_loop()
    link: socket.socket | None = None
    try:
        family, _, _, _, target = _numeric(candidate.address, candidate.port)
        link = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        link.setblocking(False)
        if source.source_address is not None:
            _bind(link, source.source_address)
        async with asyncio.timeout(timeout_s):
            await loop.sock_connect(link, target)
            opened = await loop.create_connection(factory, sock=link)
    except TimeoutError as error:
        _close(link)
        if error.errno == errno.ETIMEDOUT:
            raise ConnectFailedError("connection failed: ETIMEDOUT") from error
        raise PeerTimeoutError(f"no connection within {timeout_s:g} s") from None
    except (OSError, ValueError) as error:
        _close(link)
        raise _as_ours(error) from error
    except BaseException:
        _close(link)
        raise
    return opened


def _bind(link: socket.socket, address: str) -> None:
    with contextlib.suppress(OSError):  # an older kernel chooses the port at bind
        link.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    family, _, _, _, own = _numeric(address, 0)
    if family != link.family:
        raise ConnectFailedError(f"the source address {address} is of another family")
    try:
        link.bind(own)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise ConnectFailedError(f"{UNPLUMBED}: {address}") from error
        raise


def _numeric(address: str, port: int) -> Any:
    """Return what a socket needs to know of an address; no name is ever looked up here."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=flags)[0]


def _as_ours(error: OSError | ValueError) -> ConnectFailedError:
    if isinstance(error, ConnectFailedError):
        return error
    if isinstance(error, ValueError):
        return ConnectFailedError("connection failed: not an address")
    name = errno.errorcode.get(error.errno or 0, "") or str(error)
    # Past ``bind`` EADDRNOTAVAIL means that no local port is left for this host.
    if error.errno in _EXHAUSTED or error.errno == errno.EADDRNOTAVAIL:
        return LocalResourceError(f"no resources for a connection: {name}")
    return ConnectFailedError(f"connection failed: {name}")


def _close(link: socket.socket | None) -> None:
    if link is not None:
        link.close()
