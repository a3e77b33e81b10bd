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
import ipaddress
import socket
from collections.abc import Callable
from functools import lru_cache
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


class SourceUnplumbedError(ConnectFailedError):
    """The source's address is not on this machine."""


async def open_connection(
    candidate: Candidate,
    source: EgressSource,
    factory: Callable[[], asyncio.BaseProtocol],
    timeout_s: float,
) -> tuple[Any, Any]:
    """Return transport and protocol of a new connection.

    Raises:
        LocalResourceError: This machine is at its limits.
        SourceUnplumbedError: The source's address cannot be bound.
        ConnectFailedError: It was refused.
        PeerTimeoutError: It took longer than the time given.
    """
    link: socket.socket | None = None
    try:
        family = _family_of(candidate.address)
        link = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        link.setblocking(False)
        if source.source_address is not None:
            _bind(link, family, source.source_address)
        async with asyncio.timeout(timeout_s):
            await _connect(link, (candidate.address, candidate.port))
            return await asyncio.get_running_loop().create_connection(factory, sock=link)
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


def _bind(link: socket.socket, family: int, address: str) -> None:
    """Bind to the source's address; the port is chosen when the host is known."""
    if _family_of(address) != family:
        raise ConnectFailedError(f"the source address {address} is of another family")
    with contextlib.suppress(OSError):  # an older kernel chooses the port at bind
        link.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    try:
        link.bind((address, 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise SourceUnplumbedError(f"{UNPLUMBED}: {address}") from error
        raise


async def _connect(link: socket.socket, target: tuple[str, int]) -> None:
    """Connect; costs half of the loop's own way, and nothing where the answer comes at once."""
    try:
        link.connect(target)
    except BlockingIOError as error:
        if error.errno != errno.EINPROGRESS:
            raise
    else:
        return
    loop = asyncio.get_running_loop()
    writable = loop.create_future()
    descriptor = link.fileno()
    loop.add_writer(descriptor, _set, writable)
    try:
        await writable
    finally:
        loop.remove_writer(descriptor)
    number = link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, "connect")


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@lru_cache(maxsize=4096)
def _family_of(address: str) -> int:
    """Return the family of an address; no name is ever looked up here.

    Raises:
        ValueError: It is none.
    """
    is_v4 = ipaddress.ip_address(address).version == 4
    return socket.AF_INET if is_v4 else socket.AF_INET6


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
