"""A listening socket and the clients that hang on it.

Place in flow: ``proxy.app`` starts one per declaration; it runs a ``proxy.session`` per client.

Invariants:
    * An accept error (no descriptors, say) pauses accepting; it never ends the listener.
    * Who may not enter, and one client more than there may be, is closed before a word is said.
    * Changed options take effect for new clients; established sessions keep theirs.
    * A connection on which nothing passes for the idle timeout is broken off.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import Counter as Tally
from dataclasses import dataclass, field
from typing import Any, Protocol

from engine.base.clock import Clock
from engine.base.lifecycle import Supervisor
from engine.base.metrics import Metrics
from engine.base.os_reason import os_reason
from engine.base.tls_files import ServerTls
from engine.model.errors import EngineError
from engine.model.listener_options import format_listen
from engine.model.proxy_header import Endpoint
from proxy.access import Who
from proxy.authentication import Authentication, Ends
from proxy.balancer import read_proxy_header
from proxy.client_stream import ClientStream, Relay, SocketStream
from proxy.errors import (
    ConfigurationError,
    HandshakeFailedError,
    ProxyError,
    StalledError,
    TurnedAwayError,
)
from proxy.listener_counts import ListenerCounts
from proxy.outbound import keep_alive
from proxy.pipe_pool import PipePool
from proxy.resolution import Resolution
from proxy.seldom_log import SeldomLog
from proxy.session import Session
from proxy.settings import SocksOptions
from proxy.socks5 import Credentials
from proxy.tls_stream import open_tls_stream

log = logging.getLogger("cirrus.proxy")

BACKLOG = 4096
#: Clients accepted before others have their turn.
_BATCH = 64
#: Seconds without accepting after an error.
PAUSE_S = 0.5
#: Seconds between looks at idle connections and counts of octets.
SWEEP_S = 5.0
_COPYING = PipePool(0)


class ListenerPorts(Protocol):
    """What listeners need from the daemon."""

    clock: Clock
    sessions: Supervisor
    metrics: Metrics
    pipes: PipePool
    authentication: Authentication
    resolution: Resolution
    seldom: SeldomLog


@dataclass(slots=True, eq=False)
class Client:
    """One accepted connection.

    Attributes:
        sock: The connection.
        ends: Who is at its ends, by the header of a balancer if there is one.
        options: By what it is served.
        since_at: When it came, seconds since the epoch.
        session: Present once it may speak.
        octets: What has passed up to the last look, each way.
        moved_mono: When something last had.
        has_begun: Whether its task has had its first turn.
    """

    sock: socket.socket
    ends: Ends
    options: SocksOptions
    since_at: float
    session: Session | None = None
    octets: tuple[int, int] = (0, 0)
    moved_mono: float = 0.0
    has_begun: bool = False
    task: asyncio.Task[Any] | None = field(default=None, repr=False)

    @property
    def relay(self) -> Relay | None:
        """Return what joins it to a destination, None before."""
        return self.session.relay if self.session is not None else None


class ProxyListener:
    """One listening socket.

    Attributes:
        options: By what new clients are served.
        address: Where it listens.
        clients: Those that are connected.
        counts: What it counts.
    """

    def __init__(self, options: SocksOptions, ports: ListenerPorts) -> None:
        self.options = options
        self.address: Endpoint = options.listen
        self.clients: set[Client] = set()
        self.counts = ListenerCounts(ports.metrics, format_listen(options.listen))
        self._ports = ports
        self._socket: socket.socket | None = None
        self._is_accepting = False
        self._by_host: Tally[str] = Tally()
        self._tls: ServerTls | None = None
        self._sweep_timer: asyncio.TimerHandle | None = None
        self.counts.watch(lambda: len(self.clients))

    async def start(self) -> None:
        """Open the socket.

        Raises:
            ConfigurationError: The address or the certificate cannot be had.
        """
        host, port = self.options.listen
        self._tls = self._make_tls(self.options)
        try:
            infos = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            self._socket = _listen(infos[0], reuse_port=self.options.reuse_port)
            keep_alive(self._socket, self.options.keep_alive)
        except OSError as error:
            reason = os_reason(error)
            raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}") from error
        self.address = self._socket.getsockname()[:2]
        self._go_on()
        self._sweep_later()
        log.info("the proxy listens on %s", format_listen(self.address))

    def change(self, options: SocksOptions) -> None:
        """Serve new clients by other options; the address stays.

        Raises:
            ConfigurationError: The certificate cannot be had; nothing was changed.
        """
        if _tls_part(options) != _tls_part(self.options):
            self._tls = self._make_tls(options)
        if self._socket is not None:
            keep_alive(self._socket, options.keep_alive)
        self.options = options

    def _make_tls(self, options: SocksOptions) -> ServerTls | None:
        if not options.use_tls:
            return None
        try:
            return ServerTls(
                options.hostname,
                certificate=options.tls_certificate,
                private_key=options.tls_private_key,
                client_ca=options.tls_required_client_ca,
                mono=self._ports.clock.mono,
            )
        except EngineError as error:
            place = format_listen(options.listen)
            raise ConfigurationError(f"cannot speak TLS on {place}: {error}") from error

    def stop_accepting(self) -> None:
        """Close the socket; clients go on."""
        self._pause()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def end_dialogues(self) -> None:
        """Leave the clients that have no connection to a destination yet."""
        for client in self.clients:
            if client.relay is None and client.task is not None:
                client.task.cancel()

    def stop(self) -> None:
        """Close the socket, and stop looking after clients."""
        self.stop_accepting()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()

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
        for _ in range(_BATCH):
            if self._socket is None:
                return
            try:
                sock, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # Linux hands over errors that a connection met while it waited (accept(2)).
                if error.errno in _OF_THE_CLIENT:
                    continue
                self.counts.accept_errors.inc()
                text = f"no client can be accepted: {os_reason(error)}"
                self._ports.seldom.warn("accept", format_listen(self.address), text)
                self._pause()
                asyncio.get_running_loop().call_later(PAUSE_S, self._go_on)
                return
            sock.setblocking(False)
            self._admit(sock, (peer[0].partition("%")[0], peer[1]))

    def _admit(self, sock: socket.socket, peer: Endpoint) -> None:
        options, ports = self.options, self._ports
        is_balancer = peer[0] in options.proxy_protocol_from
        reason = None if is_balancer else self._judge(options, peer[0])
        if reason is None and len(self.clients) >= options.max_connections:
            reason = "limit"
        if reason is not None:
            self._deny(peer[0], reason)
            sock.close()
            return
        self.counts.accepted.inc()
        ends = Ends(peer, sock.getsockname()[:2])
        client = Client(sock, ends, options, ports.clock.wall(), moved_mono=ports.clock.mono())
        self.clients.add(client)
        client.task = ports.sessions.start(self._serve(client, is_balancer=is_balancer), "client")
        client.task.add_done_callback(lambda _: self._forget(client))

    def _judge(self, options: SocksOptions, host: str) -> str | None:
        """Return why a client is turned away, None if it is not."""
        if not options.access.may_enter(host):
            return "network"
        limit = options.max_connections_per_client
        return "client_limit" if limit is not None and self._by_host[host] >= limit else None

    def _deny(self, host: str, reason: str) -> None:
        self.counts.denied(reason).inc()
        self._ports.seldom.warn(reason, host, _DENIALS[reason])

    # -- a client's way

    async def _serve(self, client: Client, *, is_balancer: bool) -> None:
        client.has_begun = True
        try:
            await self._serve_counted(client, is_balancer=is_balancer)
        except ProxyError as error:
            self._note_end(client, error)
        except OSError as error:
            self.counts.failed.inc()
            log.debug("%s: %s", client.ends.peer[0], os_reason(error))
        except asyncio.CancelledError:
            self.counts.failed.inc()
            raise
        else:
            self.counts.completed.inc()
        finally:
            self._count_octets(client)

    def _forget(self, client: Client) -> None:
        self.clients.discard(client)
        if not client.has_begun:
            # It was cancelled before it could; nobody else knows of the socket.
            client.sock.close()

    async def _serve_counted(self, client: Client, *, is_balancer: bool) -> None:
        """Serve a client as one of its address.

        Raises:
            ProxyError: It ended early.
            OSError: A side broke off.
        """
        if is_balancer:
            await self._hear_balancer(client)
        host = client.ends.peer[0]
        self._by_host[host] += 1
        try:
            stream = await self._open_stream(client)
            client.session = Session(stream, client.ends, client.options, self)
            await client.session.run()
        finally:
            self._by_host[host] -= 1
            if not self._by_host[host]:
                del self._by_host[host]

    async def _hear_balancer(self, client: Client) -> None:
        """Learn whom a balancer speaks for.

        Raises:
            ProxyError: It does not say, or somebody who may not enter; the connection is closed.
            OSError: It broke off.
        """
        try:
            async with asyncio.timeout(client.options.timeout_s):
                header = await read_proxy_header(client.sock)
            if header.source is not None and header.destination is not None:
                client.ends = Ends(header.source, header.destination)
            reason = self._judge(client.options, client.ends.peer[0])
            if reason is not None:
                self._deny(client.ends.peer[0], reason)
                raise TurnedAwayError(_DENIALS[reason])
        except BaseException as error:
            client.sock.close()
            if type(error) is TimeoutError:
                raise StalledError("no header of a balancer in time") from error
            raise

    async def _open_stream(self, client: Client) -> ClientStream:
        options = client.options
        if self._tls is None:
            return SocketStream(client.sock, self._ports.pipes if options.use_splice else _COPYING)
        try:
            context = self._tls.context()
            return await open_tls_stream(client.sock, context, timeout_s=options.timeout_s)
        except OSError as error:
            self.counts.tls_failures.inc()
            raise HandshakeFailedError(f"no TLS: {error or type(error).__name__}") from error

    def _note_end(self, client: Client, error: ProxyError) -> None:
        """Count and tell how a session ended that did not end by itself."""
        host, reason = client.ends.peer[0], type(error).__name__.removesuffix("Error")
        if error.reply is None:
            self.counts.failed.inc()
        else:
            # The client knows what happened: that is an orderly end.
            self.counts.completed.inc()
        self.counts.refused(reason).inc()
        if error.is_for_operator:
            whom = client.session.describe() if client.session else ""
            self._ports.seldom.warn(reason, host, f"{whom}{error}")
        else:
            log.debug("%s: %s", host, error)

    # -- what sessions ask

    def can_judge(self, options: SocksOptions) -> bool:
        """Return whether there is anything to hold a password against."""
        return self._ports.authentication.can_judge(options)

    async def authenticate(
        self, options: SocksOptions, credentials: Credentials, ends: Ends
    ) -> Who | None:
        """Return who shows these credentials, None when they are wrong."""
        return await self._ports.authentication.judge(options, credentials, ends)

    async def resolve(self, name: str) -> list[str]:
        """Return the IP addresses of a host, the best first."""
        return await self._ports.resolution.addresses(name)

    def connecting(self, host: str) -> None:
        """Count an attempt to connect to a destination."""
        self.counts.connecting(host)

    # -- time

    def _sweep_later(self) -> None:
        self._sweep_timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Count octets, and break off what has been silent for too long."""
        now_mono = self._ports.clock.mono()
        for client in self.clients:
            relay = client.relay
            if relay is None or self._count_octets(client):
                client.moved_mono = now_mono
            elif now_mono - client.moved_mono >= client.options.idle_timeout_s:
                relay.abort(TimeoutError(errno.ETIMEDOUT, "nothing passed for too long"))
        self._sweep_later()

    def _count_octets(self, client: Client) -> bool:
        """Count what has passed since the last look; return whether anything did."""
        relay = client.relay
        if relay is None:
            return False
        before, client.octets = client.octets, (relay.sent, relay.received)
        if client.octets == before:
            return False
        self.counts.sent.inc(client.octets[0] - before[0])
        self.counts.received.inc(client.octets[1] - before[1])
        return True


_DENIALS = {
    "network": "may not connect: it is in no network that clients are allowed from",
    "limit": "turned away: there are as many clients as there may be",
    "client_limit": "turned away: it has as many connections as one address may have",
}
_OF_THE_CLIENT = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.ECONNRESET,
    }
)


def _tls_part(options: SocksOptions) -> tuple[Any, ...]:
    return (
        options.use_tls,
        options.hostname,
        options.tls_certificate,
        options.tls_private_key,
        options.tls_required_client_ca,
    )


def _listen(info: tuple[Any, ...], *, reuse_port: bool) -> socket.socket:
    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted connections have these from the listening socket, without a call for each.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
