"""Sockets of this machine: bound to a source's address, connected, errors told apart.

Place in flow: ``engine.deliver.connector`` and ``engine.deliver.proxied_connection`` open with it.

Invariants:
    * Every error that leaves ``as_ours`` is ours, with a text for the log record.
    * What this machine lacks (descriptors, ports, memory) is told apart from what the host does:
      mail is not to blame for it and loses no attempt by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from functools import lru_cache

from engine.model.errors import ConnectFailedError

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


class ProxyTroubleError(ConnectFailedError):
    """The proxy of the source cannot be used; the destination was never asked."""


class ProxySourceError(ProxyTroubleError):
    """The proxy does not have, or does not give, the source's address."""


def bind_source(link: socket.socket, family: int, address: str) -> None:
    """Bind to the source's address; the port is chosen when the host is known.

    Raises:
        SourceUnplumbedError: It is not on this machine.
        ConnectFailedError: It is of another family than the host.
        OSError: It cannot be bound.
    """
    if family_of(address) != family:
        raise ConnectFailedError(f"the source address {address} is of another family")
    with contextlib.suppress(OSError):  # an older kernel chooses the port at bind
        link.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    try:
        link.bind((address, 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise SourceUnplumbedError(f"{UNPLUMBED}: {address}") from error
        raise


async def connect_socket(link: socket.socket, target: tuple[str, int]) -> None:
    """Connect; costs half of the loop's own way, and nothing where the answer comes at once.

    Raises:
        OSError: It was refused.
    """
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
def family_of(address: str) -> int:
    """Return the family of an address; no name is ever looked up here.

    Raises:
        ValueError: It is none.
    """
    is_v4 = ipaddress.ip_address(address).version == 4
    return socket.AF_INET if is_v4 else socket.AF_INET6


def as_ours(error: OSError | ValueError) -> ConnectFailedError:
    """Return what an error of a socket is to a session."""
    if isinstance(error, ConnectFailedError):
        return error
    if isinstance(error, ValueError):
        return ConnectFailedError("connection failed: not an address")
    name = errno.errorcode.get(error.errno or 0, "") or str(error)
    # Past ``bind`` EADDRNOTAVAIL means that no local port is left for this host.
    if error.errno in _EXHAUSTED or error.errno == errno.EADDRNOTAVAIL:
        return LocalResourceError(f"no resources for a connection: {name}")
    return ConnectFailedError(f"connection failed: {name}")
