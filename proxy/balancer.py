"""The header that a load balancer puts before what its client says.

Place in flow: ``proxy.listener`` reads it from connections of balancers, before TLS and SOCKS.

Invariants:
    * Not one octet behind the header is taken from the socket: it may belong to TLS.
    * It waits without end: its user sets the deadline.
"""

from __future__ import annotations

import asyncio
import socket

from engine.model.proxy_header import (
    HEADER_MAX,
    ProxyHeader,
    ProxyHeaderError,
    parse_proxy_header,
)
from proxy.errors import ProtocolError, StalledError


async def read_proxy_header(sock: socket.socket) -> ProxyHeader:
    """Return the header at the beginning of a connection.

    Args:
        sock: Connected, not blocking.

    Raises:
        ProtocolError: It does not begin with one.
        StalledError: The balancer left in the middle of it.
        OSError: The connection broke.
    """
    taken = b""
    while True:
        try:
            ahead = sock.recv(HEADER_MAX, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            await _wait_readable(sock)
            continue
        if not ahead:
            raise StalledError("the balancer left in the middle of its header")
        try:
            found = parse_proxy_header(taken + ahead)
        except ProxyHeaderError as error:
            raise ProtocolError(str(error)) from error
        size = len(ahead) if found is None else found[1] - len(taken)
        # All of it is there: it was looked at.
        taken += sock.recv(size)
        if found is not None:
            return found[0]


async def _wait_readable(sock: socket.socket) -> None:
    loop, is_readable, descriptor = asyncio.get_running_loop(), asyncio.Event(), sock.fileno()
    loop.add_reader(descriptor, is_readable.set)
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(descriptor)
