"""The connection from the proxy to a destination: its socket, its source, its outcome.

Place in flow: ``proxy.session`` binds one at BIND and connects it at CONNECT.

Invariants:
    * Every way in which a connection can fail is a ``ProxyError`` with the client's reply.
    * A source costs no port of its own: the system chooses the port when it knows the destination,
      so that the same port serves connections to different destinations.

Known limits: a source has to be an address of this host.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket

from engine.base.os_reason import os_reason
from engine.model.proxy_header import Endpoint
from proxy.errors import (
    ConnectFailedError,
    ReplyCode,
    SourceUnavailableError,
    judge_connect_error,
)
from proxy.settings import KeepAlive

#: Linux: leave the choice of a port to connect (ip(7)); Python 3.11 does not name it.
_IP_BIND_ADDRESS_NO_PORT = 24


def keep_alive(sock: socket.socket, options: KeepAlive) -> None:
    """Have a connection probed while it is silent; one that ended meanwhile is left alone."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(options.enabled))
        if options.enabled and hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, options.time_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, options.interval_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, options.retries)


def bind_source(source: str) -> socket.socket:
    """Return a socket that will connect from an IP address.

    Raises:
        SourceUnavailableError: The address is not one of this host, or no socket can be had.
    """
    try:
        sock = _open_socket(source)
    except OSError as error:
        raise SourceUnavailableError(f"no socket: {os_reason(error)}") from error
    try:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
    except OSError as error:
        sock.close()
        raise SourceUnavailableError(f"cannot leave from {source}: {os_reason(error)}") from error
    return sock


async def connect(
    host: str, port: int, *, bound: socket.socket | None, timeout_s: float
) -> socket.socket:
    """Return a connected socket; ``bound`` is it, or is closed.

    Args:
        host: The destination's IP address.
        port: Its port.
        bound: A socket from ``bind_source``.
        timeout_s: Seconds that it may take.

    Raises:
        ConnectFailedError: There is no connection.
    """
    sock = bound
    try:
        if sock is None:
            sock = _open_socket(host)
        elif sock.family is not _family(host):
            raise OSError(errno.EAFNOSUPPORT, "source and destination are of different families")
        await _connect(sock, (host, port), timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except TimeoutError as error:
        _close(sock)
        text = f"no answer within {timeout_s:.0f} s" if error.errno is None else os_reason(error)
        raise ConnectFailedError(text, ReplyCode.TIMED_OUT) from error
    except OSError as error:
        _close(sock)
        raise ConnectFailedError(os_reason(error), judge_connect_error(error)) from error
    except BaseException:
        _close(sock)
        raise
    return sock


async def _connect(sock: socket.socket, address: Endpoint, timeout_s: float) -> None:
    """Connect a socket; not by the event loop's own way, which resolves addresses in threads.

    Raises:
        OSError: It cannot be connected, or not in time.
    """
    try:
        sock.connect(address)
    except BlockingIOError:
        pass
    else:
        return
    loop, is_done, descriptor = asyncio.get_running_loop(), asyncio.Event(), sock.fileno()
    loop.add_writer(descriptor, is_done.set)
    try:
        async with asyncio.timeout(timeout_s):
            await is_done.wait()
    finally:
        loop.remove_writer(descriptor)
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


def _open_socket(host: str) -> socket.socket:
    return socket.socket(_family(host), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _close(sock: socket.socket | None) -> None:
    if sock is not None:
        sock.close()
