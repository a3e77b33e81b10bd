"""A listening socket and the sessions that hang on it.

Place in flow: ``proxy.app`` starts one per declaration; it runs a ``proxy.session`` per client.

Invariants:
    * An accept error (no descriptors, say) pauses accepting; it never ends the listener.
    * Who may not enter, and one client more than there may be, is closed before a word is said.
    * Changed options take effect for new clients; established sessions keep theirs.
    * A connection on which nothing passes for the idle timeout is broken off.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter as Tally
from typing import Protocol

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.metrics import Metrics
from engine.base.os_reason import os_reason
from engine.model.proxy_header import Endpoint
from proxy.access import Who
from proxy.client_stream import SocketStream
from proxy.errors import ConfigurationError, ProxyError
from proxy.outbound import keep_alive
from proxy.pipe_pool import PipePool
from proxy.session import Session
from proxy.settings import SocksOptions
from proxy.socks5 import Credentials

log = logging.getLogger("cirrus.proxy")

BACKLOG = 4096
#: Clients accepted before others have their turn.
_BATCH = 64
#: Seconds without accepting after an error.
PAUSE_S = 0.5
#: Seconds between looks at idle connections and counts of octets.
SWEEP_S = 5.0


class ListenerPorts(Protocol):
    """What listeners need from the daemon."""

    clock: Clock
    supervisor: Supervisor
    metrics: Metrics
    pipes: PipePool

    def can_judge(self, options: SocksOptions) -> bool:
        """Return whether there is anything to hold a password against."""

    async def authenticate(self, credentials: Credentials, session: Session) -> Who | None:
        """Return who shows these credentials, None when they are wrong."""

    async def resolve(self, name: str) -> list[str]:
        """Return the IP addresses of a host, the best first."""


class ProxyListener:
    """One listening socket.

    Attributes:
        options: By what new clients are served.
        sessions: Those that are open.
    """

    def __init__(self, options: SocksOptions, ports: ListenerPorts) -> None:
        self.options = options
        self.sessions: set[Session] = set()
        self.address = options.listen
        self._ports = ports
        self._socket: socket.socket | None = None
        self._is_accepting = False
        self._copying = PipePool(0)
        self._by_client: Tally[str] = Tally()
        host, port = options.listen
        self.label = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        metrics = ports.metrics
        self._accepted = metrics.counter("proxy_connections_accepted_total").labels(self.label)
        self._completed = metrics.counter("proxy_connections_completed_total").labels(self.label)
        self._failed = metrics.counter("proxy_connections_failed_total").labels(self.label)
        self._accept_errors = metrics.counter("proxy_accept_errors_total").labels(self.label)
        metrics.gauge("proxy_active_connections").labels(self.label).set_function(
            lambda: len(self.sessions)
        )

    @property
    def can_judge(self) -> bool:
        """Return whether there is anything to hold a password against."""
        return self._ports.can_judge(self.options)

    async def start(self) -> None:
        """Open the socket.

        Raises:
            ConfigurationError: The address cannot be had.
        """
        host, port = self.options.listen
        try:
            infos = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            self._socket = _listen(infos[0])
        except OSError as error:
            reason = os_reason(error)
            raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}") from error
        self.address = self._socket.getsockname()[:2]
        self._go_on()
        log.info("the proxy listens on %s:%s", *self.address)

    def stop_accepting(self) -> None:
        """Close the socket; sessions go on."""
        self._pause()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # -- accepting

    def _go_on(self) -> None:
        if self._socket is not None and not self._is_accepting:
            self._is_accepting = True
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _pause(self) -> None:
        if self._socket is not None and self._is_accepting:
            self._is_accepting = False
            asyncio.get_running_loop().remove_reader(self._socket)

    def _accept(self) -> None:
        assert self._socket is not None
        for _ in range(_BATCH):
            try:
                sock, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._accept_errors.inc()
                log.error("%s: no client can be accepted: %s", self.label, os_reason(error))
                self._pause()
                asyncio.get_running_loop().call_later(PAUSE_S, self._go_on)
                return
            sock.setblocking(False)
            self._admit(sock, (peer[0].partition("%")[0], peer[1]))

    def _admit(self, sock: socket.socket, peer: Endpoint) -> None:
        options = self.options
        if not options.access.may_enter(peer[0]):
            self._deny(sock, "network")
        elif len(self.sessions) >= options.max_connections:
            self._deny(sock, "limit")
        else:
            self._accepted.inc()
            keep_alive(sock, options.keep_alive)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pipes = self._ports.pipes if options.use_splice else self._copying
            local = sock.getsockname()[:2]
            session = Session(SocketStream(sock, pipes), peer, local, self)
            self.sessions.add(session)
            self._ports.supervisor.start(self._serve(session), "session")

    def _deny(self, sock: socket.socket, reason: str) -> None:
        sock.close()
        self._ports.metrics.counter("proxy_connections_denied_total").labels(
            self.label, reason
        ).inc()

    async def _serve(self, session: Session) -> None:
        try:
            await session.run()
            self._completed.inc()
        except ProxyError as error:
            (self._failed if error.reply is None else self._completed).inc()
            log.debug("%s: %s: %s", self.label, session.peer[0], error)
        except OSError as error:
            self._failed.inc()
            log.debug("%s: %s: %s", self.label, session.peer[0], os_reason(error))
        finally:
            self.sessions.discard(session)

    # -- what sessions ask

    async def authenticate(self, credentials: Credentials, session: Session) -> Who | None:
        """Return who shows these credentials, None when they are wrong."""
        return await self._ports.authenticate(credentials, session)

    async def resolve(self, name: str) -> list[str]:
        """Return the IP addresses of a host, the best first."""
        return await self._ports.resolve(name)

    def connecting(self, host: str) -> None:
        """Count an attempt to connect to a destination."""
        family = self._ports.metrics.counter("proxy_outbound_connections_total")
        family.labels(self.label, host).inc()


def _listen(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
